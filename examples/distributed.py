"""Trains LTGNN in several processes, each of which holds its share of the tables.

    torchrun --nproc-per-node 2 examples/distributed.py                    # synthetic
    torchrun --nproc-per-node 2 examples/distributed.py --dataset gowalla  # downloads

It is the protocol of quickstart.py, with the figures of one process. A run with
--folder that was killed goes on with --resume, in any number of processes.
"""

import argparse
import ctypes
import json
import resource
from pathlib import Path

import torch

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import Gowalla, Yelp2018, split_ratio, synthetic_interactions
from ltgnn_pyg.distributed import evaluate, init_process_group, is_first


def peak_mb():
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.


baseline = peak_mb()  # Of a process that has imported all and done nothing.
parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic",
                    choices=["synthetic", "gowalla", "yelp2018"])  # fmt: skip
parser.add_argument("--root", default="data", help="where the dataset lies or goes")
parser.add_argument("--max-epochs", type=int, default=30)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=1, help="of each process")
parser.add_argument("--folder", type=Path, help="for metrics and a checkpoint")
parser.add_argument("--resume", action="store_true", help="go on from --folder")
parser.add_argument("--json", type=Path, help="write the result here")
args = parser.parse_args()
device = init_process_group()
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)  # Alike in all processes.

cut = {"val_ratio": 0.1, "seed": args.seed}
if args.dataset == "synthetic":
    split = split_ratio(synthetic_interactions(seed=args.seed), **cut)
else:
    cls = {"gowalla": Gowalla, "yelp2018": Yelp2018}[args.dataset]
    split = cls(args.root).split(**cut)
read = peak_mb()
try:  # What is free goes back to the system, now and later (glibc only).
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc_trim(0)
    libc.mallopt(-3, 2**20)  # M_MMAP_THRESHOLD
except (OSError, AttributeError):
    pass


def log(row, step):
    """Says how an epoch went; the first process calls it."""
    figures = (f"{k} {v:.4f}" for k, v in row.items() if "@" in k)
    print(f"{'Refit, epoch' if row['phase'] else 'Epoch'} {row['epoch']:2d}  "
          f"loss {row['loss']:.4f}  {row['seconds']:6.1f} s  ", *figures,
          flush=True)  # fmt: skip


model = LTGNN(split.train.num_users, split.train.num_items).to(device)
report = fit(model, split, max_epochs=args.max_epochs, folder=args.folder,
             resume=args.resume, log=log)  # fmt: skip
result = evaluate(report.scorer, split.test, exclude=split.known)

# What each process held: peak memory, and the rows of the table.
partition, table = report.scorer.partition, model.inputs.table()
own = torch.zeros(partition.world_size, 5, dtype=torch.double)
num_pairs = partition.is_own(report.interactions.user).sum()
own[partition.rank] = torch.tensor([baseline, read, peak_mb(), table.nbytes / 2**20,
                                    int(num_pairs)], dtype=torch.double)  # fmt: skip
own = own.to(device)
partition.sum_(own)
baseline, read, peak, table, num_pairs = own.t().tolist()
if is_first():
    print(report)
    print("LTGNN  test", *(f"{name} {value:.4f}" for name, value in result.items()))
    for rank, numbers in enumerate(own.tolist()):
        print("Process {}: {:.0f} MB after imports, {:.0f} MB after reading, {:.0f} MB "
              "at most; {:.1f} MB of the table, {:,.0f} interactions"
              .format(rank, *numbers))  # fmt: skip
    if args.json is not None:
        above = [most - least for most, least in zip(peak, baseline, strict=True)]
        out = {**result, "dataset": args.dataset, "seed": args.seed,
               "world_size": partition.world_size, "threads": args.threads,
               "epochs": report.epochs, "validation": report.validation,
               "seconds": round(report.seconds, 1),
               "train_seconds": round(report.train_seconds, 1),
               "baseline_rss_mb": baseline, "read_rss_mb": read, "peak_rss_mb": peak,
               "above_baseline_mb": above, "table_mb": table,
               "interactions": num_pairs, "curve": report.curve}  # fmt: skip
        args.json.write_text(json.dumps(out) + "\n")
torch.distributed.destroy_process_group()
