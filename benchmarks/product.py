"""The time of the product of a sparse matrix and a table, by each kernel.

    python benchmarks/product.py --root data --dataset gowalla --json out.jsonl

Times every kernel of ltgnn_pyg.graph.product on the normalised matrix of the training
part, for tables of each width and type; figures are the least of the turns.
With --interactions the set is expanded to as many first, see scaling.py.

A product reads a row of the table for each entry, the entry itself (an index and a
weight), and writes a row for each node. `gigabytes_a_second` is that over the time of
the chosen kernel.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from record import arguments, begin, seconds, write
from sets import CACHE, load_expansion, load_split

from ltgnn_pyg import Graph
from ltgnn_pyg.graph.product import KERNELS, kernel_for

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
matrix = Graph.from_interactions(split.train).matrix
rows = matrix.rowptr, matrix.col, matrix.value


def least(function: Callable[[], Any]) -> float | None:
    """Milliseconds of a call, at best; the first turn warms up."""
    try:
        return 1e3 * min([seconds(function) for _ in range(args.turns + 1)][1:])
    except RuntimeError:  # A kernel that does not know the type.
        return None


def measure(dim: int, dtype: torch.dtype) -> dict[str, Any]:
    """The times of all kernels for tables of a width and a type."""
    x = torch.randn(matrix.num_cols, dim, dtype=dtype)
    out = torch.empty_like(x)
    taken = kernel_for(*rows, x, out)
    (chosen,) = (name for name, kernel in KERNELS.items() if kernel is taken)
    ms = {k: least(partial(kernel, *rows, x, out)) for k, kernel in KERNELS.items()}
    best = min(value for value in ms.values() if value is not None)
    row, entry = dim * x.element_size(), matrix.col.element_size() + 4
    moved = len(matrix.col) * (row + entry) + matrix.num_rows * row
    return {
        "dim": dim,
        "dtype": str(dtype).removeprefix("torch."),
        "ms": {name: value and round(value, 3) for name, value in ms.items()},
        "chosen": chosen,
        "chosen_over_best": round(ms[chosen] / best, 3),
        "gigabytes_a_second": round(moved / ms[chosen] / 1e6, 1),
    }


types = torch.float32, torch.float64
sizes = {"interactions": len(split.train), "num_nodes": matrix.num_rows}
sizes |= {"num_edges": len(matrix.col), "turns": args.turns}
write(args, {**sizes, "products": [measure(d, t) for t in types for d in args.dims]})
