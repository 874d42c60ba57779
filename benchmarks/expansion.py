"""How like its source an expanded set is: degrees, spectrum, and who recommends best.

    python benchmarks/expansion.py --dataset gowalla --root data --factor 2 \
        --travel 0.1 --json out.jsonl

One set a run: the source itself (--factor 1), `datasets.expand` of it, or, with
--kronecker, what it was held against: a plain Kronecker product, each block a copy of
the source with rows and columns shuffled and as many interactions left out as keep the
number. --dataset is gowalla, yelp2018, synthetic, a folder in LightGCN's text form, or
a file of interactions; all parts together, split at random anew.

Recall is that of a sample of users. MF and LTGNN are trained by `fit` for the same few
epochs, so they are compared over sets, not at their best. ALS is that of `implicit`:
pip install -e ".[peers]".
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import torch
from sets import HELP, load_split
from torch import Tensor

from ltgnn_pyg import LTGNN, PairLoader, Vectors, fit
from ltgnn_pyg.datasets import Interactions, Split, expand, split_ratio
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.evaluation.metrics import gini
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import MatrixFactorization
from ltgnn_pyg.scorers.filters import Popularity

AT = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)  # Quantiles.
PLACES = (1, 2, 3, 4, 8, 16, 32, 64)  # Singular values.

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic", help=HELP)
parser.add_argument("--root", default="data", help="where datasets lie or go")
parser.add_argument("--factor", type=float, default=1.0)
parser.add_argument("--travel", type=float, help="that of `expand` by default")
parser.add_argument("--kronecker", action="store_true", help="the rejected way")
parser.add_argument("--methods", nargs="+", help="some, not all")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--users", type=int, default=5000, help="to evaluate")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()


def kronecker(source: Interactions, num: int) -> Interactions:
    """Every block of num x num is a shuffled copy, thinned to a num-th."""
    generator = torch.Generator().manual_seed(args.seed)
    user, item = [], []
    for row in range(num):
        for column in range(num):
            keep = torch.rand(len(source), generator=generator) < 1 / num
            for out, index, size, place in (
                (user, source.user, source.num_users, row),
                (item, source.item, source.num_items, column),
            ):
                perm = torch.randperm(size, generator=generator)
                out.append(perm[index[keep]] + place * size)
    sizes = source.num_users * num, source.num_items * num
    return Interactions(torch.cat(user), torch.cat(item), *sizes)


def degrees(index: Tensor, num: int) -> dict:
    """The law of the degrees."""
    degree = torch.bincount(index, minlength=num).sort().values.double()
    quantiles = {str(at): int(degree[round(at * (num - 1))]) for at in AT}
    about = {"num": num, "mean": float(degree.mean()), "gini": float(gini(degree))}
    return {**about, **quantiles}


def decompose(train: Interactions) -> tuple[Tensor, Vectors]:
    """Leading singular values of the normalised interactions, and what they score."""
    sizes = train.num_users, train.num_items
    ends = torch.stack([train.user, train.item])
    scale = [
        torch.bincount(end, minlength=num).clamp(min=1).rsqrt()
        for end, num in zip(ends, sizes, strict=True)
    ]
    value = scale[0][train.user] * scale[1][train.item]
    matrix = torch.sparse_coo_tensor(ends, value, sizes, check_invariants=False)
    rank = min(80, *sizes)
    user, s, item = (x[..., :64] for x in torch.svd_lowrank(matrix, rank, niter=4))
    return s, Vectors(user * s, item / scale[1].view(-1, 1))


def popularity(split: Split) -> Vectors:
    """The items taken most often."""
    return Popularity(split.train).vectors()


def als(split: Split) -> Vectors:
    """Implicit alternating least squares."""
    try:
        from implicit.als import AlternatingLeastSquares
        from scipy.sparse import csr_matrix
    except ImportError as error:
        raise SystemExit(
            'Expected implicit (got none); run pip install -e ".[peers]", or leave it '
            "out with --methods"
        ) from error
    train = split.train
    ends = train.user.numpy(), train.item.numpy()
    shape = train.num_users, train.num_items
    matrix = csr_matrix((torch.ones(len(train)).numpy(), ends), shape)
    model = AlternatingLeastSquares(
        64, regularization=1.0, alpha=10.0, iterations=10, num_threads=args.threads,
        random_state=args.seed,
    )  # fmt: skip
    model.fit(matrix, show_progress=False)
    factors = model.user_factors, model.item_factors
    return Vectors(*(torch.as_tensor(x[:, :64]) for x in factors))


def trained(model, split: Split, **kwargs) -> Vectors:
    """A model after a few epochs."""
    return fit(model, split, max_epochs=args.epochs, refit=False, **kwargs).vectors


def row_wise(data, model) -> PairLoader:
    """Pairs in steps whose cost does not depend on the size of the graph."""
    return PairLoader(data, num_rounds=max(data.num_edges // 2048, 1), leave_out=False)


def rounds(data, model) -> PairLoader:
    """Exact rounds."""
    return PairLoader(data)


def mf(split: Split) -> Vectors:
    """Matrix factorisation, a row-wise step for 1,024 pairs."""
    model = MatrixFactorization(split.train.num_users, split.train.num_items)
    optimizer = partial(RowAdam, lr=1e-3)
    return trained(model, split, loader=row_wise, optimizer=optimizer)


def ltgnn(split: Split) -> Vectors:
    """LTGNN by exact rounds."""
    model = LTGNN(split.train.num_users, split.train.num_items)
    return trained(model, split, loader=rounds)


torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
split = load_split(args.dataset, args.root)
source = Interactions.cat(split.train, split.val, split.test)
source.time = None  # Drawn at random, whatever its order is.
start, way = time.perf_counter(), "source"
whole = source
if args.kronecker:
    way, whole = "kronecker", kronecker(source, round(args.factor))
elif args.factor != 1:
    travel = {} if args.travel is None else {"travel": args.travel}
    way, whole = "expand", expand(source, args.factor, seed=args.seed, **travel)
seconds = {"expand": round(time.perf_counter() - start, 1)}
split = split_ratio(whole, 0.2, 0.0, order="random", seed=args.seed)
METHODS = {
    "popularity": popularity,
    "svd": lambda _: spectrum[1],
    "als": als,
    "mf": mf,
    "ltgnn": ltgnn,
}
spectrum = decompose(split.train)
sample = torch.randperm(whole.num_users)[: args.users]
recall = {}
for name in args.methods or METHODS:
    torch.manual_seed(args.seed)
    start = time.perf_counter()
    vectors = METHODS[name](split)
    seconds[name] = round(time.perf_counter() - start, 1)
    test, known = split.test.edge_label_index, split.train.edge_label_index
    out = evaluate(vectors, test, exclude_edge_index=known, user=sample, k=20)
    recall[name] = out["recall@20"]
    print(name, recall[name], seconds[name], flush=True)
home = whole.user // source.num_users == whole.item // source.num_items
result = {
    "dataset": args.dataset,
    "way": way,
    "factor": len(whole) / len(source),
    "travel": None if way == "source" else round(1 - float(home.double().mean()), 3),
    "num_interactions": len(whole),
    "density": len(whole) / (whole.num_users * whole.num_items),
    "users": degrees(whole.user, whole.num_users),
    "items": degrees(whole.item, whole.num_items),
    "singular_values": {p: float(spectrum[0][p - 1]) for p in PLACES
                        if p <= len(spectrum[0])},
    "recall@20": recall,
    "users_evaluated": len(sample),
    "epochs": args.epochs,
    "seconds": seconds,
    "threads": args.threads,
    "seed": args.seed,
}  # fmt: skip
print(json.dumps(result, indent=1))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
