"""Time and memory against the interactions: LTGNN, its two ways, and MF.

    python benchmarks/scaling.py --root data --dataset gowalla --json out.jsonl

A published set expanded to each size (expand.py), in a process of its own. Every model
then trains at every size in its own process, whose peak resident memory is therefore
the model's, with the objective and the batches that `fit` takes:

- ltgnn: LTGNN as `fit` trains it at that size;
- ltgnn-step: the paper's step on five neighbours (VRNeighborLoader);
- ltgnn-rounds: 80 exact rounds (PairLoader);
- mf: matrix factorisation, a row-wise step for 1,024 pairs.

An epoch runs until it ends or --limit seconds have passed, but for --min-steps batches
at least. If it did not end (`steps_timed` below `steps_per_epoch`), its batches are
scaled:

    seconds an epoch = refresh + shuffle + mean of a batch x steps

The work of a whole training (reading, sorting the graph, the first fill of the history)
is left out of the time and counted in the memory. The exponent is the slope of
log(seconds an epoch) over log(interactions) by least squares.
"""

import json
import time
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

import numpy as np
import torch
from record import Row, alone, arguments, begin, peak_rss_mb, seconds, write
from sets import CACHE, load_expansion

from ltgnn_pyg import LTGNN, Graph, PairLoader, VRNeighborLoader
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import MatrixFactorization
from ltgnn_pyg.train import default_loader

SIZES = [1_000_000, 3_000_000, 10_000_000, 30_000_000]

parser = arguments(__doc__)
parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
parser.add_argument("--models", nargs="+", metavar="MODEL", help="all by default")
parser.add_argument("--turns", type=int, default=3, help="processes a point")
parser.add_argument("--limit", type=float, default=30.0, help="seconds of an epoch")
parser.add_argument("--min-steps", type=int, default=5, help="of an epoch, at least")
parser.add_argument("--cache", type=Path, default=CACHE, help="for expansions")


MODELS = {
    "ltgnn": (LTGNN, default_loader),
    "ltgnn-step": (partial(LTGNN, alpha=0.2, K=None), VRNeighborLoader),
    "ltgnn-rounds": (LTGNN, lambda graph, _: PairLoader(graph)),
    "mf": (MatrixFactorization, default_loader),
}


def load(num_interactions: int, make: bool = False) -> Interactions:
    """All interactions of an expansion."""
    split = load_expansion(
        args.dataset, args.root, num_interactions, args.seed, args.cache, make
    )
    return Interactions.cat(split.known, split.test)


def measure(name: str, num_interactions: int) -> Row:
    """Trains a model on the interactions for an epoch, or some of its batches."""
    libraries = peak_rss_mb()
    interactions = load(num_interactions)
    size = interactions.num_users, interactions.num_items, args.embedding_dim
    graph = Graph.from_interactions(interactions)
    del interactions
    make_model, make_loader = MODELS[name]
    model = make_model(*size)
    loader = make_loader(graph, model)
    optimizer = RowAdam(model.parameters())

    def train(batch: Any) -> None:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()

    batches = iter(loader)  # Fills an empty history.
    for batch in islice(batches, 1 if name == "ltgnn-rounds" else 20):
        train(batch)
    for state in optimizer.state.values():  # An epoch comes by every row.
        for value in state.values():
            if torch.is_tensor(value):
                value.mul_(1)
    shuffle = median(seconds(lambda: next(iter(loader.batch_sampler))) for _ in "123")
    num, total = 0, len(loader)
    start = time.perf_counter()
    batches = iter(loader)
    refresh = time.perf_counter() - start
    for batch in batches:
        train(batch)
        num, spent = num + 1, time.perf_counter() - start
        whole = batch.get("is_last", True)  # Rounds are paid for when they start.
        if spent >= args.limit and num >= args.min_steps and whole:
            break
    each = (spent - refresh - shuffle) / num  # The first batch waits for the shuffle.
    return {
        "interactions": graph.num_edges,
        "num_nodes": graph.num_nodes,
        "trained_by": type(loader).__name__,
        "seconds_per_epoch": refresh + shuffle + each * total,
        "seconds_per_step": each,
        "steps_per_epoch": total,
        "steps_timed": num,
        "refresh_s": refresh,
        "shuffle_s": shuffle,
        "peak_rss_mb": peak_rss_mb(),
        "libraries_mb": libraries,
    }


def point(name: str, num_interactions: int, turns: list[Row]) -> Row:
    """The turn of the median time, and the highest memory of all."""
    about = {"model": name, "num_interactions": num_interactions}
    turns = sorted(turns, key=lambda result: result["seconds_per_epoch"])
    peak = max(result["peak_rss_mb"] for result in turns)
    spent = [result["seconds_per_epoch"] for result in turns]
    return {**about, **turns[len(turns) // 2], "peak_rss_mb": peak, "turns_s": spent}


def exponent(points: list[Row], name: str) -> float | None:
    """The slope in log-log."""
    fit = [p for p in points if p["model"] == name]
    if len(fit) < 2:
        return None
    x, y = (np.log([p[k] for p in fit]) for k in ("interactions", "seconds_per_epoch"))
    return round(linear_regression(x.tolist(), y.tolist()).slope, 3)


def main() -> None:
    """Measures each model at each size."""
    names = args.models or list(MODELS)
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"Expected --models among {list(MODELS)} (got {unknown})")
    points: list[Row] = []
    for num in args.sizes:
        alone(args.threads, "expand", num)
        turns: dict[str, list[Row]] = {}
        for _ in range(args.turns):
            for name in names:
                turns.setdefault(name, []).append(alone(args.threads, name, num))
            names = names[::-1]
        points += [point(name, num, turns[name]) for name in sorted(turns)]
    about = {k: vars(args)[k] for k in ("embedding_dim", "limit", "turns")}
    slopes = {f"exponent_{name}": exponent(points, name) for name in MODELS}
    write(args, {"source": args.dataset, **about, **slopes, "points": points})


args = begin(parser)
if args.child:
    task, num = args.child[0], int(args.child[1])
    expanded = None if task in MODELS else {"made": len(load(num, make=True))}
    print(json.dumps(expanded or measure(task, num)))
else:
    main()
