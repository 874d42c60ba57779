"""How good the lists become in the same time, on large sets, beside other methods.

    python benchmarks/scale_quality.py --root data --source gowalla \
        --interactions 10000000 --budget 10m --json out.jsonl

The set is a published one expanded to the size (`ltgnn_pyg.datasets.expand`); a tenth
of each user's interactions is held out to validate on, another to test on, at random.
All methods have 64 dimensions, the same threads and the same budget in seconds of
training:

- ltgnn: LTGNN as `fit` trains it at that size;
- ltgnn-rounds: LTGNN by exact rounds (PairLoader);
- ltgnn-step: LTGNN of the fixed point by the paper's step on five neighbours
  (VRNeighborLoader);
- lightgcn: LightGCN, three layers, by the same rounds;
- mf: matrix factorisation with the same objective and batches;
- spectral: the leading singular vectors, which all of these start from;
- als, bpr: those of implicit (pip install "ltgnn_pyg[peers]");
- popularity: the items taken most often.

Seconds are of training, what comes before the first epoch included (the normalised
graph and its spectrum, a matrix in another form); reading, expanding and evaluating are
not. After an epoch (of als and bpr, after a fortieth of the budget at least) a sample
of users is validated on, the same for all; a method ends when its budget is spent or
after --patience such looks without a gain. The test part is looked at once, with the
vectors of the best look, for the same number of users. Each method runs in a process of
its own, whose peak memory is the method's.

--json is appended to, a line a method: a method that has its line there, with the same
settings, is not run again, and a run that was killed goes on. The settings of als were
chosen on the validation part of an expansion to one million (--validation leaves the
test part; the lines are in results/scale_peers.jsonl).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from record import about
from sets import CACHE, SOURCE, load_expansion, sample_users
from untrained import spectral

from ltgnn_pyg import LTGNN, PairLoader, Vectors, VRNeighborLoader, fit, normalized_adj
from ltgnn_pyg.datasets import Split
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import LightGCN, MatrixFactorization
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.scorers import Scorer
from ltgnn_pyg.scorers.filters import Popularity

Row = dict[str, Any]


def seconds(text: str) -> float:
    """Of a duration such as 90, 90s, 10m or 1h."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    value = float(text[:-1]) * unit if unit else float(text)
    if not value > 0:
        raise ValueError("Expected a positive duration")
    return value


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--root", default="data", help="where the source lies or goes")
parser.add_argument("--source", default="gowalla", help=SOURCE)
parser.add_argument("--interactions", type=int, default=10_000_000)
parser.add_argument("--budget", type=seconds, default="10m", help="a method: 90s, 10m")
parser.add_argument("--methods", nargs="+", metavar="METHOD", help="all by default")
parser.add_argument("--eval-users", type=int, default=5000)
parser.add_argument("--patience", type=int, default=5, help="looks without a gain")
parser.add_argument("--embedding-dim", type=int, default=64)
parser.add_argument("--als-alpha", type=float, default=64.0, help="of a positive")
parser.add_argument("--als-regularization", type=float, default=10.0)
parser.add_argument("--bpr-learning-rate", type=float, default=0.05)
parser.add_argument("--bpr-regularization", type=float, default=0.01)
parser.add_argument("--validation", action="store_true", help="leave the test part")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--device", default="cpu", help="of our models: cpu, cuda")
parser.add_argument("--cache", type=Path, default=CACHE, help="for expansions")
parser.add_argument("--json", type=Path)
parser.add_argument("--child", help=argparse.SUPPRESS)


def rounds(data, model):
    """Exact rounds."""
    return PairLoader(data)


def steps(data, model):
    """The paper's steps, on five neighbours."""
    return VRNeighborLoader(data, model, num_neighbors=5)


def of_fixed_point(*size: int) -> LTGNN:
    """LTGNN as the paper's steps train it."""
    return LTGNN(*size, alpha=0.2, K=None)


