"""Compares the gradient estimates of LTGNN: what each learns, and in what time.

    python benchmarks/gradient.py --root data --json out.jsonl

Trains with each estimate on Gowalla's training interactions less a validation
part, and measures recall on that part alone. Writes a line for each epoch.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from tqdm import tqdm

from ltgnn_pyg import LTGNN, VRNeighborLoader
from ltgnn_pyg.datasets import Gowalla
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import BPRLoss

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--root", default="data")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--unroll_epochs", type=int, default=0, help="slow: exact autograd")
parser.add_argument("--objective", choices=["softmax", "bpr"], default="softmax")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
data, split = Gowalla(args.root).split(val_ratio=0.1, seed=args.seed)
if args.objective == "softmax":
    model_args, loader_args, lr = {}, {}, 1e-3
else:  # The released settings.
    model_args = {
        "loss_fn": BPRLoss(),
        "alpha": 0.45,
        "weight_decay": 2e-4,
        "init_std": 0.1,
    }
    loader_args, lr = {"batch_size": 2048, "neg_sampling": "triplet"}, 1.5e-3

rows = []
for gradient in ("local", "history", "corrected", "unroll"):
    torch.manual_seed(args.seed)
    model = LTGNN(data.num_users, data.num_items, gradient=gradient, **model_args)
    loader = VRNeighborLoader(
        data,
        model.history,
        edge_label_index=split.train,
        generator=torch.Generator().manual_seed(args.seed),
        **loader_args,
    )
    dense = gradient == "unroll"
    optim = torch.optim.Adam if dense else torch.optim.SparseAdam
    optimizer, seconds = optim(model.parameters(), lr=lr), 0.0
    for epoch in range(1, (args.unroll_epochs if dense else args.epochs) + 1):
        start = time.perf_counter()
        model.refresh(loader.adj_t)
        for batch in tqdm(loader, f"{gradient} {epoch}", leave=False, disable=None):
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        with torch.no_grad():
            embedding = model.get_embedding()
        result = evaluate(
            embedding,
            split.val,
            num_users=data.num_users,
            exclude_edge_index=split.train,
        )
        rows.append(
            {
                "gradient": gradient,
                "objective": args.objective,
                "epoch": epoch,
                "train_seconds": round(seconds, 1),
                "validation": result,
                "seed": args.seed,
            }
        )
        print(rows[-1], flush=True)
if args.json is not None:
    args.json.write_text("".join(json.dumps(row) + "\n" for row in rows))
