"""Where the default settings come from: one setting varied at a time.

    python benchmarks/defaults.py --root data --json out.jsonl

Trains LTGNN on the training interactions less a validation part and measures
recall on that part alone; the test part is never read. Writes a line for each
variant.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ltgnn_pyg import LTGNN, VRNeighborLoader
from ltgnn_pyg.datasets import Gowalla, Yelp2018
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import SoftmaxLoss

VARIANTS: dict[str, list[Any]] = {
    "temperature": [0.12, 0.09, 0.16, 0.2],
    "alpha": [0.1, 0.3, 0.45],
    "lr": [5e-4, 2e-3],
    "batch_size": [512, 2048],
    "num_neighbors": [5],
    "refresh_steps": [1],
    "init_std": [0.1],
}

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", choices=["gowalla", "yelp2018"], default="gowalla")
parser.add_argument("--settings", nargs="+", choices=list(VARIANTS), default=VARIANTS)
parser.add_argument("--root", default="data")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

dataset = {"gowalla": Gowalla, "yelp2018": Yelp2018}[args.dataset](args.root)
data, split = dataset.split(val_ratio=0.1, seed=args.seed)
variants = [(name, value) for name in args.settings for value in VARIANTS[name]]
for name, value in variants:
    settings = {name: value}
    torch.manual_seed(args.seed)
    loss_fn = SoftmaxLoss(settings.pop("temperature", 0.12))
    lr = settings.pop("lr", 1e-3)
    of_loader = {"batch_size", "num_neighbors"} & settings.keys()
    loader_args = {key: settings.pop(key) for key in of_loader}
    model = LTGNN(data.num_users, data.num_items, loss_fn=loss_fn, **settings)
    loader = VRNeighborLoader(
        data,
        model.history,
        edge_label_index=split.train,
        generator=torch.Generator().manual_seed(args.seed),
        **loader_args,
    )
    optimizer, seconds = torch.optim.SparseAdam(model.parameters(), lr=lr), 0.0
    curve = []
    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        model.refresh(loader.adj_t)
        for batch in tqdm(loader, f"{name} {value} {epoch}", leave=False, disable=None):
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
        curve.append(round(result["recall@20"], 5))
    row = {
        "dataset": args.dataset,
        "setting": name,
        "value": value,
        "epochs": args.epochs,
        "train_seconds": round(seconds, 1),
        "validation_recall@20": curve,
        "seed": args.seed,
    }
    print(row, flush=True)
    if args.json is not None:
        with open(args.json, "a") as file:
            file.write(json.dumps(row) + "\n")