def trained(make_model: Callable[..., Any], split: Split, **kwargs: Any) -> Row:
    """A model of ours, by `fit`."""
    size = split.train.num_users, split.train.num_items
    model = make_model(*size, args.embedding_dim).to(args.device)
    start = time.perf_counter()  # As `fit` does, to know how long it takes.
    edge_index = split.train.to_data().edge_index.to(args.device)
    adj_t = normalized_adj(edge_index, num_nodes=model.num_nodes)
    spectral_(model.inputs.weight, adj_t, model.num_users)
    start = time.perf_counter() - start
    del edge_index, adj_t
    if start >= args.budget:
        print(f"The start alone took {start:.0f} s", file=sys.stderr)
    report = fit(
        model,
        split,
        init=None,
        refit=False,
        max_epochs=10**6,
        max_seconds=max(args.budget - start, 1e-3),
        patience=args.patience,
        eval_users=args.eval_users,
        log=lambda row, _: print(row, file=sys.stderr, flush=True),
        **kwargs,
    )
    curve = [
        [round(start + row["seconds"], 2), row["recall@20"], row["ndcg@20"]]
        for row in report.curve
    ]
    return {
        "vectors": report.vectors,
        "curve": curve,
        "epochs": report.epochs,
        "start_seconds": round(start, 2),
        "settings": report.settings | {"init": "spectral_"},
    }


class Done(Exception):
    """The budget is spent, or nothing is gained any more."""


def of_implicit(make_model: Callable[..., Any], split: Split, **settings: Any) -> Row:
    """A model of implicit, whose iterations go on until the budget is spent."""
    import numpy as np
    from scipy.sparse import csr_matrix

    settings = {"factors": args.embedding_dim, **settings}
    more = {"num_threads": args.threads, "random_state": args.seed}
    model = make_model(**settings, **more, iterations=10**6)
    validate = looker(split)
    curve: list[list[float]] = []
    best: Row = {}
    start, away = time.perf_counter(), 0.0

    def look(iteration: int, *_: Any) -> None:
        nonlocal away
        now = time.perf_counter()
        spent = now - start - away
        due = spent - (curve[-1][0] if curve else 0.0) >= args.budget / 40
        if not due and spent < args.budget:
            return
        found = Vectors(
            torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors)
        )
        recall, ndcg = validate(found)
        curve.append([round(spent, 2), recall, ndcg])
        print(iteration + 1, curve[-1], file=sys.stderr, flush=True)
        if not best or recall > best["recall"]:
            kept = Vectors(found.user.clone(), found.item.clone())
            best.update(recall=recall, vectors=kept)
            best.update(epochs=iteration + 1, at=len(curve))
        if spent >= args.budget or len(curve) - best["at"] >= args.patience:
            raise Done
        away += time.perf_counter() - now

    train = split.train
    ones = np.ones(len(train), np.float32)
    pairs = train.user.numpy(), train.item.numpy()
    matrix = csr_matrix((ones, pairs), shape=(train.num_users, train.num_items))
    try:
        model.fit(matrix, show_progress=False, callback=look)
    except Done:
        pass
    settings = {"model": type(model).__name__, **settings}
    return {**best, "curve": curve, "settings": settings}


def als(split: Split) -> Row:
    """Alternating least squares, three conjugate gradient steps a side."""
    from implicit.cpu.als import AlternatingLeastSquares

    settings = {"alpha": args.als_alpha, "regularization": args.als_regularization}
    return of_implicit(AlternatingLeastSquares, split, **settings)


