"""How time and memory grow with the interactions: LTGNN, its two ways, and MF.

    python benchmarks/scaling.py --root data --source gowalla --json out.jsonl

A published set expanded to each size (`ltgnn_pyg.datasets.expand`), in a process of its
own. Every model then trains at every size in its own process, whose peak resident
memory is therefore the model's, with the objective and the batches that `fit` takes:

- ltgnn: LTGNN as `fit` trains it at that size;
- ltgnn-step: the paper's step on five neighbours (VRNeighborLoader);
- ltgnn-rounds: 80 exact rounds (PairLoader);
- mf: matrix factorisation, a row-wise step for 1,024 pairs.

An epoch runs until it ends or --limit seconds have passed, but for --min-steps batches
at least. If it did not end (`steps_timed` below `steps_per_epoch`), its batches are
scaled:

    seconds an epoch = refresh + shuffle + mean of a batch x steps

What happens once a training (reading, sorting the graph, its spectrum, the first fill
of the history) is left out of the time and counted in the memory, but for the spectrum.
The exponent is the slope of log(seconds an epoch) over log(interactions) by least
squares. Memory is held against a budget, the numbers that training must keep:

    tables + state of the optimizer + graph in CSR + edge list
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sets import CACHE, SOURCE, load_expansion

from ltgnn_pyg import LTGNN, PairLoader, VRNeighborLoader
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import MatrixFactorization
from ltgnn_pyg.train.fit import default_loader

SIZES = [1_000_000, 3_000_000, 10_000_000, 30_000_000]
Result = dict[str, Any]

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--root", default="data", help="where the source lies or goes")
parser.add_argument("--source", default="gowalla", help=SOURCE)
parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
parser.add_argument("--models", nargs="+", metavar="MODEL", help="all by default")
parser.add_argument("--turns", type=int, default=3, help="processes a point")
parser.add_argument("--limit", type=float, default=30.0, help="seconds of an epoch")
parser.add_argument(
    "--min-steps", type=int, default=5, help="of an epoch, however long"
)
parser.add_argument("--embedding-dim", type=int, default=64)
parser.add_argument("--memory-gb", type=float, default=24, help="allowed a process")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--cache", type=Path, default=CACHE, help="for expansions")
parser.add_argument("--json", type=Path)
parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)


def default(*size: int) -> Any:
    """LTGNN as it is, by the loader that `fit` takes."""
    return LTGNN(*size), default_loader


def step(*size: int) -> Any:
    """LTGNN of the fixed point, by the paper's steps."""
    return LTGNN(*size, alpha=0.2, K=None), VRNeighborLoader


def rounds(*size: int) -> Any:
    """LTGNN by exact rounds."""
    return LTGNN(*size), lambda data, model: PairLoader(data)


def mf(*size: int) -> Any:
    """Matrix factorisation, by the loader that `fit` takes."""
    return MatrixFactorization(*size), default_loader


MODELS = {"ltgnn": default, "ltgnn-step": step, "ltgnn-rounds": rounds, "mf": mf}


