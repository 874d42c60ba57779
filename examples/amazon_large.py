"""Trains LTGNN on 15 million interactions, of Amazon-Large or as many as it has.

    python examples/amazon_large.py --root data          # its files, if they lie there
    python examples/amazon_large.py --csv ratings.csv    # Amazon Reviews, 10-core
    python examples/amazon_large.py --synthetic          # a graph of the same size

BPR with one negative and 15 neighbours, as in the paper. The epochs end when Recall@20
of a sample of validation users has not grown for --patience of them; the best epoch is
then tested. Before, matrix factorisation takes as many steps as an epoch has, for
comparison. --max-steps cuts every epoch short: 200 show the speed and the memory.
"""

import argparse
import json
import resource
import statistics
import time
from itertools import islice, pairwise
from pathlib import Path

import torch
from tqdm import tqdm

from ltgnn_pyg import (
    LTGNN,
    StratifiedNeighborSampler,
    VRNeighborLoader,
    normalized_adj,
)
from ltgnn_pyg.checkpoint import load_checkpoint, save_checkpoint
from ltgnn_pyg.datasets import (
    AmazonLarge,
    k_core,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import BPRLoss, MatrixFactorization
from ltgnn_pyg.optim import RowAdam

SIZE = 872_557, 453_553, 15_236_325  # Users, items and interactions of Amazon-Large.

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--root", type=Path, default="data", help="of Amazon-Large")
parser.add_argument("--csv", help="a file of ratings, in place of Amazon-Large")
parser.add_argument("--names", default="user,item,-,-", help="the columns of --csv; "
                    "empty if its first line names them")  # fmt: skip
parser.add_argument("--synthetic", action="store_true", help="the same size, made up")
parser.add_argument("--scale", type=float, default=1.0, help="of the synthetic graph")
parser.add_argument("--epochs", type=int, help="at most; 20, or 1 with --max-steps")
parser.add_argument("--patience", type=int, default=3, help="epochs without a gain")
parser.add_argument("--max-steps", type=int, help="of an epoch")
parser.add_argument("--eval-users", type=int, default=2000, help="a sample; 0: all")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--checkpoint", type=Path, help="saved after each epoch")
parser.add_argument("--resume", action="store_true", help="go on from --checkpoint")
parser.add_argument("--json", type=Path, help="write the result here")
args = parser.parse_args()
if args.resume and args.checkpoint is None:
    parser.error("--resume needs the --checkpoint to go on from")
num_epochs = args.epochs or (1 if args.max_steps else 20)

# Data: a graph and its split; what they are made of is given back line by line.
cut = {"val_ratio": 0.05, "seed": args.seed}  # One of ten interactions or more.
here = [args.root / folder for folder in ("raw", "", AmazonLarge.name)]
if args.csv is not None:
    source, names = args.csv, args.names.split(",") if args.names else None
    interactions = read_interactions(args.csv, names=names, duplicates="drop")
    interactions = k_core(interactions, k=10)
    data, split = split_ratio(interactions, **cut)
    del interactions
elif any((folder / "train.txt").exists() for folder in here) and not args.synthetic:
    source = "Amazon-Large"
    data, split = AmazonLarge(args.root, duplicates="drop").split(**cut)
else:
    source = "synthetic"
    if not args.synthetic:
        print(f"NO AMAZON-LARGE in {', '.join(map(str, here))}: see the README")
    print("SYNTHETIC INTERACTIONS: made up, metrics say nothing of Amazon", flush=True)
    size = [round(num * args.scale) for num in SIZE]
    data, split = split_ratio(synthetic_interactions(*size, seed=args.seed), **cut)
num_train, *held_out = (p.size(1) for p in (split.train, split.val, split.test))
print(f"{source}: {data.num_users:,} users, {data.num_items:,} items, {num_train:,} "
      "train, {:,} validation, {:,} test".format(*held_out), flush=True)  # fmt: skip


def sample(pairs):
    """The arguments that evaluate some of the users who have such pairs."""
    user = pairs[0].unique()
    generator = torch.Generator().manual_seed(args.seed)
    chosen = torch.zeros(data.num_users, dtype=torch.bool)
    perm = torch.randperm(user.numel(), generator=generator)
    chosen[user[perm[: args.eval_users or None]]] = True
    pairs, seen = (part[:, chosen[part[0]]] for part in (pairs, split.train))
    return {"edge_label_index": pairs, "exclude_edge_index": seen,
            "num_users": data.num_users}  # fmt: skip


val, test = sample(split.val), sample(split.test)
adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)
del data.edge_index, split.val, split.test  # The matrix holds the graph from here on.


