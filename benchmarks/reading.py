r"""The time and memory of reading.

    python benchmarks/reading.py --num-interactions 10000000 --json out.jsonl

A CSV file with string ids, ratings and times is written in a stream and read. With a
limit of memory it is mapped by :func:`~ltgnn_pyg.datasets.map_interactions` in place of
that, opened again and split by time. Each step is a process of its own::

    python benchmarks/reading.py --num-interactions 100000000 --memory-limit 1GB
"""

import json
import math
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import CSVWriter
from record import Row, alone, arguments, begin, peak_rss_mb, write

from ltgnn_pyg.datasets import map_interactions, read_interactions, split_temporal

BYTES = 150  # Of free disk for each interaction of a large file, generously.
CHUNK = 1 << 20


def write_csv(folder: Path, num: int) -> Row:
    """Writes distinct pairs in a stream: multiples of a step, modulo all pairs."""
    free = shutil.disk_usage(folder).free
    if free < BYTES * num:
        raise SystemExit(f"Expected {BYTES * num} bytes free (got {free})")
    num_users, num_items = num // 50 + 1, num // 100 + 1
    num_pairs = num_users * num_items
    step = min(int((5**0.5 - 1) / 2 * num_pairs), 2**62 // CHUNK)
    while math.gcd(step, num_pairs) > 1:
        step += 1
    rng = np.random.default_rng(0)
    names = ["user_id", "item_id", "rating", "timestamp"]
    types = [pa.string(), pa.string(), pa.int64(), pa.int64()]
    schema = pa.schema(list(zip(names, types, strict=True)))
    with CSVWriter(folder / "data.csv", schema) as file:
        for first in range(0, num, CHUNK):
            size = min(CHUNK, num - first)
            pair = (first * step % num_pairs + step * np.arange(size)) % num_pairs
            ids = (pa.array(i).cast(pa.string()) for i in np.divmod(pair, num_items))
            user, item = (
                pc.binary_join_element_wise(letter, index, "")
                for letter, index in zip("ui", ids, strict=True)
            )
            numbers = rng.integers(1, 6, size), rng.integers(10**9, 2 * 10**9, size)
            file.write_table(pa.table([user, item, *numbers], schema=schema))
    return {}


def read(folder: Path, num: int) -> Row:
    """Reads the file."""
    assert len(read_interactions(folder / "data.csv")) == num
    return {"file_mb": (folder / "data.csv").stat().st_size / 2**20}


def map_ids(folder: Path, num: int) -> Row:
    """Maps the file into a folder beside it."""
    path, mapped = folder / "data.csv", folder / "mapped"
    out = map_interactions(path, mapped, memory_limit=args.memory_limit)
    assert len(out) == num and out.user_ids[int(out.user[0])] == "u0"
    return {
        "file_bytes": path.stat().st_size,
        "mapped_bytes": sum(entry.stat().st_size for entry in mapped.iterdir()),
        "num_users": out.num_users,
        "num_items": out.num_items,
    }


def reopen(folder: Path, num: int) -> Row:
    """Opens the mapped interactions."""
    assert len(read_interactions(folder / "mapped")) == num
    return {}


def split(folder: Path, num: int) -> Row:
    """Opens the mapped interactions, and splits them by time."""
    out = split_temporal(read_interactions(folder / "mapped"))
    assert len(out.train) + len(out.val) + len(out.test) == num
    return {}


STEPS = {step.__name__: step for step in (write_csv, read, map_ids, reopen, split)}

parser = arguments(__doc__, dataset="made")
parser.add_argument("--num-interactions", type=int, default=10_000_000)
parser.add_argument("--memory-limit", help="of raw ids, for files beyond it")
args = begin(parser)
if args.child:
    start = time.perf_counter()
    out = STEPS[args.child[0]](Path(args.child[1]), args.num_interactions)
    out |= {"seconds": time.perf_counter() - start, "peak_rss_mb": peak_rss_mb()}
    print(json.dumps({key: round(value, 1) for key, value in out.items()}))
else:
    result = {"num_interactions": args.num_interactions}
    result["memory_limit"] = args.memory_limit
    steps = ("map_ids", "reopen", "split") if args.memory_limit else ("read",)
    with tempfile.TemporaryDirectory() as folder:
        for step in ("write_csv", *steps):
            result[step] = alone(args.threads, step, folder)
    write(args, result)