def bpr(split: Split) -> Row:
    """Matrix factorisation with BPR, by stochastic gradient descent."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    settings = {
        "learning_rate": args.bpr_learning_rate,
        "regularization": args.bpr_regularization,
    }
    return of_implicit(BayesianPersonalizedRanking, split, **settings)


def untrained(make: Callable[..., Scorer], split: Split) -> Row:
    """What there is nothing to train of."""
    start = time.perf_counter()
    vectors = make(split.train)
    spent = round(time.perf_counter() - start, 2)
    curve = [[spent, *looker(split)(vectors)]]
    return {"vectors": vectors, "curve": curve, "epochs": 0, "settings": {}}


def looker(split: Split) -> Callable[[Scorer], list[float]]:
    """Recall and NDCG on the validation part, as `fit` has them."""
    user = sample_users(split.val, args.eval_users)
    train = split.train.edge_label_index
    train = train[:, torch.isin(train[0], user)]

    def look(vectors: Scorer) -> list[float]:
        found = evaluate(
            vectors, split.val.edge_label_index, exclude_edge_index=train, user=user
        )
        return [found["recall@20"], found["ndcg@20"]]

    return look


METHODS: dict[str, Callable[[Split], Row]] = {
    "ltgnn": partial(trained, LTGNN),
    "ltgnn-rounds": partial(trained, LTGNN, loader=rounds),
    "ltgnn-step": partial(trained, of_fixed_point, loader=steps),
    "lightgcn": partial(trained, LightGCN, loader=rounds),
    "mf": partial(trained, MatrixFactorization),
    "spectral": partial(untrained, lambda known: spectral(known, args.embedding_dim)),
    "als": als,
    "bpr": bpr,
    "popularity": partial(untrained, Popularity),
}


def child(method: str) -> Row:
    """Trains by a method, and tests it once."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    split = load_expansion(
        args.source, args.root, args.interactions, args.seed, args.cache,
        make=method == "expand",
    )  # fmt: skip
    parts = split.train, split.val, split.test
    sizes = {
        "interactions": sum(map(len, parts)),
        "train_interactions": len(split.train),
        "users": split.train.num_users,
        "items": split.train.num_items,
    }
    if method == "expand":
        return sizes
    out = METHODS[method](split)
    vectors, curve = out.pop("vectors"), out["curve"]
    at = max(range(len(curve)), key=lambda i: curve[i][1])
    result = {"seconds": curve[at][0], "seconds_in_all": curve[-1][0]}
    names = {"recall@20": curve[at][1], "ndcg@20": curve[at][2]}
    result["validation"] = names
    if not args.validation:
        known = torch.cat([part.edge_label_index for part in parts[:2]], dim=1)
        user = sample_users(split.test, args.eval_users)
        test = split.test.edge_label_index
        result |= evaluate(vectors, test, exclude_edge_index=known, user=user)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    result |= {"epochs": out["epochs"], "peak_rss_mb": round(peak)} | sizes
    keys = ("start_seconds", "settings", "curve")
    return result | {key: out[key] for key in keys if key in out}


def run(method: str) -> Row:
    """The result of a method, in a process of its own."""
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    env |= {"MKL_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, *sys.argv, "--child", method]
    out = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def key(row: Row) -> Row:
    """What tells one run from another."""
    names = ["source", "asked", "budget", "validation_only", "eval_users", "patience"]
    names += ["embedding_dim", "threads", "seed"]
    out = {name: row.get(name) for name in ["method", *names]}
    out["device"] = row.get("device", "cpu")
    if row["method"] in ("als", "bpr"):
        out |= {name: v for name, v in row.items() if name.startswith(row["method"])}
    return out


def main() -> None:
    """Runs each method that has no line yet."""
    methods = args.methods or list(METHODS)
    if unknown := [name for name in methods if name not in METHODS]:
        parser.error(f"Expected --methods among {list(METHODS)} (got {unknown})")
    lines: list[str] = []
    if args.json is not None and args.json.exists():
        lines = args.json.read_text().splitlines()
    done = [key(json.loads(line)) for line in lines]
    wanted = []
    for method in methods:
        row = {
            "method": method,
            "source": args.source,
            "asked": args.interactions,
            "budget": args.budget,
            "validation_only": args.validation,
            "eval_users": args.eval_users,
            "patience": args.patience,
            "embedding_dim": args.embedding_dim,
            "threads": args.threads,
            "seed": args.seed,
            "device": args.device,
        }
        if method in ("als", "bpr"):  # What was asked of them.
            row |= {k: v for k, v in vars(args).items() if k.startswith(f"{method}_")}
        if key(row) in done:
            print(f"{method}: done before", file=sys.stderr)
        else:
            wanted.append(row)
    if wanted:
        print(json.dumps(run("expand")), file=sys.stderr, flush=True)
    here = about(["benchmarks/scale_quality.py", *sys.argv[1:]])
    for row in wanted:
        try:
            row = {**here, **row, **run(row["method"])}
        except subprocess.CalledProcessError as error:  # The others go on.
            print(f"{row['method']} failed: {error}", file=sys.stderr, flush=True)
            continue
        print(json.dumps({k: v for k, v in row.items() if k != "curve"}), flush=True)
        if args.json is not None:
            with open(args.json, "a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child)))
    else:
        main()
