"""The approximations of the paper's step: error, variance, recall.

    python benchmarks/approximation.py --root data --dataset gowalla --json out.jsonl

LTGNN takes the paper's steps on the batches of a VRNeighborLoader. A line for each:

- neighbors: for each number of sampled neighbours, with the control variate and without
  it, recall@20 of the validation part after a short training; and at its end, where the
  snapshot of the history is an epoch old, the relative error of the history against the
  fixed point of the table as it stands, and the relative variance of the sampled
  aggregate of the nodes of a batch.
- iterations: for each alpha, those of the solver from the table to the fixed point,
  beside the bound log(tol) / log(1 - alpha).
- inference: of the last training, recall@20 and the relative error after each number of
  exact steps from the table, and of the fixed point.

The test part is never read.
"""

from typing import Any

import torch
from record import arguments, begin, write
from sets import load_split
from torch import Tensor

from ltgnn_pyg import LTGNN, Graph, History, LTConv, VRNeighborLoader, fit
from ltgnn_pyg.datasets import Split
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import solve
from ltgnn_pyg.sampler import StratifiedNeighborSampler

parser = arguments(__doc__)
parser.add_argument("--epochs", type=int, default=3, help="of a training for recall")
parser.add_argument("--alpha", type=float, default=0.2)
parser.add_argument("--neighbors", type=int, nargs="+", default=[1, 2, 5, 15, 50])
parser.add_argument("--alphas", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.45])
parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 4, 6, 8])
parser.add_argument("--draws", type=int, default=200, help="of the variance")
args = begin(parser)
split = load_split(args.dataset, args.root, 0.1, args.order)
graph = Graph.from_interactions(split.train)
matrix = graph.matrix


class Plain(LTGNN):
    """LTGNN without the control variate: neighbours' rows are sampled themselves."""

    @torch.no_grad()
    def refresh(self, graph: Graph) -> None:
        """Leaves the whole history in the part that is sampled."""
        super().refresh(graph)
        self.history.difference.copy_(self.history.output())
        self.history.reference.zero_()
        self.history.aggregate.zero_()


def train(cls: type[LTGNN], num_neighbors: int) -> tuple[LTGNN, float]:
    """A model after a short training by the paper's steps, and its seconds."""
    torch.manual_seed(args.seed)
    size = split.train.num_users, split.train.num_items, args.embedding_dim
    model = cls(*size, alpha=args.alpha, K=None)

    def loader(graph: Graph, model: Any) -> VRNeighborLoader:
        return VRNeighborLoader(graph, model, num_neighbors)

    known = Split(split.train, split.val[:0], split.test, split.order)
    report = fit(model, known, loader=loader, max_epochs=args.epochs, average=0.0)
    return model, report.train_seconds


def recall(model: LTGNN, z: Tensor) -> float:
    """Recall@20 of the validation part."""
    vectors = model.to_vectors(z, graph)
    return evaluate(vectors, split.val, exclude=split.train)["recall@20"]


def variance(history: History, num_neighbors: int) -> float:
    """That of the sampled aggregate, over the square of the whole one's norm."""
    generator = torch.Generator().manual_seed(args.seed)
    pairs = torch.randint(graph.num_edges, (1024,), generator=generator)
    seed = graph.target_edges[:, pairs].unique()
    whole = StratifiedNeighborSampler(matrix, -1).sample(seed)
    sampler = StratifiedNeighborSampler(matrix, num_neighbors, generator)
    exact, total = history.pull("difference", *whole), 0.0
    for _ in range(args.draws):
        drawn = history.pull("difference", *sampler.sample(seed))
        total += float((drawn - exact).square().sum()) / args.draws
    return total / float(history.pull("output", *whole).square().sum())


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    """The error in the Frobenius norm, over the norm of the exact value."""
    return float((estimate - exact).norm() / exact.norm())


def line(section: str, **row: Any) -> None:
    """A line of a section."""
    about = {"section": section, "alpha": args.alpha, "epochs": args.epochs}
    write(args, {**about, **row})


for cls in (Plain, LTGNN):
    for num_neighbors in args.neighbors:
        model, spent = train(cls, num_neighbors)
        x, newest = model.inputs.weight.detach(), model.history.output()
        exact = solve(x, matrix, args.alpha, z=newest)[0]
        line(
            "neighbors",
            num_neighbors=num_neighbors,
            control_variate=cls is LTGNN,
            error=relative_error(newest, exact),
            variance=variance(model.history, num_neighbors),
            **{"recall@20": recall(model, exact)},
            train_seconds=round(spent, 1),
            draws=args.draws,
        )
for alpha in args.alphas:
    report = solve(x, matrix, alpha, tol=1e-6)[1]
    about = {"iterations": report.iterations, "bound": report.bound, "tol": 1e-6}
    line("iterations", **{"alpha": alpha, "residual": report.residual, **about})
for K in args.steps:
    z = LTConv(args.alpha, K, normalize=False)(x, matrix)
    found, error = recall(model, z), relative_error(z, exact)
    line("inference", K=K, error=error, **{"recall@20": found})
line("inference", K=None, error=0.0, **{"recall@20": recall(model, exact)})
