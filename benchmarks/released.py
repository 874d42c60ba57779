"""LTGNN as its authors released it, where that departs from their paper.

    python benchmarks/released.py --root data --dataset gowalla --json out.json

Trains it by `fit`, chosen on validation, and tests once. The departures:

- propagation over A + I;
- scores of (Z - 0.2 X) / 0.8 in place of Z;
- a history V of gradients, whose sampled aggregate is added to the gradient of the
  step: alpha g_r + (1 - alpha) sum_j c_rj A_rj V_j;
- as many draws an epoch as there are pairs, of a user first, then of one of its pairs;
- negatives that the user has not seen, BPR, and Adam on the rows of a batch.

`gradient.py` compares the gradients. With corrected=True each V_j is weighed by how
often j was visited over how often r was, without which the sum is no estimate of the
gradient of an epoch.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sets import HELP, load_split
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.typing import Adj, OptTensor

from ltgnn_pyg import (
    History,
    ItemNegativeSampling,
    StratifiedNeighborSampler,
    VRNeighborLoader,
    fit,
    normalized_adj,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.graph.adjacency import aggregate
from ltgnn_pyg.nn import BPRLoss, Recommender, exact_steps, history_step

INIT_STEPS = 7  # Exact steps from X that fill an empty history.


class Released(Recommender):
    """The model, which takes the paper's step with a history of gradients."""

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        alpha: float = 0.45,
        K: int = 3,
        residual: float = 0.2,
        add_self_loops: bool = True,
        corrected: bool = False,
        **kwargs: Any,
    ) -> None:
        defaults = {"loss_fn": BPRLoss(), "weight_decay": 2e-4, "init_std": 0.1}
        super().__init__(num_users, num_items, embedding_dim, **{**defaults, **kwargs})
        self.residual = residual
        self.add_self_loops = add_self_loops
        self.corrected = corrected
        self.alpha = alpha
        self.K = K
        self.history = History(self.num_nodes, embedding_dim)
        self.register_buffer("gradient", torch.zeros_like(self.inputs.weight))
        self.register_buffer("visits", torch.zeros(self.num_nodes))

    def encode(self, adj_t: Tensor) -> Tensor:
        """Takes K exact steps from X; the history has no say."""
        x = self.inputs.weight
        return self._score(exact_steps(x, adj_t, self.alpha, self.K), x)

    def get_embedding(self, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        """The embeddings over a graph, with self-loops."""
        loops = self.add_self_loops
        return self.encode(
            normalized_adj(edge_index, edge_weight, self.num_nodes, loops)
        )

    @torch.no_grad()
    def refresh(self, adj_t: Tensor) -> None:
        """Renews the snapshot of the history and its aggregate."""
        z = None
        if self.history.num_refreshes == 0:
            z = exact_steps(self.inputs.weight, adj_t, self.alpha, INIT_STEPS)
        self.history.refresh(adj_t, z)

    def loss(self, batch: Data) -> Tensor:
        """The loss of a step; its backward pass leaves gradients in the history."""
        alpha, seed = self.alpha, batch.n_id[: batch.num_seeds]
        v = self._aggregate(batch, seed)
        x = F.embedding(seed, self.inputs.weight, sparse=True)
        x_step = x.view_as(x)  # Its gradient is that of the step alone.
        z = history_step(x_step, batch.aggregate, alpha)
        self.history.push(seed, z.detach())
        self.visits[seed] += 1

        def add_history(grad: Tensor) -> Tensor:
            grad = grad + (1 - alpha) * v
            self.gradient[seed] = grad
            return grad

        x_step.register_hook(add_history)
        return self.objective(self._score(z, x), batch) + self.decay(x, batch)

    def _aggregate(self, batch: Data, seed: Tensor) -> Tensor:
        """The gradients of sampled neighbours, in the place of all of them."""
        neighbor, weight = batch.n_id[seed.numel() :], batch.edge_weight
        of_seed = batch.edge_index[1]  # In order.
        if self.corrected:
            visits = self.visits.clamp(min=1.0)
            weight = weight * self.visits[neighbor] / visits[seed[of_seed]]
        ptr = torch.searchsorted(of_seed, torch.arange(seed.numel() + 1))
        return aggregate(self.gradient, neighbor, weight, ptr)

    def _score(self, z: Tensor, x: Tensor) -> Tensor:
        return (z - self.residual * x) / (1 - self.residual)


class ReleasedLoader:
    """The batches of the released code: draws of users, and negatives not seen."""

    def __init__(
        self,
        data: Data,
        model: Released,
        batch_size: int = 2048,
        num_neighbors: int = 15,
    ) -> None:
        self.data, self.model, self.batch_size = data, model, batch_size
        pairs = data.edge_index[:, data.edge_index[0] < data.num_users]
        self.pairs = pairs[:, pairs[0].argsort(stable=True)]
        self.count = torch.bincount(self.pairs[0], minlength=data.num_users)
        self.start = self.count.cumsum(0) - self.count
        loops = model.add_self_loops
        self.adj_t = normalized_adj(data.edge_index, None, data.num_nodes, loops)
        self.sampler = StratifiedNeighborSampler(self.adj_t, num_neighbors)
        self.negatives = ItemNegativeSampling(
            data.num_users, model.num_items, edge_index=self.pairs, reject_seen=True
        )

    def draw(self) -> Tensor:
        """As many pairs as there are, of a user first, then of one of its pairs."""
        users, num = self.count.nonzero().view(-1), self.pairs.size(1)
        user = users[torch.randint(users.numel(), (num,))]
        u = torch.rand(num, dtype=torch.double)
        return self.pairs[:, self.start[user] + (u * self.count[user]).long()]

    def __len__(self) -> int:
        return -(-self.pairs.size(1) // self.batch_size)

    def __iter__(self) -> Iterator[Data]:
        yield from VRNeighborLoader(
            Data(num_nodes=self.data.num_nodes, num_users=self.data.num_users),
            self.model,
            edge_label_index=self.draw(),
            batch_size=self.batch_size,
            neg_sampling=self.negatives,
            sampler=self.sampler,
            shuffle=False,
        )


def main() -> None:
    """Trains by the one protocol and tests once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", default="gowalla", help=HELP)
    parser.add_argument("--root", default="data")
    parser.add_argument("--epochs", type=int, default=100, help="at most")
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.0015)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    split = load_split(args.dataset, args.root, 0.1)
    report = fit(
        Released(split.train.num_users, split.train.num_items),
        split,
        loader=ReleasedLoader,
        optimizer=partial(torch.optim.SparseAdam, lr=args.lr),
        max_epochs=args.epochs,
        patience=args.patience,
        average=0.0,
        init=None,
    )
    result = evaluate(report.vectors, split.test, exclude=report.interactions,
    )
    result = {
        "dataset": args.dataset,
        **result,
        "epochs": report.epochs,
        "reason": report.reason,
        "order": report.order,
        "validation": report.validation,
        "train_seconds": round(report.train_seconds, 1),
        "lr": args.lr,
        "threads": args.threads,
        "seed": args.seed,
        "curve": report.curve,
    }
    print(json.dumps(result))
    if args.json is not None:
        args.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
