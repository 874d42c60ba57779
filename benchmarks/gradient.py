"""How close the gradient estimates are to the exact gradient of the objective.

    python benchmarks/gradient.py --root data --json out.jsonl

Trains LTGNN at its defaults on the training interactions less a validation part and
stops at some epochs. There the table is held fixed while an epoch's batches pass by
each estimate, twice where a history of gradients is to be filled; the last pass is
summed. Exact is the gradient of the same batches at the fixed point, by --exact-steps
steps forward and backward. The estimates:

- rounds: exact for the K steps that are scored, those of a PairLoader;
- local: that of the paper's step;
- history and corrected: the same with a history of gradients, see released.py.

Writes the cosine to the exact gradient and the ratio of norms.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from released import Released
from sets import HELP, load_split
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from ltgnn_pyg import LTGNN, PairLoader, VRNeighborLoader
from ltgnn_pyg.graph.adjacency import normalized_adj
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import Recommender, SoftmaxLoss, solve
from ltgnn_pyg.nn.init import spectral_

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data")
parser.add_argument("--epochs", type=int, nargs="+", default=[0, 1, 4])
parser.add_argument("--alpha", type=float, default=0.1)
parser.add_argument("--exact-steps", type=int, default=60)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
train = load_split(args.dataset, args.root, 0.1).train
data, sizes = train.to_data(), (train.num_users, train.num_items)
adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)


def same_batches() -> torch.Generator:
    """What draws the same pairs in every pass."""
    return torch.Generator().manual_seed(args.seed)


def total(model: Recommender, loader: Iterable[Data], title: str) -> Tensor:
    """The mean gradient of the table over an epoch's pairs."""
    out = torch.zeros_like(model.inputs.weight)
    for batch in tqdm(loader, title, leave=False, disable=None):
        model.zero_grad()
        model.loss(batch).backward()
        grad = model.inputs.weight.grad
        assert grad is not None
        out.add_(grad, alpha=batch.src_index.numel() / len(train))
    return out


def by_round(x: Tensor, K: int) -> Tensor:
    """The gradient of K exact steps; all pairs are one round."""
    model = LTGNN(*sizes, alpha=args.alpha, K=K)
    model.inputs.weight.data.copy_(x)
    one = {"num_rounds": 1, "leave_out": False}
    loader = PairLoader(data, **one, generator=same_batches())
    return total(model, loader, f"{K} exact steps")


def by_step(x: Tensor, model: LTGNN | Released, passes: int, title: str) -> Tensor:
    """The gradient of steps from a history, which is that of the fixed point."""
    model.inputs.weight.data.copy_(x)
    model.history.refresh(adj_t, solve(x, adj_t, args.alpha, tol=1e-5)[0])
    for _ in range(passes):
        loader = VRNeighborLoader(data, model, generator=same_batches())
        out = total(model, loader, title)
    return out


def estimates(x: Tensor) -> dict[str, Tensor]:
    """The gradient at a table by each estimate."""
    plain = {"residual": 0.0, "add_self_loops": False, "weight_decay": 0.0}
    plain |= {"loss_fn": SoftmaxLoss(), "alpha": args.alpha}
    raw, corrected = Released(*sizes, **plain), Released(*sizes, **plain)
    corrected.corrected = True
    return {
        "rounds": by_round(x, 3),
        "local": by_step(x, LTGNN(*sizes, alpha=args.alpha), 1, "local"),
        "history": by_step(x, raw, 2, "history"),
        "corrected": by_step(x, corrected, 2, "corrected"),
    }


model = LTGNN(*sizes, alpha=args.alpha)
x = model.inputs.weight
spectral_(x, adj_t, train.num_users)
optimizer = RowAdam(model.parameters(), lr=0.007)
rows = []
for epoch in range(max(args.epochs) + 1):
    if epoch in args.epochs:
        now = x.detach().clone()
        exact = by_round(now, args.exact_steps)
        for name, found in estimates(now).items():
            cosine = torch.cosine_similarity(found.view(-1), exact.view(-1), dim=0)
            rows.append(
                {
                    "dataset": args.dataset,
                    "gradient": name,
                    "epoch": epoch,
                    "cosine": round(float(cosine), 4),
                    "norm_ratio": round(float(found.norm() / exact.norm()), 4),
                    "alpha": args.alpha,
                    "exact_steps": args.exact_steps,
                    "seed": args.seed,
                    "threads": args.threads,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    if epoch < max(args.epochs):
        for batch in PairLoader(data):
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
if args.json is not None:
    args.json.write_text("".join(json.dumps(row) + "\n" for row in rows))
