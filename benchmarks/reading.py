r"""How much time and memory reading takes, for CSV and for LightGCN text.

Draws synthetic interactions, writes them to a temporary folder in both formats
(CSV with string user ids, integer item ids, ratings and times), and reads each
in a process of its own. Prints one JSON line::

    python benchmarks/reading.py --num-interactions 10000000 --json reading.jsonl

With a limit of memory, a CSV file of string ids is written in a stream, mapped by
:func:`~ltgnn_pyg.datasets.map_interactions`, opened again and split by time; the peak
of each counts what DuckDB takes, which is in the same process::

    python benchmarks/reading.py --num-interactions 100000000 --memory-limit 1GB
"""

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

BYTES = 150  # Of free disk for each interaction of a large file, generously.


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


def write_large(folder: str, num_interactions: int) -> dict[str, float]:
    """Writes distinct pairs in a stream: multiples of a step, modulo all pairs."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.csv import CSVWriter

    free = shutil.disk_usage(folder).free
    if free < BYTES * num_interactions:
        raise SystemExit(f"Expected {BYTES * num_interactions} bytes free (got {free})")
    start, chunk = time.perf_counter(), 1 << 20
    num_users, num_items = num_interactions // 50 + 1, num_interactions // 100 + 1
    num_pairs = num_users * num_items
    step = min(int((5**0.5 - 1) / 2 * num_pairs), 2**62 // chunk)
    while math.gcd(step, num_pairs) > 1:
        step += 1
    rng = np.random.default_rng(0)
    names = ["user_id", "item_id", "rating", "timestamp"]
    types = [pa.string(), pa.string(), pa.int64(), pa.int64()]
    schema = pa.schema(list(zip(names, types, strict=True)))
    with CSVWriter(os.path.join(folder, "data.csv"), schema) as file:
        for first in range(0, num_interactions, chunk):
            num = min(chunk, num_interactions - first)
            pair = (first * step % num_pairs + step * np.arange(num)) % num_pairs
            ids = (pa.array(i).cast(pa.string()) for i in np.divmod(pair, num_items))
            user, item = (
                pc.binary_join_element_wise(letter, index, "")
                for letter, index in zip("ui", ids, strict=True)
            )
            rating = rng.integers(1, 6, num)
            when = rng.integers(10**9, 2 * 10**9, num)
            columns = [user, item, rating, when]
            file.write_table(pa.table(columns, schema=schema))
    return {"seconds": time.perf_counter() - start, "peak_rss_mb": peak_rss_mb()}


def map_ids(folder: str, num_interactions: int, memory_limit: str) -> dict[str, float]:
    """Maps the large file into a folder beside it."""
    from ltgnn_pyg.datasets import map_interactions

    start = time.perf_counter()
    path, mapped = os.path.join(folder, "data.csv"), os.path.join(folder, "mapped")
    out = map_interactions(path, mapped, memory_limit=memory_limit)
    seconds = time.perf_counter() - start
    assert len(out) == num_interactions and out.user_ids[int(out.user[0])] == "u0"
    return {
        "seconds": seconds,
        "peak_rss_mb": peak_rss_mb(),
        "file_bytes": os.path.getsize(path),
        "mapped_bytes": sum(entry.stat().st_size for entry in os.scandir(mapped)),
        "num_users": out.num_users,
        "num_items": out.num_items,
    }


def reopen(folder: str, num_interactions: int) -> dict[str, float]:
    """Opens the mapped interactions."""
    from ltgnn_pyg.datasets import read_interactions

    start = time.perf_counter()
    out = read_interactions(os.path.join(folder, "mapped"))
    assert len(out) == num_interactions
    return {"seconds": time.perf_counter() - start, "peak_rss_mb": peak_rss_mb()}


def split(folder: str, num_interactions: int) -> dict[str, float]:
    """Opens the mapped interactions, and splits them by time."""
    from ltgnn_pyg.datasets import read_interactions, split_temporal

    start = time.perf_counter()
    out = split_temporal(read_interactions(os.path.join(folder, "mapped")))
    seconds = time.perf_counter() - start
    assert len(out.train) + len(out.val) + len(out.test) == num_interactions
    return {"seconds": seconds, "peak_rss_mb": peak_rss_mb()}


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


STEPS = (write, read, write_large, map_ids, reopen, split)


def main() -> None:
    """Runs each step in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-interactions", type=int, default=10_000_000)
    parser.add_argument("--memory-limit", help="of DuckDB, for files beyond memory")
    parser.add_argument("--json", metavar="FILE", help="append the JSON line to FILE")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step = {each.__name__: each for each in STEPS}[args.step[0]]
        limit = [args.memory_limit] if step is map_ids else []
        print(json.dumps(step(args.step[1], args.num_interactions, *limit)))
        return

    def run(step: str, path: str) -> dict[str, float]:
        command = [sys.executable, __file__, "--step", step, path]
        command += ["--num-interactions", str(args.num_interactions)]
        command += ["--memory-limit", args.memory_limit] if args.memory_limit else []
        out = json.loads(subprocess.check_output(command))
        return {key: round(value, 1) for key, value in out.items()}

    result = {
        "benchmark": "reading",
        "num_interactions": args.num_interactions,
        "cpus": len(os.sched_getaffinity(0)),
    }
    with tempfile.TemporaryDirectory() as folder:
        if args.memory_limit:
            result["memory_limit"] = args.memory_limit
            for step in (write_large, map_ids, reopen, split):
                result[step.__name__] = run(step.__name__, folder)
        else:
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