def setup(cls, num_neighbors, **kwargs):
    """A model, its loader and its optimizer; the same but for the neighbours."""
    torch.manual_seed(args.seed)
    model = cls(data.num_users, data.num_items, loss_fn=BPRLoss(), weight_decay=2e-4,
                init_std=0.1, **kwargs)  # fmt: skip
    generator = torch.Generator().manual_seed(args.seed)
    loader = VRNeighborLoader(
        data,
        model.history,
        edge_label_index=split.train,
        batch_size=2048,
        neg_sampling="triplet",
        sampler=StratifiedNeighborSampler(adj_t, num_neighbors, generator),
        generator=generator,
    )
    return model, loader, RowAdam(model.parameters(), lr=1.5e-3)


def train(model, loader, optimizer, title):
    """One epoch: the mean loss, seconds to refresh, and the median ones of a step."""
    start, losses = time.perf_counter(), []
    model.refresh(adj_t)
    marks = [time.perf_counter()]
    num_steps = min(len(loader), args.max_steps or len(loader))
    steps = islice(loader, num_steps)
    for batch in tqdm(steps, title, num_steps, leave=False, disable=None):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        marks.append(time.perf_counter())
    step = statistics.median(b - a for a, b in pairwise(marks))
    return statistics.fmean(losses), marks[0] - start, step


model, loader, optimizer = setup(LTGNN, 15, alpha=0.45, gradient="local")
state = {"model": model, "optimizer": optimizer, "generator": loader.generator}
table = model.embedding.weight.data
done = {"epoch": 0, "best_epoch": 0, "best_recall": -1.0}
if args.resume and args.checkpoint.exists():
    done = load_checkpoint(args.checkpoint, **state)
    print(f"Resumed after epoch {done['epoch']}")
else:
    _, done["mf_refresh_seconds"], done["mf_seconds_per_step"] = train(
        *setup(MatrixFactorization, 0), "Matrix factorisation"
    )
while done["epoch"] < num_epochs:
    if done["epoch"] - done["best_epoch"] >= args.patience:
        break
    done["epoch"] += 1
    loss, done["refresh_seconds"], done["seconds_per_step"] = train(
        model, loader, optimizer, f"Epoch {done['epoch']}"
    )
    with torch.no_grad():
        recall = evaluate(model.get_embedding(), **val)["recall@20"]
    if recall > done["best_recall"]:
        done |= {"best_epoch": done["epoch"], "best_recall": recall}
        done["best"] = table.clone()  # All that is scored comes of it and the graph.
    if args.checkpoint is not None:
        save_checkpoint(args.checkpoint, **state, **done)
    print(f"Epoch {done['epoch']:2d}  loss {loss:.4f}  "
          f"{1e3 * done['seconds_per_step']:.1f} ms a step  "
          f"validation recall@20 {recall:.4f}", flush=True)  # fmt: skip

with torch.no_grad():
    table.copy_(done.pop("best"))
    model.refresh(adj_t)
    metrics = evaluate(model.get_embedding(), **test)
print("  ".join(f"test {name} {value:.4f}" for name, value in metrics.items()))

num_steps = len(loader)
refresh, step = done["refresh_seconds"], done["seconds_per_step"]
epoch = refresh + num_steps * step
mf_epoch = done["mf_refresh_seconds"] + num_steps * done["mf_seconds_per_step"]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.
print(f"An epoch of {num_steps:,} steps: {epoch:.1f} s, of it {refresh:.1f} to refresh"
      f"; matrix factorisation: {mf_epoch:.1f} s; ratio {epoch / mf_epoch:.2f}\n"
      f"Peak memory: {peak:,.0f} MB")  # fmt: skip
if args.json is not None:
    out = {"source": source, "num_users": data.num_users, "num_items": data.num_items,
           "num_interactions": num_train + sum(held_out), "num_train": num_train,
           **done, "steps_per_epoch": num_steps, "epoch_seconds": epoch,
           "mf_epoch_seconds": mf_epoch, "ratio_ltgnn_mf": epoch / mf_epoch, **metrics,
           "peak_rss_mb": round(peak), "seed": args.seed,
           "threads": torch.get_num_threads()}  # fmt: skip
    args.json.write_text(json.dumps(out) + "\n")
