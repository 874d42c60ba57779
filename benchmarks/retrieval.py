r"""Recall and time of the kinds of :class:`~ltgnn_pyg.retrieval.Index`, and of what one
would take in their place.

    python benchmarks/retrieval.py --root DIR --dataset gowalla --sizes 40981 1000000

Vectors are those of LTGNN after two epochs: unit vectors, and the logarithm of
popularity as a bias.

Larger sets are grown of them: an item lies somewhere between one of them and one of its
ten neighbours, and a little aside, with the norm and the bias of one of the two. Items
of a grown set have closer neighbours than those they come from, so that lists find more
of the best: read its recall as that of a catalogue with many items alike.

Recall@100 is against exact search. Queries are users, one at a time and 64 together,
after one turn to warm up. Peers: the product and `topk` of torch, faiss `Flat`, and its
`IVF` as `index_factory` makes it.
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import faiss
import numpy as np
import torch
from record import Row, arguments, begin, seconds, write
from sets import load_split
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.retrieval import Index, similar_items
from ltgnn_pyg.scorers import Vectors, top_k

NAMES = "exact ivf sq8 torch faiss-flat faiss-ivf".split()
BATCH, CHUNK = 64, 2**18
Search = Callable[[Tensor], Tensor]
Built = tuple[int, dict[str, Search]]  #: Bytes, and a search for each setting.

parser = arguments(__doc__, threads=1)
parser.add_argument("--sizes", type=int, nargs="+", default=[40_981, 10**6, 10**7])
parser.add_argument("--indexes", nargs="+", default=NAMES, choices=NAMES)
parser.add_argument("--nprobe", type=int, nargs="+", default=[8, 16, 32, 64, 128])
parser.add_argument("--queries", type=int, default=512)
parser.add_argument("--ones", type=int, default=100, help="those asked one at a time")
parser.add_argument("--k", type=int, default=100)
args = begin(parser)
faiss.omp_set_num_threads(args.threads)


def grow(vectors: Vectors, num_items: int) -> Vectors:
    """As many items, in the neighbourhoods of those there are."""
    if num_items == vectors.num_items:
        return vectors
    few = Vectors(vectors.item[:1], vectors.item)
    cosine, near = similar_items(few, min(10, vectors.num_items - 1))
    gap = (2 - 2 * cosine[:, 0]).clamp(min=0).sqrt()  # To the nearest.
    unit, norm = normalize(vectors.item), vectors.item.norm(dim=1)
    item = torch.empty(num_items, vectors.dim)
    bias = None if vectors.item_bias is None else torch.empty(num_items)
    for start in range(0, num_items, CHUNK):
        part = slice(start, min(start + CHUNK, num_items))
        size = part.stop - start
        one = torch.randint(vectors.num_items, (size,))
        two = near[one, torch.randint(near.size(1), (size,))]
        share = torch.rand(size, 1)
        row = share * unit[one] + (1 - share) * unit[two]
        aside = torch.randn(size, vectors.dim) / vectors.dim**0.5
        row = normalize(row + 0.5 * gap[one].unsqueeze(1) * aside)
        source = torch.where(torch.rand(size) < 0.5, one, two)
        item[part] = norm[source].unsqueeze(1) * row
        if bias is not None:
            bias[part] = vectors.item_bias[source]
    return Vectors(vectors.user, item, bias)


def measure(search: Search, query: Tensor, truth: Tensor) -> dict[str, float]:
    """Recall, and milliseconds a query."""
    item = torch.cat([search(part) for part in query.split(BATCH)])  # Warms up.
    ones, some = (
        [seconds(partial(search, part)) / len(part) for part in parts]
        for parts in (query[: args.ones].split(1), query.split(BATCH))
    )
    hits = (item.unsqueeze(2) == truth.unsqueeze(1)).any(2)
    return {
        f"recall@{args.k}": round(float(hits.float().mean()), 4),
        "ms_per_query": round(1e3 * median(ones), 4),
        f"ms_per_query_of_{BATCH}": round(1e3 * median(some), 4),
    }


def ours(vectors: Vectors, kind: str) -> Built:
    """An index of this library."""
    index = Index.build(vectors, kind)
    if kind == "exact":
        return index.nbytes, {"": lambda query: index.search(query, args.k)[1]}
    return index.nbytes, {
        f"nprobe {n}": lambda query, n=n: index.search(query, args.k, nprobe=n)[1]
        for n in args.nprobe
    }


def product(vectors: Vectors) -> Built:
    """The lines of torch that one writes first."""
    item, bias = vectors.item, torch.from_numpy(with_bias(vectors)[:, -1].copy())
    search = {"": lambda query: (query @ item.t()).add_(bias).topk(args.k)[1]}
    return item.nbytes + bias.nbytes, search


def faiss_flat(vectors: Vectors) -> Built:
    """Exact search by faiss."""
    rows = with_bias(vectors)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return rows.nbytes, {"": ask(index)}


def faiss_ivf(vectors: Vectors) -> Built:
    """Its inverted lists, as they come."""
    rows = with_bias(vectors)
    name = f"IVF{round(4 * len(rows) ** 0.5)},Flat"
    index = faiss.index_factory(rows.shape[1], name, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64
    index.train(rows)
    index.add(rows)
    return rows.nbytes + 8 * len(rows), {
        f"nprobe {n}": ask(index, faiss.SearchParametersIVF(nprobe=n))
        for n in args.nprobe
    }


def with_bias(vectors: Vectors) -> np.ndarray:
    """Vectors of items with their bias, or 0, as one more number."""
    bias = vectors.item_bias
    bias = vectors.item.new_zeros(vectors.num_items) if bias is None else bias
    return torch.cat([vectors.item, bias.unsqueeze(1)], dim=1).numpy()


def ask(index: Any, params: Any = None) -> Search:
    """A search by faiss."""

    def search(query: Tensor) -> Tensor:
        q = torch.cat([query, query.new_ones(len(query), 1)], dim=1).numpy()
        return torch.from_numpy(index.search(q, args.k, params=params)[1])

    return search


INDEXES = {kind: partial(ours, kind=kind) for kind in ("exact", "ivf", "sq8")}
INDEXES |= {"torch": product, "faiss-flat": faiss_flat, "faiss-ivf": faiss_ivf}


split = load_split(args.dataset, args.root)
model = LTGNN(split.train.num_users, split.train.num_items)
base = fit(model, split, max_epochs=2, refit=False).vectors
norms = base.item.norm(dim=1).quantile(torch.tensor([0.01, 0.5, 0.99]))
rows: list[Row] = []
for size in args.sizes:
    vectors = grow(base, size)
    query = base.user[torch.randperm(base.num_users)[: args.queries]]
    truth = top_k(Vectors(query, vectors.item, vectors.item_bias), args.k)[1]
    for name in args.indexes:
        start = perf_counter()
        nbytes, searches = INDEXES[name](vectors)
        about = {
            "items": vectors.num_items,
            "index": name,
            "mb": round(nbytes / 1e6, 1),
        }
        about["build_s"] = round(perf_counter() - start, 2)
        for setting, search in searches.items():
            rows.append({**about, "setting": setting, **measure(search, query, truth)})
        del searches, search
    del vectors
write(args, {
    "vectors": "ltgnn",
    "asked": " ".join(map(str, args.sizes)),
    "norms": [round(x, 3) for x in norms.tolist()],
    "bias": base.item_bias is not None,
    "dim": base.dim,
    "k": args.k,
    "queries": args.queries,
    "batch": BATCH,
    "sizes": rows,
    "faiss": faiss.__version__,
})  # fmt: skip
