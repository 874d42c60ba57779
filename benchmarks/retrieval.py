r"""Recall and time of the kinds of :class:`~ltgnn_pyg.retrieval.Index`, and of what one
would take in their place.

    python benchmarks/retrieval.py --root DIR --sizes 41k 1m 10m

With `--root`, the vectors and biases are those of LTGNN after two epochs on Gowalla:
unit vectors, and the logarithm of popularity as a bias. Without, they are drawn: a
mixture of directions, without biases, whose norms are log-normal as those of singular
vectors of Gowalla are (percentiles 1, 50 and 99 of about .02, .1 and .5), which is the
harder case for inner products. Larger sets are grown of these items: each lies
somewhere between one of them and one of its ten neighbours, and a little aside, with
the norm and the bias of one of the two.

Recall@100 is against exact search. Queries are users, one at a time and 64 together,
after one turn to warm up. Peers: the product and `topk` of torch, faiss `Flat`, its
`IVF` as `index_factory` makes it, and its HNSW, the latter on small sets only.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

import faiss
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import Gowalla
from ltgnn_pyg.retrieval import Index, Vectors, similar_items, top_k

GOWALLA = 40_981  #: Its items.
BATCH, CHUNK = 64, 2**18
HNSW_ITEMS = 100_000  #: The most that are built into a graph, which takes minutes.
Search = Callable[[Tensor], Tensor]

parser = argparse.ArgumentParser()
parser.add_argument("--root", help="the folder that holds Gowalla")
parser.add_argument("--sizes", nargs="+", default=["41k", "1m", "10m"])
parser.add_argument("--nprobe", type=int, nargs="+", default=[8, 16, 32, 64, 128])
parser.add_argument("--queries", type=int, default=512)
parser.add_argument("--ones", type=int, default=100, help="those asked one at a time")
parser.add_argument("--k", type=int, default=100)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", help="also write the result to this file")
args = parser.parse_args()

torch.set_num_threads(args.threads)
faiss.omp_set_num_threads(args.threads)
torch.manual_seed(args.seed)


def trained() -> Vectors:
    """Of LTGNN after two epochs on Gowalla."""
    split = Gowalla(args.root).split()
    model = LTGNN(split.train.num_users, split.train.num_items)
    return fit(model, split, max_epochs=2, refit=False).vectors


def drawn(num_items: int = GOWALLA, dim: int = 64) -> Vectors:
    """A mixture of directions, and norms of a log-normal law."""
    center = normalize(torch.randn(num_items // 40 + 1, dim))

    def near(num: int) -> Tensor:
        at = torch.randint(len(center), (num,))
        return normalize(center[at] + 0.6 * torch.randn(num, dim) / dim**0.5)

    norm = (torch.randn(num_items, 1) * 0.7).exp() * 0.1
    return Vectors(near(2000), norm * near(num_items))


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


def seconds(run: Callable[[], Any]) -> float:
    """How long it takes."""
    start = perf_counter()
    run()
    return perf_counter() - start


def measure(search: Search, query: Tensor, truth: Tensor) -> dict[str, float]:
    """Recall, and milliseconds a query."""
    search(query[:BATCH])
    found, times = [], []
    for part in query.split(BATCH):
        start = perf_counter()
        found.append(search(part))
        times.append((perf_counter() - start) / len(part))
    ones = [seconds(lambda i=i: search(query[i : i + 1])) for i in range(args.ones)]
    item = torch.cat(found)
    hits = (item.unsqueeze(2) == truth.unsqueeze(1)).any(2)
    return {
        f"recall@{args.k}": round(float(hits.float().mean()), 4),
        "ms_per_query": round(1e3 * median(ones), 4),
        f"ms_per_query_of_{BATCH}": round(1e3 * median(times), 4),
    }


def contenders(vectors: Vectors) -> Iterator[tuple[str, int | None, Search, float]]:
    """What is asked: name, lists looked into, search, and the MB it takes."""
    table = vectors.item.nbytes / 1e6
    for kind in ("exact", "ivf", "sq8"):
        index = Index.build(vectors, kind)
        for nprobe in [None] if kind == "exact" else args.nprobe:
            more = {} if nprobe is None else {"nprobe": nprobe}

            def search(query: Tensor, index: Any = index, more: Any = more) -> Tensor:
                return index.search(query, args.k, **more)[1]

            yield kind, nprobe, search, index.nbytes / 1e6
    del index, search
    bias = vectors.item.new_zeros(vectors.num_items)
    bias = bias if vectors.item_bias is None else vectors.item_bias

    def product(query: Tensor) -> Tensor:
        return torch.addmm(bias, query, vectors.item.t()).topk(args.k)[1]

    yield "torch", None, product, table
    rows = torch.cat([vectors.item, bias.unsqueeze(1)], dim=1).numpy()
    dim = rows.shape[1]
    mb = rows.nbytes / 1e6

    def ask(index: Any, params: Any = None) -> Search:
        def search(query: Tensor) -> Tensor:
            q = torch.cat([query, query.new_ones(len(query), 1)], dim=1).numpy()
            return torch.from_numpy(index.search(q, args.k, params=params)[1])

        return search

    index = faiss.IndexFlatIP(dim)
    index.add(rows)
    yield "faiss Flat", None, ask(index), mb
    lists = round(4 * len(rows) ** 0.5)
    index = faiss.index_factory(dim, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64
    index.train(rows)
    index.add(rows)
    for nprobe in args.nprobe:
        params = faiss.SearchParametersIVF(nprobe=nprobe)
        yield "faiss IVF", nprobe, ask(index, params), mb + 8 * len(rows) / 1e6
    if len(rows) <= HNSW_ITEMS:
        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        index.add(rows)
        links = 4 * index.hnsw.neighbors.size() / 1e6
        for ef in (128, 512):
            params = faiss.SearchParametersHNSW(efSearch=ef)
            yield f"faiss HNSW, efSearch {ef}", None, ask(index, params), mb + links


def number(text: str, items: int) -> int:
    """A size, such as 1m; 41k are the items there are."""
    scale = {"k": 10**3, "m": 10**6}.get(text[-1].lower(), 1)
    size = int(float(text.rstrip("kKmM")) * scale)
    return items if text == "41k" else size


base = drawn() if args.root is None else trained()
norms = base.item.norm(dim=1).quantile(torch.tensor([0.01, 0.5, 0.99]))
rows: list[dict[str, Any]] = []
for text in args.sizes:
    vectors = grow(base, number(text, base.num_items))
    query = base.user[torch.randperm(base.num_users)[: args.queries]]
    truth = top_k(Vectors(query, vectors.item, vectors.item_bias), args.k)[1]
    names = contenders(vectors)
    last, build = "", 0.0
    while True:
        start = perf_counter()
        contender = next(names, None)
        took = perf_counter() - start
        if contender is None:
            break
        name, nprobe, search, mb = contender
        build = took if name.split(",")[0] != last else build
        last = name.split(",")[0]
        row = {"items": vectors.num_items, "index": name, "nprobe": nprobe}
        row |= measure(search, query, truth)
        row |= {"build_s": round(build, 2), "mb": round(mb, 1)}
        rows.append(row)
        print(json.dumps(row), flush=True)
    del vectors

result = {
    "benchmark": "retrieval",
    "vectors": "drawn" if args.root is None else "LTGNN, two epochs on Gowalla",
    "norms": [round(x, 3) for x in norms.tolist()],
    "bias": base.item_bias is not None,
    "dim": base.dim,
    "k": args.k,
    "queries": args.queries,
    "batch": BATCH,
    "sizes": rows,
    "threads": args.threads,
    "seed": args.seed,
    "torch": torch.__version__,
    "faiss": faiss.__version__,
    "platform": platform.platform(),
    "cores": os.cpu_count(),
}
if args.json is not None:
    with open(args.json, "w") as file:
        file.write(json.dumps(result) + "\n")
