"""Trains LTGNN on 15 million interactions, of Amazon-Large or as many as it has.

    python examples/amazon_large.py --root data          # its files, if they lie there
    python examples/amazon_large.py --csv ratings.csv    # Amazon Reviews, 10-core
    python examples/amazon_large.py --synthetic          # a graph of the same size

The paper's step, on sampled neighbours, with the default objective. First some steps
are timed, those of matrix factorisation beside them; --max-steps leaves it at that: 200
show the speed and the memory. Then the model is trained by the one protocol, `fit`, and
tested on a sample of users. With --folder a run that was killed goes on by --resume.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import torch

from ltgnn_pyg import LTGNN, PairLoader, VRNeighborLoader, fit
from ltgnn_pyg.datasets import (
    AmazonLarge,
    k_core,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import MatrixFactorization
from ltgnn_pyg.optim import RowAdam

SIZE = 872_557, 453_553, 15_236_325  # Users, items and interactions of Amazon-Large.

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--root", type=Path, default="data", help="of Amazon-Large")
parser.add_argument("--csv", help="a file of ratings, in place of Amazon-Large")
parser.add_argument("--names", default="user,item,-,-", help="the columns of --csv; "
                    "empty if its first line names them")  # fmt: skip
parser.add_argument("--synthetic", action="store_true", help="the same size, made up")
parser.add_argument("--scale", type=float, default=1.0, help="of the synthetic graph")
parser.add_argument("--max-steps", type=int, help="time that many and end there")
parser.add_argument("--epochs", type=int, default=20, help="at most")
parser.add_argument("--patience", type=int, default=3, help="epochs without a gain")
parser.add_argument("--eval-users", type=int, default=2000, help="a sample; 0: all")
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

# Data: a twentieth of each user's interactions, one of ten or more, to validate on.
cut = {"val_ratio": 0.05, "seed": args.seed}
here = [args.root / folder for folder in ("raw", "", AmazonLarge.name)]
if args.csv is not None:
    source, names = args.csv, args.names.split(",") if args.names else None
    interactions = read_interactions(args.csv, names=names, duplicates="drop")
    split = split_ratio(k_core(interactions, k=10), **cut)
    del interactions
elif any((folder / "train.txt").exists() for folder in here) and not args.synthetic:
    source = "Amazon-Large"
    split = AmazonLarge(args.root, duplicates="drop").split(**cut)
else:
    source = "synthetic"
    if not args.synthetic:
        print(f"NO AMAZON-LARGE in {', '.join(map(str, here))}: see the README")
    print("SYNTHETIC INTERACTIONS: made up, metrics say nothing of Amazon", flush=True)
    size = [round(num * args.scale) for num in SIZE]
    split = split_ratio(synthetic_interactions(*size, seed=args.seed), **cut)
train = split.train
size, num_train = (train.num_users, train.num_items), len(train)
print(f"{source}: {size[0]:,} users, {size[1]:,} items, {num_train:,} train, "
      f"{len(split.val):,} validation, {len(split.test):,} test",
      flush=True)  # fmt: skip


def clock(model, loader):
    """How long an epoch takes: its start, and the median of some steps for each."""
    optimizer = RowAdam(model.parameters(), lr=0.001)
    next(iter(loader))  # Fills an empty history, once for all epochs.
    start = time.perf_counter()
    batches = iter(loader)
    first, seconds = time.perf_counter() - start, []
    for _ in range(min(args.max_steps or 200, len(loader))):
        start = time.perf_counter()
        batch = next(batches)
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds)
    return {"refresh_seconds": first, "seconds_per_step": step,
            "steps_per_epoch": len(loader), "steps_timed": len(seconds),
            "epoch_seconds": first + len(loader) * step}  # fmt: skip


# Speed: a step of matrix factorisation is a batch of pairs, without any neighbours.
batch_size = 1024
by_pair = {"num_rounds": -(-num_train // batch_size), "leave_out": False}
mf = MatrixFactorization(*size)
of_mf = clock(mf, PairLoader(train.to_data(), batch_size=batch_size, **by_pair))
del mf
settings = {"alpha": 0.2, "K": None}  # The paper's steps, to the fixed point.
model, timed = (LTGNN(*size, **settings) for _ in range(2))
speed = clock(timed, VRNeighborLoader(train.to_data(), timed, batch_size=batch_size))
del timed
epoch, mf_epoch = speed["epoch_seconds"], of_mf["epoch_seconds"]
print(f"A step takes {1e3 * speed['seconds_per_step']:.1f} ms, an epoch of "
      f"{speed['steps_per_epoch']:,} steps {epoch:.1f} s, of it "
      f"{speed['refresh_seconds']:.1f} to refresh; matrix factorisation "
      f"{1e3 * of_mf['seconds_per_step']:.1f} ms and {mf_epoch:.1f} s; ratio "
      f"{epoch / mf_epoch:.2f}", flush=True)  # fmt: skip
out = {"source": source, "num_users": size[0], "num_items": size[1],
       "num_interactions": num_train + len(split.val) + len(split.test),
       "num_train": num_train, "model": repr(model), "batch_size": batch_size,
       **speed, "mf_seconds_per_step": of_mf["seconds_per_step"],
       "mf_epoch_seconds": mf_epoch, "ratio_ltgnn_mf": epoch / mf_epoch,
       "seed": args.seed, "threads": torch.get_num_threads()}  # fmt: skip


def log(row, step):
    """Says how an epoch went."""
    figures = (f"{k} {v:.4f}" for k, v in row.items() if "@" in k)
    print(f"{'Refit, epoch' if row['phase'] else 'Epoch'} {row['epoch']:2d}  "
          f"loss {row['loss']:.4f}  {row['seconds']:6.1f} s  ", *figures,
          flush=True)  # fmt: skip


if args.max_steps is None:
    report = fit(model, split, max_epochs=args.epochs, patience=args.patience,
                 eval_users=args.eval_users or None, folder=args.folder,
                 resume=args.resume, log=log)  # fmt: skip
    print(report)
    user = split.test.user.unique()
    generator = torch.Generator().manual_seed(args.seed)
    order = torch.randperm(len(user), generator=generator)
    result = evaluate(report.vectors, split.test.edge_label_index,
                      exclude_edge_index=report.interactions.edge_label_index,
                      user=user[order[: args.eval_users or None]])  # fmt: skip
    print("  ".join(f"test {name} {value:.4f}" for name, value in result.items()))
    out |= {**result, "epochs": report.epochs, "reason": report.reason,
            "order": report.order, "validation": report.validation,
            "eval_users": args.eval_users,
            "train_seconds": round(report.train_seconds, 1),
            "seconds": round(report.seconds, 1), "curve": report.curve}  # fmt: skip
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.
print(f"Peak memory: {peak:,.0f} MB")
if args.json is not None:
    args.json.write_text(json.dumps({**out, "peak_rss_mb": round(peak)}) + "\n")
