r"""How much time and memory reading takes, for CSV and for LightGCN text.

Draws synthetic interactions, writes them to a temporary folder in both formats
(CSV with string user ids, integer item ids, ratings and times), and reads each
in a process of its own. Prints one JSON line::

    python benchmarks/reading.py --num-interactions 10000000 --json reading.jsonl
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time


def write(folder: str, num_interactions: int) -> dict[str, float]:
    """Draws the interactions and writes both files."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.csv import write_csv

    from ltgnn_pyg.datasets import synthetic_interactions

    start = time.perf_counter()
    out = synthetic_interactions(
        max(num_interactions // 50, 1),
        max(num_interactions // 100, 1),
        num_interactions,
    )
    used = {"seconds": time.perf_counter() - start, "peak_rss_mb": peak_rss_mb()}
    rng = np.random.default_rng(0)
    user, item = pa.array(out.user.numpy()), pa.array(out.item.numpy())
    user_name, item_name = user.cast(pa.string()), item.cast(pa.string())
    table = pa.table(
        {
            "user_id": pc.binary_join_element_wise("user", user_name, "_"),
            "item_id": item,
            "rating": rng.integers(1, 6, num_interactions),
            "timestamp": rng.integers(10**9, 2 * 10**9, num_interactions),
        }
    ).take(rng.permutation(num_interactions))
    write_csv(table, os.path.join(folder, "data.csv"))
    # Interactions come sorted by user, each of whom has some: a line per user.
    ptr = np.r_[0, np.cumsum(np.bincount(out.user))].astype(np.int32)
    items = pc.binary_join(pa.ListArray.from_arrays(ptr, item_name), " ")
    users = pa.array(range(out.num_users)).cast(pa.string())
    lines = pc.binary_join_element_wise(users, items, " ")
    with open(os.path.join(folder, "data.txt"), "w") as file:
        file.write("\n".join(lines.to_pylist()) + "\n")
    return used


def read(path: str, num_interactions: int) -> dict[str, float]:
    """Reads one file."""
    from ltgnn_pyg.datasets import read_interactions

    start = time.perf_counter()
    out = read_interactions(path)
    seconds = time.perf_counter() - start
    assert len(out) == num_interactions
    return {
        "seconds": seconds,
        "peak_rss_mb": peak_rss_mb(),
        "file_mb": os.path.getsize(path) / 2**20,
    }


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    """Runs each step in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-interactions", type=int, default=10_000_000)
    parser.add_argument("--json", metavar="FILE", help="append the JSON line to FILE")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step = {"write": write, "read": read}[args.step[0]]
        print(json.dumps(step(args.step[1], args.num_interactions)))
        return

    def run(step: str, path: str) -> dict[str, float]:
        command = [sys.executable, __file__, "--step", step, path]
        command += ["--num-interactions", str(args.num_interactions)]
        out = json.loads(subprocess.check_output(command))
        return {key: round(value, 1) for key, value in out.items()}

    result = {
        "benchmark": "reading",
        "num_interactions": args.num_interactions,
        "cpus": len(os.sched_getaffinity(0)),
    }
    with tempfile.TemporaryDirectory() as folder:
        result["synthetic"] = run("write", folder)
        result["csv"] = run("read", os.path.join(folder, "data.csv"))
        result["lightgcn"] = run("read", os.path.join(folder, "data.txt"))
    line = json.dumps(result)
    print(line)
    if args.json:
        with open(args.json, "a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
