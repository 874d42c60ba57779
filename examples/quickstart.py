"""Trains LTGNN on user-item interactions and ranks all items for every user.

    python examples/quickstart.py                                    # synthetic
    python examples/quickstart.py --dataset gowalla --epochs 10      # downloads
    python examples/quickstart.py --dataset ratings.csv              # your own

Recall@20 of the validation part is shown after each epoch; the test part is
looked at once, at the end. A run with --checkpoint can be killed at any moment
and goes on with --resume.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from tqdm import tqdm

from ltgnn_pyg import LTGNN, VRNeighborLoader
from ltgnn_pyg.checkpoint import load_checkpoint, save_checkpoint
from ltgnn_pyg.datasets import (
    Gowalla,
    LightGCNText,
    Yelp2018,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn.init import spectral_

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic", help="synthetic, gowalla, "
                    "yelp2018, a file of interactions, or a folder with train.txt "
                    "and test.txt")  # fmt: skip
parser.add_argument("--root", default="data", help="where the dataset lies or goes")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--val_ratio", type=float, default=0.1, help="cut from train")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--checkpoint", type=Path, help="saved after each epoch")
parser.add_argument("--resume", action="store_true", help="go on from --checkpoint")
parser.add_argument("--json", type=Path, help="write the result here")
args = parser.parse_args()
if args.resume and args.checkpoint is None:
    parser.error("--resume needs the --checkpoint to go on from")

# Data: a graph of the training interactions, and the pairs of each part.
cut = {"val_ratio": args.val_ratio, "seed": args.seed}
if args.dataset == "synthetic":
    data, split = split_ratio(synthetic_interactions(seed=args.seed), **cut)
elif args.dataset in ("gowalla", "yelp2018"):
    cls = {"gowalla": Gowalla, "yelp2018": Yelp2018}[args.dataset]
    data, split = cls(args.root).split(**cut)
elif Path(args.dataset).is_dir():
    data, split = LightGCNText(args.dataset).split(**cut)
else:
    data, split = split_ratio(read_interactions(args.dataset), **cut)
print(f"{args.dataset}: {data.num_users:,} users, {data.num_items:,} items, "
      f"{split.train.size(1):,} train, {split.val.size(1):,} validation, "
      f"{split.test.size(1):,} test interactions")  # fmt: skip

# Model, loader and optimizer. Training starts from the spectrum of the graph.
torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed)
model = LTGNN(data.num_users, data.num_items)
loader = VRNeighborLoader(
    data, model.history, edge_label_index=split.train, generator=generator
)
spectral_(model.embedding.weight, loader.adj_t, data.num_users)
optimizer = torch.optim.Adam(model.parameters(), lr=0.007, fused=True)
state = {"model": model, "optimizer": optimizer, "generator": generator}
train_on = {"num_users": data.num_users, "exclude_edge_index": split.train}

done, seconds, validation = 0, 0.0, None
if args.resume and args.checkpoint.exists():
    saved = load_checkpoint(args.checkpoint, **state)
    done, seconds = saved["epoch"], saved["seconds"]
    print(f"Resumed after epoch {done}")
for epoch in range(done + 1, args.epochs + 1):
    start, mean_loss = time.perf_counter(), 0.0
    model.refresh(loader.adj_t)
    for batch in tqdm(loader, f"Epoch {epoch}", leave=False, disable=None):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        mean_loss += float(loss.detach()) / len(loader)
    seconds += time.perf_counter() - start
    line = f"Epoch {epoch:3d}  loss {mean_loss:.4f}  {seconds:7.1f} s"
    if split.val.numel() > 0:
        with torch.no_grad():
            validation = evaluate(model.get_embedding(), split.val, **train_on)
        line += f"  validation recall@20 {validation['recall@20']:.4f}"
    if args.checkpoint is not None:
        save_checkpoint(args.checkpoint, **state, epoch=epoch, seconds=seconds)
    print(line, flush=True)

with torch.no_grad():
    result = evaluate(model.get_embedding(), split.test, **train_on)
degree = torch.bincount(split.train[1], minlength=data.num_nodes).float()
degree[: data.num_users] = 1.0  # A user's factor of one: scored by popularity.
popularity = evaluate(degree.view(-1, 1), split.test, **train_on)
for name, row in (("LTGNN", result), ("Popularity", popularity)):
    row = "  ".join(f"{metric} {value:.4f}" for metric, value in row.items())
    print(f"{name:10s}  test {row}")
if args.json is not None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.
    out = {"dataset": args.dataset, "seed": args.seed, "epochs": args.epochs,
           "train_seconds": round(seconds, 2), **result, "peak_rss_mb": round(peak),
           "validation": validation, "popularity": popularity,
           "threads": torch.get_num_threads()}  # fmt: skip
    args.json.write_text(json.dumps(out) + "\n")
