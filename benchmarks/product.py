"""How long the product of a sparse matrix and a table takes, by each kernel.

    python benchmarks/product.py --root data --dataset gowalla --json out.json

Times every kernel of ltgnn_pyg.graph.adjacency on the normalised matrix of the training
interactions, in turns, for several widths and types, and says which one the package
chose. Times are the least of --turns, in milliseconds; a kernel that does not take a
type has none. With --interactions the set is expanded to as many first, see
scaling.py.

A product reads a row of the table for each entry, the entry itself (an index and a
weight), and writes a row for each node. `gigabytes_a_second` is that over the time of
the chosen kernel; beside it are what a plain copy of a large table does on the machine,
and random rows of the table read in one go (`index_select`).
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sets import CACHE, HELP, load_expansion, load_split

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import adjacency

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data")
parser.add_argument("--interactions", type=int, help="of the set, expanded")
parser.add_argument("--dims", type=int, nargs="+", default=[16, 32, 64, 128, 256])
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--cache", type=Path, default=CACHE, help="for expansions")
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
if args.interactions is None:
    split = load_split(args.dataset, args.root)
else:
    split = load_expansion(
        args.dataset, args.root, args.interactions, 0, args.cache, make=True
    )
data = split.train.to_data()
adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)


def clock(function: Callable[[], Any]) -> float | None:
    """Milliseconds a call takes."""
    start = time.perf_counter()
    try:
        function()
    except RuntimeError:
        return None
    return 1e3 * (time.perf_counter() - start)


def bandwidth(function: Callable[[], Any], num_bytes: float) -> float:
    """Gigabytes a second, at best."""
    least = min(clock(function) or 0.0 for _ in range(args.turns + 1))
    return round(num_bytes / least / 1e6, 1)


def measure(dim: int, dtype: torch.dtype) -> dict[str, Any]:
    """The times of all kernels for tables of a width and a type."""
    x = torch.randn(data.num_nodes, dim, dtype=dtype)
    out = torch.empty_like(x)
    chosen = adjacency.kernel_for(adj_t, x, out)
    times: dict[str, list[float | None]] = {}
    for _ in range(args.turns + 1):  # The first one warms up.
        for kernel in adjacency.KERNELS.values():
            ms = clock(partial(kernel, adj_t, x, out))
            times.setdefault(kernel.__name__, []).append(ms)
    least = {
        name: min(each[1:]) if None not in each else None
        for name, each in times.items()
    }
    best = min(ms for ms in least.values() if ms is not None)
    row, entry = x.size(1) * x.element_size(), adj_t.col_indices().element_size() + 4
    moved = data.num_edges * (row + entry) + data.num_nodes * row
    index = torch.randint(data.num_nodes, (min(data.num_edges, 2**27 // row),))
    rows = x.index_select(0, index)
    return {
        "dim": dim,
        "dtype": str(dtype).removeprefix("torch."),
        "ms": {name: ms and round(ms, 3) for name, ms in least.items()},
        "chosen": chosen.__name__,
        "chosen_over_best": round(least[chosen.__name__] / best, 3),
        "gigabytes_a_second": round(moved / least[chosen.__name__] / 1e6, 1),
        "random_rows": bandwidth(
            partial(torch.index_select, x, 0, index, out=rows), 2 * len(index) * row
        ),
    }


big = torch.ones(2**26)
other = torch.ones_like(big)
result = {
    "dataset": args.dataset,
    "interactions": len(split.train),
    "num_nodes": data.num_nodes,
    "num_edges": data.num_edges,
    "products": [
        measure(dim, dtype)
        for dtype in (torch.float32, torch.float64)
        for dim in args.dims
    ],
    "copy": bandwidth(lambda: other.copy_(big), 2 * big.nbytes),
    "turns": args.turns,
    "threads": args.threads,
    "seed": args.seed,
}
line = json.dumps(result)
print(line)
if args.json is not None:
    args.json.write_text(line + "\n")
