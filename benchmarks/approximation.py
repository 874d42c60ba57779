"""How good the approximations of the paper's step are, one question a section.

    python benchmarks/approximation.py --root data --json out.jsonl

- history: the relative error of the history embedding against the fixed point of the
  table as it stands, before and after the refresh that ends each epoch.
- variance: the relative variance of the sampled aggregate of a batch's seeds in
  mid-training, with and without the control variate, against num_neighbors.
- solver: iterations to the fixed point against the size of the graph and alpha,
  beside the bound log(tol) / log(1 - alpha). Synthetic graphs.
- neighbors, steps, refresh: recall@20 of the validation part after a short training,
  against num_neighbors; steps at inference (from the table, from the history,
  and the fixed point itself); batches between refreshes, and exact steps in each.

LTGNN takes the paper's step, on the batches of a VRNeighborLoader. The test part is
never read. Writes a line for each measurement.
"""

import argparse
import json
import time
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from sets import HELP, load_split
from torch import Tensor
from tqdm import tqdm

from ltgnn_pyg import LTGNN, LTConv, VRNeighborLoader
from ltgnn_pyg.datasets import synthetic_interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.graph.adjacency import degree, normalized_adj
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import history_step, solve
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.sampler import StratifiedNeighborSampler

Rows = Iterator[dict[str, Any]]

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--sections", nargs="+", default=None)
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data")
parser.add_argument("--epochs", type=int, default=3, help="of a training for recall")
parser.add_argument("--alpha", type=float, default=0.2)
parser.add_argument("--history-epochs", type=int, default=5)
parser.add_argument("--draws", type=int, default=200)
parser.add_argument(
    "--solver-sizes", type=int, nargs="+", default=[20_000, 200_000, 2_000_000]
)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
split = load_split(args.dataset, args.root, 0.1)
train, val = split.train.edge_label_index, split.val.edge_label_index
data, sizes = split.train.to_data(), (split.train.num_users, split.train.num_items)
popularity = degree(data.edge_index, None, data.num_nodes)


class Training:
    """LTGNN, its loader and its optimizer; refreshes after each interval of batches,
    0 for never, with some exact steps from the history each time.
    """

    def __init__(
        self, num_neighbors: int = 15, interval: int = 0, refresh_steps: int = 0
    ) -> None:
        torch.manual_seed(args.seed)
        self.model = LTGNN(*sizes, alpha=args.alpha, K=None)
        self.x, self.history = self.model.inputs.weight, self.model.history
        self.loader = VRNeighborLoader(
            data,
            self.model,
            num_neighbors,
            generator=torch.Generator().manual_seed(args.seed),
        )
        self.adj_t = self.loader.graph
        spectral_(self.x, self.adj_t, data.num_users)
        self.optimizer = RowAdam(self.model.parameters(), lr=1e-3)
        self.interval, self.refresh_steps = interval, refresh_steps
        self.seconds, self.num_steps = 0.0, 0
        self.model.refresh(self.adj_t)
        self.model.refresh = lambda adj_t: None  # Only when it is due, see below.

    @torch.no_grad()
    def refresh(self) -> None:
        """Renews the snapshot, and takes exact steps from it."""
        self.history.refresh(self.adj_t)
        for _ in range(self.refresh_steps):
            agg = self.history.pull("aggregate", torch.arange(data.num_nodes))
            self.history.refresh(self.adj_t, history_step(self.x, agg, args.alpha))

    def run(self, steps: int | None = None) -> None:
        """An epoch or its first steps."""
        start, model = time.perf_counter(), self.model
        for batch in tqdm(islice(self.loader, steps), leave=False, disable=None):
            self.optimizer.zero_grad()
            model.loss(batch).backward()
            self.optimizer.step()
            self.num_steps += 1
            if self.interval and self.num_steps % self.interval == 0:
                self.refresh()
        self.seconds += time.perf_counter() - start

    @torch.no_grad()
    def fixed_point(self) -> Tensor:
        """The embedding that infinitely many steps lead to."""
        return solve(self.x, self.adj_t, args.alpha, z=self.history.output())[0]

    @torch.no_grad()
    def recall(self, z: Tensor | None = None) -> float:
        """Recall@20 of the validation part, of the model's embeddings or of others."""
        vectors = self.model.to_vectors(
            self.model.encode(self.adj_t) if z is None else z, popularity
        )
        return evaluate(vectors, val, exclude_edge_index=train)["recall@20"]


@cache
def trained(num_neighbors: int, interval: int, refresh_steps: int) -> Training:
    """A short training; sections share those of the same settings."""
    training = Training(num_neighbors, interval, refresh_steps)
    for _ in range(args.epochs):
        training.run()
    return training


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    r"""The error in the Frobenius norm, over the norm of the exact value."""
    return float((estimate - exact).norm() / exact.norm())


