"""How long the product of a sparse matrix and a table takes, by each kernel.

    python benchmarks/product.py --root data --dataset gowalla --json out.json

Times every kernel of ltgnn_pyg.adjacency on the normalised matrix of the training
interactions, in turns, for several widths and types, and says which one the package
chose. Times are the least of --turns, in milliseconds; a kernel that does not take a
type has none.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from sets import HELP, load_split
from torch import Tensor

from ltgnn_pyg import adjacency, normalized_adj

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data")
parser.add_argument("--dims", type=int, nargs="+", default=[16, 32, 64, 128, 256])
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
data = load_split(args.dataset, args.root).train.to_data()
adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)


def clock(kernel: adjacency.Kernel, x: Tensor) -> float | None:
    """Milliseconds a product takes."""
    start = time.perf_counter()
    try:
        kernel(adj_t, x, torch.empty_like(x))
    except RuntimeError:
        return None
    return 1e3 * (time.perf_counter() - start)


def measure(dim: int, dtype: torch.dtype) -> dict[str, Any]:
    """The times of all kernels for tables of a width and a type."""
    x = torch.randn(data.num_nodes, dim, dtype=dtype)
    chosen = adjacency.fastest_kernel(adj_t, x, torch.empty_like(x))
    times: dict[str, list[float | None]] = {}
    for _ in range(args.turns + 1):  # The first one warms up.
        for kernel in adjacency.KERNELS:
            times.setdefault(kernel.__name__, []).append(clock(kernel, x))
    least = {
        name: min(each[1:]) if None not in each else None
        for name, each in times.items()
    }
    best = min(ms for ms in least.values() if ms is not None)
    return {
        "dim": dim,
        "dtype": str(dtype).removeprefix("torch."),
        "ms": {name: ms and round(ms, 3) for name, ms in least.items()},
        "chosen": chosen.__name__,
        "chosen_over_best": round(least[chosen.__name__] / best, 3),
    }


result = {
    "dataset": args.dataset,
    "num_nodes": data.num_nodes,
    "num_edges": data.num_edges,
    "products": [
        measure(dim, dtype)
        for dtype in (torch.float32, torch.float64)
        for dim in args.dims
    ],
    "turns": args.turns,
    "threads": args.threads,
    "seed": args.seed,
}
line = json.dumps(result)
print(line)
if args.json is not None:
    args.json.write_text(line + "\n")