def clock(function: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def load(num_interactions: int, make: bool = False) -> Interactions:
    """All interactions of an expansion."""
    split = load_expansion(
        args.source, args.root, num_interactions, args.seed, args.cache, make
    )
    return Interactions.cat(split.train, split.val, split.test)


def measure(name: str, num_interactions: int) -> Result:
    """Trains a model on the interactions for an epoch, or some of its batches."""
    libraries = peak_rss_mb()
    interactions = load(num_interactions)
    size = interactions.num_users, interactions.num_items
    data = interactions.to_data()
    del interactions
    torch.manual_seed(args.seed)
    model, make_loader = MODELS[name](*size, args.embedding_dim)
    loader = make_loader(data, model)
    steps = isinstance(loader, VRNeighborLoader)
    optimizer = RowAdam(model.parameters())
    built = peak_rss_mb()

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
    filled = peak_rss_mb()
    shuffle = median(clock(lambda: next(iter(loader.batch_sampler))) for _ in range(3))
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

    num_numbers = data.num_nodes * args.embedding_dim
    tables = list(model.parameters())
    if steps:
        tables += model.history.tables().values()
    width = sum(table.element_size() for table in tables)
    ids, entries = loader.adj_t.col_indices().element_size(), data.num_edges
    budget = {
        "tables": num_numbers * width,
        "optimizer": num_numbers * 2 * 4,
        "csr": entries * (ids + 4) + (data.num_nodes + 1) * ids,
        "edge_list": entries * 2 * data.edge_index.element_size(),
    }
    peak, needed = peak_rss_mb(), sum(budget.values()) / 2**20
    return {
        "interactions": data.num_edges // 2,
        "num_nodes": data.num_nodes,
        "trained_by": type(loader).__name__,
        "seconds_per_epoch": refresh + shuffle + each * total,
        "seconds_per_step": each,
        "steps_per_epoch": total,
        "steps_timed": num,
        "refresh_s": refresh,
        "shuffle_s": shuffle,
        "peak_rss_mb": round(peak),
        "peak_when_built_mb": round(built),
        "peak_when_filled_mb": round(filled),
        "libraries_mb": round(libraries),
        "budget_mb": round(needed),
        "budget_terms_mb": {key: round(value / 2**20) for key, value in budget.items()},
        "formula": f"{width} N d + 8 N d + 2 E ({ids} + 4) + N {ids} + 4 E "
        f"{data.edge_index.element_size()} bytes",
        "peak_less_libraries_over_budget": round((peak - libraries) / needed, 3),
    }


def child(task: str, num_interactions: int) -> Result:
    """One task within the memory allowed; nothing is measured if that is too little."""
    limit = int(args.memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.set_num_threads(args.threads)
    try:
        if task == "expand":
            return {"interactions": len(load(num_interactions, make=True))}
        return measure(task, num_interactions)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        return {"seconds_per_epoch": None, "error": f"over {args.memory_gb} GB"}


def run(task: str, num_interactions: int) -> Result:
    """The result of a task in a process of its own."""
    command = [sys.executable, *sys.argv, "--child", task, str(num_interactions)]
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    return json.loads(subprocess.check_output(command, env=env))


def point(name: str, num_interactions: int, turns: list[Result]) -> Result:
    """The turn of the median time, and the highest memory of all."""
    about = {"model": name, "num_interactions": num_interactions}
    if failed := [result for result in turns if "error" in result]:
        return {**about, **failed[0]}
    seconds = [result["seconds_per_epoch"] for result in turns]
    middle = turns[seconds.index(sorted(seconds)[len(seconds) // 2])]
    peaks = {key: max(r[key] for r in turns) for key in middle if "peak" in key}
    return {**about, **middle, **peaks, "turns_s": seconds}


def exponent(points: list[Result], name: str) -> float | None:
    """The slope in log-log."""
    fit = [p for p in points if p["model"] == name and p["seconds_per_epoch"]]
    if len(fit) < 2:
        return None
    x, y = (np.log([p[k] for p in fit]) for k in ("interactions", "seconds_per_epoch"))
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def ratios(points: list[Result], name: str, other: str) -> dict[int, float]:
    """A model over another at each size, the median over the turns."""
    seconds = {(p["model"], p["num_interactions"]): p.get("turns_s") for p in points}
    pairs = {n: (seconds.get((name, n)), seconds.get((other, n))) for _, n in seconds}
    return {
        num: round(median(a / b for a, b in zip(*of_both, strict=True)), 3)
        for num, of_both in pairs.items()
        if all(of_both)
    }


def main() -> None:
    """Measures each model at each size."""
    names = args.models or list(MODELS)
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"Expected --models among {list(MODELS)} (got {unknown})")
    points: list[Result] = []
    for num in args.sizes:
        if "error" in run("expand", num):
            break
        turns: dict[str, list[Result]] = {}
        for _ in range(args.turns):
            for name in names:
                turns.setdefault(name, []).append(run(name, num))
            names = names[::-1]
        for name in sorted(turns):
            points.append(point(name, num, turns[name]))
            print(json.dumps(points[-1]), file=sys.stderr, flush=True)
    slopes = {name: exponent(points, name) for name in MODELS}
    both = None not in (slopes["ltgnn"], slopes["mf"])
    result = {
        "source": args.source,
        **{f"exponent_{name}": slope for name, slope in slopes.items()},
        "exponent_ltgnn_less_mf": round(slopes["ltgnn"] - slopes["mf"], 3)
        if both
        else None,
        **{
            f"ratio_{name}_mf": ratios(points, name, "mf")
            for name in MODELS
            if name != "mf"
        },
        "points": points,
        "seconds": "refresh_s + shuffle_s + seconds_per_step x steps_per_epoch; "
        "steps_timed of the steps were run",
        "embedding_dim": args.embedding_dim,
        "limit": args.limit,
        "turns": args.turns,
        "threads": args.threads,
        "seed": args.seed,
    }
    print(json.dumps(result, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child[0], int(args.child[1]))))
    else:
        main()
