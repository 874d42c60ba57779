"""Trains LTGNN on 15 million interactions, matrix factorisation and ALS beside it.

    python examples/amazon_large.py --root data --max-minutes 30
    python examples/amazon_large.py --csv ratings.csv    # Amazon Reviews, 10-core
    python examples/amazon_large.py --synthetic          # drawn from a few factors

The files of Amazon-Large are taken if they lie under --root; else a set of its users,
items and interactions is made of a real one that lies there (Gowalla or Yelp2018), else
one is drawn. The minutes of training are shared out alike; a method that gains nothing
any more ends sooner. ALS is that of implicit, where it is installed. Each method runs
in a process of its own, chooses its epoch on the validation part, and is tested once,
all on the same users. A run with --folder can be killed at any moment and goes on with
--resume (ALS, if it was at work, from its start).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ltgnn_pyg import LTGNN, Graph, PairLoader, Vectors, VRNeighborLoader, fit
from ltgnn_pyg.datasets import (
    AmazonLarge,
    Interactions,
    LightGCNText,
    Split,
    k_core,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import MatrixFactorization
from ltgnn_pyg.nn.init import spectral_

SIZE = 872_557, 453_553, 15_236_325  # Users, items and interactions of Amazon-Large.
SOURCES = ("gowalla", "yelp2018")  # What a set of that size is made of.
METHODS = {"ltgnn": "LTGNN", "mf": "MF", "als": "ALS"}
DIM = 64

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--root", type=Path, default="data", help="where sets lie")
parser.add_argument("--source", help="the folder under --root that the set is made of")
parser.add_argument("--csv", help="a file of ratings, in place of Amazon-Large")
parser.add_argument("--names", default="user,item,-,-", help="the columns of --csv; "
                    "empty if its first line names them")  # fmt: skip
parser.add_argument("--synthetic", action="store_true", help="the same size, drawn")
parser.add_argument("--scale", type=float, default=1.0, help="of the set that is made")
parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
parser.add_argument("--loader", choices=["rounds", "steps"], help="how LTGNN is "
                    "trained; as `fit` does by default")  # fmt: skip
parser.add_argument("--max-minutes", type=float, default=30.0, help="of all training")
parser.add_argument("--patience", type=int, default=3, help="epochs without a gain")
parser.add_argument("--eval-users", type=int, default=5000, help="a sample")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, help="of the processor; all by default")
parser.add_argument("--folder", type=Path, help="for the data, metrics and checkpoints")
parser.add_argument("--resume", action="store_true", help="go on from --folder")
parser.add_argument("--json", type=Path, help="write the result here")
parser.add_argument("--task", help=argparse.SUPPRESS)
parser.add_argument("--share", type=float, help=argparse.SUPPRESS)


def make_split():
    """What is trained and tested on, and what it is called."""
    cut = {"test_ratio": 0.1, "val_ratio": 0.1, "seed": args.seed}
    here = [args.root / folder for folder in ("raw", "", AmazonLarge.name)]
    if args.csv is not None:
        names = args.names.split(",") if args.names else None
        interactions = read_interactions(args.csv, names=names, duplicates="drop")
        return split_ratio(k_core(interactions, k=10), **cut), args.csv
    made = args.synthetic or args.source is not None
    if not made and any((folder / "train.txt").exists() for folder in here):
        parts = AmazonLarge(args.root, duplicates="drop")
        return parts.split(val_ratio=0.1, seed=args.seed), "Amazon-Large"
    size = [round(num * args.scale) for num in SIZE]
    names = [args.source] if args.source else SOURCES
    found = [name for name in names if (args.root / name / "train.txt").exists()]
    if found and not args.synthetic:
        sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
        from expand import expand  # It is no part of the package.

        parts = LightGCNText(args.root / found[0])
        whole = Interactions.cat(parts.train, parts.test)
        del parts
        factor, (num_users, num_items, _) = size[2] / len(whole), size
        whole = expand(
            whole, factor, num_users=num_users, num_items=num_items, seed=args.seed
        )
        return split_ratio(whole, **cut, order="random"), f"expanded {found[0]}"
    if not args.synthetic:
        places = ", ".join(str(args.root / name) for name in names)
        print(f"NO SET in {places}: see the README", file=sys.stderr)
    print("SYNTHETIC INTERACTIONS: drawn from a few factors, metrics say nothing of "
          "real ones", file=sys.stderr)  # fmt: skip
    return split_ratio(
        synthetic_interactions(*size, seed=args.seed), **cut
    ), "synthetic"


def save(split):
    """Keeps the parts for the processes to come."""
    pairs = {}
    for name in ("train", "val", "test"):
        part = getattr(split, name)
        pairs[name] = torch.stack([part.user, part.item]).int().numpy()
    size = split.train.num_users, split.train.num_items
    np.savez(args.folder / "split.npz", size=size, **pairs)


def load():
    """The parts that were kept."""
    saved = np.load(args.folder / "split.npz")
    parts = [torch.from_numpy(saved[name]).long() for name in ("train", "val", "test")]
    return Split(*(Interactions(*pairs, *saved["size"].tolist()) for pairs in parts))


def sample(part):
    """Some users of a part, those that `fit` validates on."""
    user = part.user.unique()
    perm = torch.randperm(len(user), generator=torch.Generator().manual_seed(0))
    return user[perm[: args.eval_users]]


def log(name, epoch, seconds, row):
    """Says how an epoch went."""
    figures = (f"{k} {v:.4f}" for k, v in row.items() if "@" in k)
    print(f"{METHODS[name]} epoch {epoch:2d}  {seconds:6.1f} s  ", *figures, flush=True)


def train(name, split, max_seconds):
    """LTGNN or matrix factorisation, by the one protocol."""
    size, settings = (split.train.num_users, split.train.num_items, DIM), {}
    if name == "mf":
        model = MatrixFactorization(*size)
    elif args.loader == "steps":  # The paper's steps, which train the fixed point.
        settings["loader"] = VRNeighborLoader
        model = LTGNN(*size, alpha=0.2, K=None)
    else:
        model = LTGNN(*size)
    if name == "ltgnn" and args.loader == "rounds":
        settings["loader"] = lambda graph, model: PairLoader(graph)

    start = time.perf_counter()  # From the spectrum of the graph, as `fit` would.
    model.init_table(spectral_, Graph.from_interactions(split.train))
    start = time.perf_counter() - start

    def show(row, step):
        log(name, row["epoch"], start + row["seconds"], row)

    report = fit(model, split, init=None, refit=False, max_epochs=1000,
                 max_seconds=max(max_seconds - start, 1e-3), patience=args.patience,
                 eval_users=args.eval_users, folder=args.folder / name, resume=True,
                 log=show, **settings)  # fmt: skip
    out = {"epochs": report.epochs, "reason": report.reason,
           "seconds": start + report.curve[-1]["seconds"], "start_seconds": start,
           "curve": report.curve, "settings": report.settings}  # fmt: skip
    return report.vectors, out


class Done(Exception):
    """Time is up, or nothing is gained any more."""


def train_als(split, max_seconds):
    """Alternating least squares; the same validation, after each iteration."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    start, away, best, curve = time.perf_counter(), 0.0, {}, []
    settings = {"factors": DIM, "alpha": 64.0, "regularization": 10.0}
    model = AlternatingLeastSquares(**settings, iterations=1000, random_state=args.seed,
                                    num_threads=args.threads or 0)  # fmt: skip
    user = sample(split.val)

    def look(iteration, *_):
        nonlocal away
        now = time.perf_counter()
        vectors = Vectors(torch.from_numpy(model.user_factors),
                          torch.from_numpy(model.item_factors))  # fmt: skip
        row = evaluate(vectors, split.val, exclude=split.train, user=user)
        seconds, epoch = now - start - away, iteration + 1
        log("als", epoch, seconds, row)
        curve.append({"epoch": epoch, "seconds": seconds, **row})
        if not best or row["recall@20"] > best["recall"]:
            kept = Vectors(vectors.user.clone(), vectors.item.clone())
            best.update(recall=row["recall@20"], epoch=epoch, vectors=kept)
        if seconds >= max_seconds or epoch - best["epoch"] >= args.patience:
            raise Done
        away += time.perf_counter() - now

    ones = np.ones(len(split.train), np.float32)
    pairs = split.train.user.numpy(), split.train.item.numpy()
    size = split.train.num_users, split.train.num_items
    try:
        model.fit(csr_matrix((ones, pairs), size), show_progress=False, callback=look)
    except Done:
        pass
    out = {"epochs": best["epoch"], "seconds": curve[-1]["seconds"], "curve": curve,
           "settings": settings}  # fmt: skip
    return best["vectors"], out