def history() -> Rows:
    """The history embedding against the fixed point, over training."""
    for refresh_steps in (0, 1, 3):
        training = Training(refresh_steps=refresh_steps)
        exact = training.fixed_point()
        for epoch in range(args.history_epochs + 1):
            if epoch:
                training.run()
                exact = training.fixed_point()
            before = relative_error(training.history.output(), exact)
            if epoch:
                training.refresh()
            after = relative_error(training.history.output(), exact)
            yield {
                "refresh_steps": refresh_steps,
                "epoch": epoch,
                "before": before,
                "after": after,
            }


def variance() -> Rows:
    """The sampled aggregate of a batch's seeds, with and without control variate."""
    training = Training()
    training.run()
    training.refresh()
    training.run(len(training.loader) // 2)
    batch, table = next(iter(training.loader)), training.history
    seed = batch.n_id[: batch.num_seeds]
    full = StratifiedNeighborSampler(training.adj_t, -1).sample(seed)
    for num_neighbors in (1, 2, 5, 10, 15, 20, 30, 50):
        sampler = StratifiedNeighborSampler(
            training.adj_t, num_neighbors, torch.Generator().manual_seed(args.seed)
        )
        row: dict[str, Any] = {"num_neighbors": num_neighbors}
        error = dict.fromkeys(("difference", "output"), 0.0)
        norm = table.pull("output", *full).square().sum()
        exact = {name: table.pull(name, *full) for name in error}
        for _ in range(args.draws):
            drawn = sampler.sample(seed)
            for name in error:
                off = table.pull(name, *drawn) - exact[name]
                error[name] += float(off.square().sum() / norm) / args.draws
        row["variance"] = error["difference"]
        row["variance_without"] = error["output"]
        yield {**row, "draws": args.draws, "seeds": seed.numel()}


def solver() -> Rows:
    """Iterations to the fixed point."""
    for num in args.solver_sizes:
        graph = synthetic_interactions(num // 20, num // 40, num, seed=args.seed)
        x = torch.randn(graph.num_users + graph.num_items, 16)
        adj_t = normalized_adj(graph.to_data().edge_index, num_nodes=x.size(0))
        for alpha in (0.05, 0.1, 0.2, 0.3, 0.45, 0.7):
            start = time.perf_counter()
            _, report = solve(x, adj_t, alpha, tol=1e-6)
            yield {
                "num_interactions": num,
                "alpha": alpha,
                "tol": 1e-6,
                "iterations": report.iterations,
                "bound": report.bound,
                "residual": report.residual,
                "seconds": round(time.perf_counter() - start, 2),
            }


def neighbors() -> Rows:
    """Recall against the neighbours sampled in training."""
    for num_neighbors in (1, 2, 5, 15, 50):
        yield of_training(num_neighbors=num_neighbors)


def refresh() -> Rows:
    """Recall against the batches between refreshes; 0 never refreshes again."""
    for refresh_steps, last in ((0, [0]), (1, [])):
        for interval in (50, 200, per_epoch, *last):
            yield of_training(interval=interval, refresh_steps=refresh_steps)


def of_training(**settings: Any) -> dict[str, Any]:
    """What a training with these settings brings, in what time."""
    settings = {**default, **settings}
    training = trained(**settings)
    seconds = round(training.seconds, 1)
    return {**settings, "recall@20": training.recall(), "train_seconds": seconds}


def steps() -> Rows:
    """Recall against the steps at inference."""
    training = trained(**default)
    exact = training.fixed_point()
    for start, z in (("table", None), ("history", training.history.output())):
        for K in range(1, 9):
            conv = LTConv(args.alpha, K, normalize=False)
            with torch.no_grad():
                out = conv(training.x, training.adj_t, z=z)
            error, recall = relative_error(out, exact), training.recall(out)
            yield {"start": start, "K": K, "error": error, "recall@20": recall}
    yield {
        "start": "fixed point",
        "K": None,
        "error": 0.0,
        "recall@20": training.recall(exact),
    }


SECTIONS = {
    f.__name__: f for f in (history, variance, solver, neighbors, steps, refresh)
}
per_epoch = -(-len(split.train) // 1024)
default = {"num_neighbors": 15, "interval": per_epoch, "refresh_steps": 0}
for section in args.sections or SECTIONS:
    for row in SECTIONS[section]():
        about = {"section": section, "dataset": args.dataset, "seed": args.seed}
        if section != "solver":
            about |= {"alpha": args.alpha, "threads": args.threads}
        line = json.dumps({**about, **row})
        print(line, flush=True)
        if args.json is not None:
            with open(args.json, "a") as file:
                file.write(line + "\n")
