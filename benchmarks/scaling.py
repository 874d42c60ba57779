"""How time and memory grow with the interactions: LTGNN, MF and LightGCN.

    python benchmarks/scaling.py --max-interactions 10000000 --json out.jsonl

Synthetic graphs with power-law degrees and the same average degrees at every size (20
interactions a user, 40 an item), drawn in a process of their own. Every model then
trains at every size in its own process, whose peak resident memory is therefore the
model's, with BPR, one negative and RowAdam:

- ltgnn: the paper's step on the batches of a VRNeighborLoader;
- rounds: LTGNN on the 80 exact rounds of a PairLoader;
- mf: matrix factorisation on single batches of pairs;
- lightgcn: as in its paper, three products over the whole graph for each batch, forward
  and backward.

An epoch is not run in full. Timed are some of its batches, in chunks (the median is
the step), its shuffle and, in full, its refresh:

    seconds an epoch = step x steps + shuffle + refresh

What happens once a training (reading, sorting the graph, the first fill of the
history) is left out of the time and counted in the memory. The exponent is the slope
of log(seconds an epoch) over log(interactions) by least squares. Memory is held
against a budget, the numbers that training must keep:

    tables + state of the optimizer + graph in CSR + edge list
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ltgnn_pyg import LTGNN, PairLoader, VRNeighborLoader
from ltgnn_pyg.datasets import Interactions, synthetic_interactions
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization
from ltgnn_pyg.optim import RowAdam

SIZES = [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000]
MODELS = {
    "ltgnn": LTGNN,
    "rounds": LTGNN,
    "mf": MatrixFactorization,
    "lightgcn": LightGCN,
}
CHUNKS = 6
Result = dict[str, Any]

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--max-interactions", type=int, default=10_000_000)
parser.add_argument("--max-lightgcn", type=int, default=3_000_000)
parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
parser.add_argument("--turns", type=int, default=3, help="processes a point")
parser.add_argument("--steps", type=int, default=300, help="timed in a process")
parser.add_argument("--whole-steps", type=int, default=12, help="of rounds, lightgcn")
parser.add_argument("--batch-size", type=int, default=2048)
parser.add_argument("--num-neighbors", type=int, default=15)
parser.add_argument("--embedding-dim", type=int, default=64)
parser.add_argument("--history-dtype", choices=["float32", "bfloat16"])
parser.add_argument("--memory-gb", type=float, default=24, help="allowed a process")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)


def clock(function: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def generate(folder: Path, num_interactions: int) -> Result:
    """Draws the interactions into two files."""
    drawn = synthetic_interactions(
        num_interactions // 20, num_interactions // 40, num_interactions, seed=args.seed
    )
    np.save(folder / "user.npy", drawn.user.int().numpy())
    np.save(folder / "item.npy", drawn.item.int().numpy())
    return {"peak_rss_mb": peak_rss_mb()}


def measure(name: str, folder: Path, num_interactions: int) -> Result:
    """Trains a model on the interactions for some steps."""
    libraries = peak_rss_mb()
    user, item = (
        torch.from_numpy(np.load(folder / f"{side}.npy")).long()
        for side in ("user", "item")
    )
    sizes = (num_interactions // 20, num_interactions // 40)
    data = Interactions(user, item, *sizes).to_data()
    del user, item
    settings: dict[str, Any] = {
        "loss_fn": BPRLoss(),
        "weight_decay": 2e-4,
        "init_std": 0.1,
    }
    if name == "ltgnn":
        settings["alpha"] = 0.45
        if args.history_dtype is not None:
            settings["history_dtype"] = getattr(torch, args.history_dtype)
    torch.manual_seed(args.seed)
    model = MODELS[name](*sizes, args.embedding_dim, **settings)
    batch = {"batch_size": args.batch_size, "neg_sampling": "triplet"}
    alone = {"num_rounds": -(-num_interactions // args.batch_size), "leave_out": False}
    loader: Any
    if name == "ltgnn":
        loader = VRNeighborLoader(data, model, args.num_neighbors, **batch)
    else:
        loader = PairLoader(data, **batch, **({} if name == "rounds" else alone))
    optimizer = RowAdam(model.parameters())
    built = peak_rss_mb()
    batches = chain.from_iterable(repeat(loader))

    def train(steps: int) -> None:
        for batch in islice(batches, steps):
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()

    def start() -> None:
        if name == "ltgnn":
            model.refresh(loader.adj_t)

    start()
    filled = peak_rss_mb()
    train(1)
    for state in optimizer.state.values():  # An epoch comes by every row.
        for value in state.values():
            if torch.is_tensor(value):
                value.mul_(1)
    steps = args.steps if name in ("ltgnn", "mf") else args.whole_steps
    chunk = max(steps // CHUNKS, 1)
    train(min(20, chunk))
    refresh = median(clock(start) for _ in range(3))
    shuffle = median(clock(lambda: next(iter(loader.batch_sampler))) for _ in range(3))
    step = median(clock(lambda: train(chunk)) / chunk for _ in range(CHUNKS))

    num_numbers = data.num_nodes * args.embedding_dim
    tables = list(model.parameters())
    if name == "ltgnn":
        tables += model.history.tables().values()
    width = sum(table.element_size() for table in tables)
    ids, entries = loader.adj_t.col_indices().element_size(), 2 * num_interactions
    budget = {
        "tables": num_numbers * width,
        "optimizer": num_numbers * 2 * 4,
        "csr": entries * (ids + 4) + (data.num_nodes + 1) * ids,
        "edge_list": entries * 2 * data.edge_index.element_size(),
    }
    peak, total = peak_rss_mb(), sum(budget.values()) / 2**20
    return {
        "num_nodes": data.num_nodes,
        "seconds_per_epoch": step * len(loader) + shuffle + refresh,
        "seconds_per_step": step,
        "steps_per_epoch": len(loader),
        "steps_timed": chunk * CHUNKS,
        "refresh_s": refresh,
        "shuffle_s": shuffle,
        "peak_rss_mb": round(peak),
        "peak_when_built_mb": round(built),
        "peak_when_filled_mb": round(filled),
        "libraries_mb": round(libraries),
        "budget_mb": round(total),
        "budget_terms_mb": {key: round(value / 2**20) for key, value in budget.items()},
        "formula": f"{width} N d + 8 N d + 2 E ({ids} + 4) + N {ids} + 4 E "
        f"{data.edge_index.element_size()} bytes",
        "peak_over_budget": round(peak / total, 3),
        "peak_less_libraries_over_budget": round((peak - libraries) / total, 3),
    }


def child(task: str, folder: str, num_interactions: int) -> Result:
    """One task within the memory allowed; nothing is measured if that is too little."""
    limit = int(args.memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.set_num_threads(args.threads)
    try:
        if task == "generate":
            return generate(Path(folder), num_interactions)
        return measure(task, Path(folder), num_interactions)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        return {"seconds_per_epoch": None, "error": f"over {args.memory_gb} GB"}


def run(task: str, folder: str, num_interactions: int) -> Result:
    """The result of a task in a process of its own."""
    command = [sys.executable, *sys.argv, "--child", task, folder]
    out = subprocess.check_output([*command, str(num_interactions)])
    return json.loads(out)


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
    x, y = (
        np.log([p[key] for p in fit])
        for key in ("num_interactions", "seconds_per_epoch")
    )
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def ratios(points: list[Result], name: str, other: str) -> dict[int, float]:
    """A model over another at each size, the median over the turns."""
    seconds = {(p["model"], p["num_interactions"]): p.get("turns_s") for p in points}
    pairs = {num: (seconds[name, num], seconds[other, num]) for _, num in seconds}
    return {
        num: round(median(a / b for a, b in zip(*of_both, strict=True)), 3)
        for num, of_both in pairs.items()
        if all(of_both)
    }


def main() -> None:
    """Measures each model at each size."""
    points: list[Result] = []
    for num in (size for size in args.sizes if size <= args.max_interactions):
        turns: dict[str, list[Result]] = {}
        with TemporaryDirectory() as folder:
            if "error" in run("generate", folder, num):
                break
            names = [n for n in MODELS if n != "lightgcn" or num <= args.max_lightgcn]
            for _ in range(args.turns):
                for name in names:
                    turns.setdefault(name, []).append(run(name, folder, num))
                names.reverse()
        for name in sorted(turns):
            points.append(point(name, num, turns[name]))
            print(json.dumps(points[-1]), file=sys.stderr, flush=True)
    result = {
        **{f"exponent_{name}": exponent(points, name) for name in MODELS},
        "ratio_ltgnn_mf": ratios(points, "ltgnn", "mf"),
        "ratio_rounds_ltgnn": ratios(points, "rounds", "ltgnn"),
        "points": points,
        "seconds": "median step x steps_per_epoch + shuffle_s + refresh_s; "
        "steps_timed of the steps were run",
        "batch_size": args.batch_size,
        "num_neighbors": args.num_neighbors,
        "embedding_dim": args.embedding_dim,
        "history_dtype": args.history_dtype,
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
        print(json.dumps(child(args.child[0], args.child[1], int(args.child[2]))))
    else:
        main()
