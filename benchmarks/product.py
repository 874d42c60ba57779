"""The time of the product of a sparse matrix and a table, by each kernel.

    python benchmarks/product.py --root data --dataset gowalla --json out.jsonl

Times every kernel of ltgnn_pyg.graph.adjacency on the normalised matrix of the training
part, for tables of each width and type; figures are the least of the turns.
With --interactions the set is expanded to as many first, see scaling.py.

A product reads a row of the table for each entry, the entry itself (an index and a
weight), and writes a row for each node. `gigabytes_a_second` is that over the time of
the chosen kernel; beside it are what a plain copy of a large table does on the machine,
and random rows of the table read in one go (`index_select`).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from record import arguments, begin, seconds, write
from sets import CACHE, load_expansion, load_split

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import adjacency

parser = arguments(__doc__)
parser.add_argument("--interactions", type=int, help="of the set, expanded")
parser.add_argument("--dims", type=int, nargs="+", default=[16, 32, 64, 128, 256])
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--cache", type=Path, default=CACHE, help="for expansions")
args = begin(parser)
if args.interactions is None:
    split = load_split(args.dataset, args.root)
else:
    split = load_expansion(
        args.dataset, args.root, args.interactions, 0, args.cache, make=True
    )
data = split.train.to_data()
adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)


def least(function: Callable[[], Any]) -> float | None:
    """Milliseconds of a call, at best; the first turn warms up."""
    try:
        return 1e3 * min([seconds(function) for _ in range(args.turns + 1)][1:])
    except RuntimeError:  # A kernel that does not know the type.
        return None


def measure(dim: int, dtype: torch.dtype) -> dict[str, Any]:
    """The times of all kernels for tables of a width and a type."""
    x = torch.randn(data.num_nodes, dim, dtype=dtype)
    out = torch.empty_like(x)
    chosen = adjacency.fastest_kernel(adj_t, x, out).__name__
    ms = {k.__name__: least(partial(k, adj_t, x, out)) for k in adjacency.KERNELS}
    best = min(value for value in ms.values() if value is not None)
    row, entry = x.size(1) * x.element_size(), adj_t.col_indices().element_size() + 4
    moved = data.num_edges * (row + entry) + data.num_nodes * row
    index = torch.randint(data.num_nodes, (min(data.num_edges, 2**27 // row),))
    rows = x.index_select(0, index)
    read = least(partial(torch.index_select, x, 0, index, out=rows))
    return {
        "dim": dim,
        "dtype": str(dtype).removeprefix("torch."),
        "ms": {name: value and round(value, 3) for name, value in ms.items()},
        "chosen": chosen,
        "chosen_over_best": round(ms[chosen] / best, 3),
        "gigabytes_a_second": round(moved / ms[chosen] / 1e6, 1),
        "random_rows": round(2 * len(index) * row / read / 1e6, 1),
    }


big = torch.ones(2**26)
other = torch.ones_like(big)
copied = least(lambda: other.copy_(big))
types = torch.float32, torch.float64
result = {
    "interactions": len(split.train),
    "num_nodes": data.num_nodes,
    "num_edges": data.num_edges,
    "products": [measure(dim, dtype) for dtype in types for dim in args.dims],
    "copy": round(2 * big.nbytes / copied / 1e6, 1),
    "turns": args.turns,
}
write(args, result)
