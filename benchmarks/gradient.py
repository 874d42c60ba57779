"""How close the gradient estimates are to the exact gradient of the objective.

    python benchmarks/gradient.py --root data --json out.jsonl

Trains LTGNN at its defaults on the training interactions less a validation part and
stops at some epochs. There the table is held fixed while an epoch's batches pass by
each estimate, twice, so that a history of gradients is filled; the second pass is
summed. Exact is the gradient of the same batches at the fixed point, by --exact-steps
steps forward and backward. Writes the cosine to it and the ratio of norms.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ltgnn_pyg import LTGNN, VRNeighborLoader
from ltgnn_pyg.datasets import Gowalla, Yelp2018, split_ratio, synthetic_interactions
from ltgnn_pyg.nn.init import spectral_

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument(
    "--dataset", choices=["gowalla", "yelp2018", "synthetic"], default="gowalla"
)
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
if args.dataset == "synthetic":
    data, split = split_ratio(synthetic_interactions(seed=args.seed), seed=args.seed)
else:
    dataset = {"gowalla": Gowalla, "yelp2018": Yelp2018}[args.dataset](args.root)
    data, split = dataset.split(val_ratio=0.1, seed=None)


def loader_of(model: LTGNN, rounds: int = 80) -> VRNeighborLoader:
    """The same batches of pairs for every model."""
    generator = torch.Generator().manual_seed(args.seed)
    return VRNeighborLoader(
        data,
        model.history,
        edge_label_index=split.train,
        rounds=rounds,
        generator=generator,
    )


def estimate(x: Tensor, passes: int, **settings: object) -> Tensor:
    """The mean gradient of the table over an epoch's batches."""
    settings = {"alpha": args.alpha, "leave_out": False, **settings}
    model = LTGNN(data.num_users, data.num_items, **settings)
    total = torch.zeros_like(x)
    with torch.no_grad():
        model.embedding.weight.copy_(x)
    for _ in range(passes):
        loader = loader_of(model, rounds=1)  # A round an epoch, all of its batches.
        model.refresh(loader.adj_t)
        total.zero_()
        for batch in tqdm(loader, str(settings), leave=False, disable=None):
            model.zero_grad()
            model.loss(batch).backward()
            grad = model.embedding.weight.grad
            if grad is not None and grad.is_sparse:
                share = batch.src_index.numel() / split.train.size(1)
                total.add_(grad, alpha=share)
            elif grad is not None:
                total.add_(grad)
    return total


model = LTGNN(data.num_users, data.num_items)
loader = loader_of(model)
x = model.embedding.weight
spectral_(x, loader.adj_t, data.num_users)
optimizer = torch.optim.Adam(model.parameters(), lr=0.007, fused=True)
rows = []
for epoch in range(max(args.epochs) + 1):
    if epoch in args.epochs:
        now = x.detach().clone()
        exact = estimate(now, 1, K=args.exact_steps)
        for gradient in ("delayed", "local", "history", "corrected"):
            passes = 1 if gradient == "delayed" else 2
            found = estimate(
                now, passes, gradient=gradient, init_steps=args.exact_steps
            )
            cosine = torch.cosine_similarity(found.view(-1), exact.view(-1), dim=0)
            rows.append(
                {
                    "dataset": args.dataset,
                    "gradient": gradient,
                    "epoch": epoch,
                    "cosine": round(float(cosine), 4),
                    "norm_ratio": round(float(found.norm() / exact.norm()), 4),
                    "alpha": args.alpha,
                    "seed": args.seed,
                }
            )
            print(rows[-1], flush=True)
    model.refresh(loader.adj_t)
    for batch in loader:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
if args.json is not None:
    args.json.write_text("".join(json.dumps(row) + "\n" for row in rows))