def work(task, max_seconds):
    """Makes the data, or trains by a method and tests it once."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if task == "data":
        split, source = make_split()
        save(split)
        parts = split.train, split.val, split.test
        num_train, num_val, num_test = map(len, parts)
        out = {"source": source, "num_users": split.train.num_users,
               "num_items": split.train.num_items,
               "num_interactions": sum(map(len, parts)), "num_train": num_train,
               "num_val": num_val, "num_test": num_test}  # fmt: skip
    else:
        split = load()
        if task == "als":
            vectors, out = train_als(split, max_seconds)
        else:
            vectors, out = train(task, split, max_seconds)
        user = sample(split.test)
        out |= evaluate(vectors, split.test, exclude=split.known, user=user)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.
    beside = args.folder / f"{task}.tmp"
    beside.write_text(json.dumps({**out, "peak_rss_mb": round(peak)}))
    os.replace(beside, args.folder / f"{task}.json")


def run(task, *more):
    """The result of a task: of an earlier run, or in a process of its own."""
    path = args.folder / f"{task}.json"
    if not path.exists():
        command = [sys.executable, *sys.argv, "--folder", args.folder, "--task", task]
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        if args.threads is not None:
            env["OMP_NUM_THREADS"] = str(args.threads)
        command += map(str, more)
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE) as process:
            if process.wait() != 0:
                raise SystemExit(f"{task} failed; --resume goes on with --folder")
    return json.loads(path.read_text())


def main():
    """Makes the data, runs each method and prints the table."""
    methods = list(args.methods)
    if "als" in methods and find_spec("implicit") is None:
        methods.remove("als")
        print('NO ALS: pip install "ltgnn_pyg[peers]"', file=sys.stderr)
    if not methods:
        parser.error("Expected a method that can run")
    what = {key: str(value) for key, value in vars(args).items()
            if key not in ("folder", "resume", "json", "task", "share")}  # fmt: skip
    settings = args.folder / "settings.json"
    args.folder.mkdir(parents=True, exist_ok=True)
    if settings.exists():
        if not args.resume:
            parser.error(f"{args.folder} holds a run; pass --resume, or another folder")
        if json.loads(settings.read_text()) != what:
            parser.error(f"{args.folder} holds a run of other settings")
    settings.write_text(json.dumps(what))
    data = run("data")
    print(f"{data['source']}: {data['num_users']:,} users, "
          f"{data['num_items']:,} items, {data['num_train']:,} train, "
          f"{data['num_val']:,} validation, {data['num_test']:,} test interactions",
          flush=True)  # fmt: skip
    seconds = 60 * args.max_minutes / len(methods)
    results = {name: run(name, "--share", seconds) for name in methods}
    print("Method   Minutes  Recall@20  NDCG@20  Peak memory (MB)")
    for name, row in results.items():
        print(f"{METHODS[name]:7s}  {row['seconds'] / 60:7.1f}  {row['recall@20']:9.4f}"
              f"  {row['ndcg@20']:7.4f}  {row['peak_rss_mb']:16,}")  # fmt: skip
    if args.json is not None:
        out = {**data, "max_minutes": args.max_minutes, "eval_users": args.eval_users,
               "loader": args.loader, "seed": args.seed,
               "threads": args.threads or torch.get_num_threads(),
               "methods": results}  # fmt: skip
        out["peak_rss_mb"] = max(
            row["peak_rss_mb"] for row in (data, *results.values())
        )
        args.json.write_text(json.dumps(out) + "\n")


def end_with_parent():
    """Ends this process when the one that started it is gone."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    args = parser.parse_args()
    if args.resume and args.folder is None:
        parser.error("--resume needs the --folder to go on from")
    if args.task is not None:
        threading.Thread(target=end_with_parent, daemon=True).start()
        work(args.task, args.share)
    elif args.folder is not None:
        main()
    else:
        with tempfile.TemporaryDirectory() as temp:
            args.folder = Path(temp)
            main()
