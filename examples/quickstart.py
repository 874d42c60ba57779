"""Trains LTGNN on user-item interactions and ranks all items for every user.

    python examples/quickstart.py                               # synthetic
    python examples/quickstart.py --dataset gowalla             # downloads
    python examples/quickstart.py --dataset ratings.csv         # your own

The number of epochs is chosen on a validation part, then the model is trained anew on
training and validation interactions together; the test part is looked at once, at the
end. A run with --folder can be killed at any moment and goes on with --resume.
"""

import argparse
import json
import resource
from pathlib import Path

import torch

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import (
    Gowalla,
    LightGCNText,
    Yelp2018,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import GuidedSoftmaxLoss
from ltgnn_pyg.scorers.filters import Popularity

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic", help="synthetic, gowalla, "
                    "yelp2018, a file of interactions, or a folder with train.txt "
                    "and test.txt")  # fmt: skip
parser.add_argument("--root", default="data", help="where the dataset lies or goes")
parser.add_argument("--order", choices=["time", "lines", "random"], help="what is held "
                    "out: the last of each user, or random ones")  # fmt: skip
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, help="of the processor; all by default")
parser.add_argument("--folder", type=Path, help="for metrics and a checkpoint")
parser.add_argument("--resume", action="store_true", help="go on from --folder")
parser.add_argument("--json", type=Path, help="write the result here")
args = parser.parse_args()
if args.resume and args.folder is None:
    parser.error("--resume needs the --folder to go on from")
if args.threads is not None:
    torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)

# Data: the interactions of each part.
cut = {"val_ratio": 0.1, "order": args.order, "seed": args.seed}
if args.dataset == "synthetic":
    split = split_ratio(synthetic_interactions(seed=args.seed), **cut)
elif args.dataset in ("gowalla", "yelp2018"):
    cls = {"gowalla": Gowalla, "yelp2018": Yelp2018}[args.dataset]
    split = cls(args.root).split(**cut)
elif Path(args.dataset).is_dir():
    split = LightGCNText(args.dataset).split(**cut)
else:
    split = split_ratio(read_interactions(args.dataset), **cut)
train = split.train
print(f"{args.dataset}: {train.num_users:,} users, {train.num_items:,} items, "
      f"{len(train):,} train, {len(split.val):,} validation, "
      f"{len(split.test):,} test interactions")  # fmt: skip


def log(row, step):
    """Says how an epoch went."""
    figures = (f"{k} {v:.4f}" for k, v in row.items() if "@" in k)
    print(f"{'Refit, epoch' if row['phase'] else 'Epoch'} {row['epoch']:2d}  "
          f"loss {row['loss']:.4f}  {row['seconds']:6.1f} s  ", *figures,
          flush=True)  # fmt: skip


guided = GuidedSoftmaxLoss(train.num_items)  # By a filter of the whole graph.
model = LTGNN(train.num_users, train.num_items, loss_fn=guided)
report = fit(model, split, max_epochs=args.epochs, folder=args.folder,
             resume=args.resume, log=log)  # fmt: skip
print(report)

known = split.known  # Training and validation: neither is ranked.
result = evaluate(report.scorer, split.test, exclude=known)
popularity = evaluate(Popularity(known), split.test, exclude=known)
for name, row in (("LTGNN", result), ("Popularity", popularity)):
    row = "  ".join(f"{metric} {value:.4f}" for metric, value in row.items())
    print(f"{name:10s}  test {row}")
if args.json is not None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.
    out = {"dataset": args.dataset, "seed": args.seed, **result,
           "epochs": report.epochs, "reason": report.reason, "order": report.order,
           "validation": report.validation, "popularity": popularity,
           "train_seconds": round(report.train_seconds, 1),
           "seconds": round(report.seconds, 1), "peak_rss_mb": round(peak),
           "threads": torch.get_num_threads(), "settings": report.settings,
           "curve": report.curve, "kernels": report.kernels}  # fmt: skip
    args.json.write_text(json.dumps(out) + "\n")
