"""Runs a command that writes --json and keeps its result as a raw line.

    python benchmarks/record.py quickstart examples/quickstart.py --dataset gowalla

appends to benchmarks/results/quickstart.jsonl the JSON the script wrote, with the
command, the machine and the versions beside it. The value of --root is left out.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import torch
import torch_geometric


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def about(command: list[str]) -> dict[str, str]:
    """What stands beside a result; where files lie is nobody's business."""
    shown = list(command)
    for option in ("--root", "--cache", "--json"):
        if option in shown:
            at = shown.index(option)
            shown[at : at + 2] = ["--root", "data"] if option == "--root" else []
    machine = f"{processor()}, {os.cpu_count()} cores"
    if "cuda" in command:
        machine += f", {torch.cuda.get_device_name()}"
    return {
        "command": " ".join(["python", *shown]),
        "date": date.today().isoformat(),
        "machine": machine,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
    }


def main() -> None:
    """Runs the command and appends one line."""
    name, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        subprocess.run([sys.executable, *command, "--json", path], check=True)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    lines = [json.dumps({**about(command), **row}) + "\n" for row in rows]
    with open(results / f"{name}.jsonl", "a") as file:
        file.writelines(lines)


if __name__ == "__main__":
    main()
