"""The lists of each method after the same time, on large sets.

    python benchmarks/scale_quality.py --root data --dataset gowalla \
        --interactions 10000000 --budget 10m --json out.jsonl

The set is a published one expanded to the size (expand.py); a tenth of each user's
interactions is held out to validate on, another to test on, at random. All methods have
as many dimensions, the same threads and the same budget in seconds of training:

- ltgnn: LTGNN as `fit` trains it at that size;
- ltgnn-rounds: LTGNN by exact rounds (PairLoader);
- ltgnn-step: LTGNN of the fixed point by the paper's step (VRNeighborLoader);
- lightgcn: LightGCN, three layers, by the same rounds;
- mf: matrix factorisation with the same objective and batches;
- spectral: the leading singular vectors, which all of these start from;
- als: that of implicit (pip install "ltgnn_pyg[peers]");
- popularity: the items taken most often.

Seconds are of training, the spectrum before the first epoch included; reading,
expanding and evaluating are not. After an epoch (of als, after a fortieth of the
budget at least) a sample of users is validated on, the same for all; a method ends
when its budget is spent or after --patience such looks without a gain. The test part is
looked at once, with the vectors of the best look, for the same number of users. Each
method runs in a process of its own, whose peak memory is the method's.

A method that has its line in --json, with the same settings, is not run again, and a
run that was killed goes on. The settings of als were chosen on the validation part of
an expansion to one million (results/scale_peers.jsonl).
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import record
import torch
from record import Row
from sets import CACHE, load_expansion, sample_users, spectral

from ltgnn_pyg import LTGNN, Graph, PairLoader, Vectors, VRNeighborLoader, fit
from ltgnn_pyg.datasets import Split
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import LightGCN, MatrixFactorization
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.scorers import Scorer
from ltgnn_pyg.scorers.filters import Popularity

parser = record.arguments(__doc__)
parser.add_argument("--interactions", type=int, default=10_000_000)
parser.add_argument(
    "--budget", type=record.duration, default="10m", help="a method: 90s, 10m"
)
parser.add_argument("--methods", nargs="+", metavar="METHOD", help="all by default")
parser.add_argument("--eval-users", type=int, default=5000)
parser.add_argument("--patience", type=int, default=5, help="looks without a gain")
parser.add_argument("--device", default="cpu", help="of our models: cpu, cuda")
parser.add_argument("--cache", type=Path, default=CACHE, help="for expansions")


def rounds(graph: Graph, model: Any) -> PairLoader:
    """Exact rounds."""
    return PairLoader(graph)


def trained(make_model: Callable[..., Any], split: Split, **kwargs: Any) -> Row:
    """A model of ours, by `fit`."""
    size = split.train.num_users, split.train.num_items, args.embedding_dim
    model = make_model(*size).to(args.device)

    graph = Graph.from_interactions(split.train).to(args.device)
    # As `fit` does, to know how long it takes.
    spent = record.seconds(partial(model.init_table, spectral_, graph))
    del graph
    report = fit(
        model,
        split,
        init=None,
        refit=False,
        max_epochs=10**6,
        max_seconds=max(args.budget - spent, 1e-3),
        patience=args.patience,
        eval_users=args.eval_users,
        log=lambda row, _: print(row, file=sys.stderr, flush=True),
        **kwargs,
    )
    curve = [
        [round(spent + row["seconds"], 2), row["recall@20"], row["ndcg@20"]]
        for row in report.curve
    ]
    out = {"scorer": report.scorer, "curve": curve, "epochs": report.epochs}
    out["settings"] = report.settings | {"init": "spectral_"}
    return out | {"start_seconds": round(spent, 2)}


class Done(Exception):
    """The budget is spent, or nothing is gained any more."""


def als(split: Split) -> Row:
    """ALS of implicit, three conjugate gradient steps a side, whose iterations go on
    until the budget is spent.
    """
    import numpy as np
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    settings = {"alpha": 64.0, "regularization": 10.0}
    more = {"num_threads": args.threads, "random_state": args.seed}
    more |= {"factors": args.embedding_dim, "iterations": 10**6}
    model = AlternatingLeastSquares(**settings, **more)
    curve: list[list[float]] = []
    best: Row = {"recall": -1.0}
    start, away = time.perf_counter(), 0.0

    def look(iteration: int, *_: Any) -> None:
        nonlocal away
        now = time.perf_counter()
        spent = now - start - away
        due = spent - (curve[-1][0] if curve else 0.0) >= args.budget / 40
        if not due and spent < args.budget:
            return
        tables = model.user_factors.copy(), model.item_factors.copy()
        found = Vectors(*map(torch.from_numpy, tables))
        curve.append([round(spent, 2), *validate(found, split)])
        if curve[-1][1] > best["recall"]:
            best.update(recall=curve[-1][1], scorer=found)
            best.update(epochs=iteration + 1, at=len(curve))
        if spent >= args.budget or len(curve) - best["at"] >= args.patience:
            raise Done
        away += time.perf_counter() - now

    train = split.train
    ones = np.ones(len(train), np.float32)
    pairs = train.user.numpy(), train.item.numpy()
    matrix = csr_matrix((ones, pairs), shape=(train.num_users, train.num_items))
    with suppress(Done):
        model.fit(matrix, show_progress=False, callback=look)
    return {**best, "curve": curve, "settings": settings}


def untrained(make: Callable[..., Scorer], split: Split, *more: Any) -> Row:
    """A scorer that needs no training."""
    start = time.perf_counter()
    out = {"scorer": make(split.train, *more), "epochs": 0, "settings": {}}
    spent = round(time.perf_counter() - start, 2)
    return {**out, "curve": [[spent, *validate(out["scorer"], split)]]}


def validate(scorer: Scorer, split: Split) -> list[float]:
    """Recall and NDCG on the validation part, as `fit` has them."""
    user, train = sample_users(split.val, args.eval_users), split.train
    seen = train[torch.isin(train.user, user)]
    found = evaluate(scorer, split.val, exclude=seen, user=user)
    return [found["recall@20"], found["ndcg@20"]]


METHODS: dict[str, Callable[[Split], Row]] = {
    "ltgnn": partial(trained, LTGNN),
    "ltgnn-rounds": partial(trained, LTGNN, loader=rounds),
    "ltgnn-step": partial(
        trained, partial(LTGNN, alpha=0.2, K=None), loader=VRNeighborLoader
    ),
    "lightgcn": partial(trained, LightGCN, loader=rounds),
    "mf": partial(trained, MatrixFactorization),
    "spectral": lambda split: untrained(spectral, split, args.embedding_dim),
    "als": als,
    "popularity": partial(untrained, Popularity),
}


def child(method: str) -> Row:
    """Trains by a method, and tests it once."""
    split = load_expansion(
        args.dataset, args.root, args.interactions, args.seed, args.cache,
        make=method == "expand",
    )  # fmt: skip
    sizes = {"interactions": len(split.known) + len(split.test)}
    sizes |= {"train_interactions": len(split.train)}
    sizes |= {"users": split.train.num_users, "items": split.train.num_items}
    if method == "expand":
        return sizes
    out = METHODS[method](split)
    curve = out["curve"]
    best = max(curve, key=lambda point: point[1])
    result = {"seconds": best[0], "seconds_in_all": curve[-1][0]}
    result["validation"] = {"recall@20": best[1], "ndcg@20": best[2]}
    user = sample_users(split.test, args.eval_users)
    result |= evaluate(out["scorer"], split.test, exclude=split.known, user=user)
    keys = ("epochs", "start_seconds", "settings", "curve")
    result |= {"peak_rss_mb": record.peak_rss_mb(), **sizes}
    return result | {key: out[key] for key in keys if key in out}


def asked(method: str) -> Row:
    """The values that tell one line from another."""
    names = ["budget", "eval_users", "patience", "embedding_dim", "threads", "seed"]
    row = {"method": method, "source": args.dataset, "asked": args.interactions}
    row["device"] = args.device
    return row | {name: vars(args)[name] for name in names}


def run(job: Row) -> Row:
    """The line of a method, for which the set is expanded if it is not there."""
    record.alone(args.threads, "expand")
    return record.alone(args.threads, job["method"])


def main() -> None:
    """Runs each method that has no line yet."""
    methods = args.methods or list(METHODS)
    if unknown := [name for name in methods if name not in METHODS]:
        parser.error(f"Expected --methods among {list(METHODS)} (got {unknown})")
    record.go_on(args, [asked(method) for method in methods], run)


args = record.begin(parser)
if args.child:
    print(json.dumps(child(args.child[0])))
else:
    main()
