"""The frame of all scripts: their arguments, their clock, and their raw lines.

    python benchmarks/record.py quickstart examples/quickstart.py --dataset gowalla

runs a script that writes --json, and appends its lines to results/quickstart.jsonl with
the command, the machine and the versions beside them. Scripts of this folder append
such lines to --json themselves.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch_geometric

Row = dict[str, Any]
SETS = "gowalla, yelp2018, synthetic, a folder with train.txt and test.txt, or a file"


def arguments(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The arguments that all scripts have in common."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--dataset", default="gowalla", help=SETS)
    parser.add_argument("--root", default="data", help="where sets lie or go")
    parser.add_argument("--order", choices=["time", "lines", "random"])
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append the lines to this file")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(**defaults)
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments as given, after the threads and the seed are set."""
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return args


def seconds(function: Callable[[], Any]) -> float:
    """The time of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def duration(text: str) -> float:
    """The seconds of a text such as 90, 90s, 10m or 1h."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:])
    return float(text[:-1]) * unit if unit else float(text)


def peak_rss_mb() -> int:
    """The most memory that this process has held."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale)


def alone(threads: int, *task: Any) -> Row:
    """The line that this script prints for a task, in a process of its own."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, *sys.argv, "--child", *map(str, task)]
    out = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout.splitlines()[-1])


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def about(command: Sequence[str] | None = None) -> Row:
    """The command, machine and versions; where files lie is nobody's business."""
    if command is None:
        command = [f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    shown = list(command)
    for option in ("--root", "--cache", "--json"):
        if option in shown:
            at = shown.index(option)
            shown[at : at + 2] = ["--root", "data"] if option == "--root" else []
    machine = f"{processor()}, {os.cpu_count()} cores"
    if "cuda" in shown:
        machine += f", {torch.cuda.get_device_name()}"
    return {
        "command": " ".join(["python", *shown]),
        "date": date.today().isoformat(),
        "machine": machine,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
    }


def read(path: Path | None) -> list[Row]:
    """The raw lines of a file, none if it is not there."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(args: argparse.Namespace, row: Row, path: Path | None = None) -> None:
    """Prints a row, and appends it to --json, or another file, with all that stands
    beside it.
    """
    print(json.dumps({k: v for k, v in row.items() if k != "curve"}), flush=True)
    if args.json is not None:
        common = {name: vars(args)[name] for name in ("dataset", "threads", "seed")}
        with open(path or args.json, "a") as file:
            file.write(json.dumps({**about(), **common, **row}) + "\n")


def go_on(
    args: argparse.Namespace, jobs: Sequence[Row], run: Callable[[Row], Row]
) -> list[Row]:
    """The line of each job: the last one of --json that says the same, or one made anew
    and written. One that fails is told of, and the others need not wait for its cure.
    """
    lines = []
    for job in jobs:
        done = [{"device": "cpu", **line} for line in read(args.json)]
        done = [line for line in done if line.items() >= job.items()]
        if not done:
            print(*job.values(), file=sys.stderr, flush=True)
            try:
                done = [{**job, **run(job), "threads": args.threads}]
            except subprocess.CalledProcessError as error:
                print(f"Failed: {error}", file=sys.stderr, flush=True)
                continue
            write(args, done[0])
        lines.append(done[-1])
    return lines


def main() -> None:
    """Runs the command and appends its lines."""
    name, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        subprocess.run([sys.executable, *command, "--json", path], check=True)
        lines = [json.dumps({**about(command), **row}) + "\n" for row in read(path)]
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    with open(results / f"{name}.jsonl", "a") as file:
        file.writelines(lines)


if __name__ == "__main__":
    main()
