"""Which temperature softmax wants, on sets of any density, on their validation part.

    python benchmarks/temperature.py --dataset gowalla --root data --core 20 \
        --temperatures 0.12 0.15 0.18 0.22 0.27 --json out.jsonl

--core keeps the users and items that have so many interactions among themselves: a set
as any other, smaller and denser. A line for each temperature, and the one that
`SoftmaxLoss()` finds by the density, which is tried as well.
"""

import argparse
import json
from pathlib import Path

import torch
from sets import HELP, load_split

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import Interactions, Split, split_ratio
from ltgnn_pyg.nn import SoftmaxLoss

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data", help="where sets lie or go")
parser.add_argument("--order", choices=["time", "lines", "random"])
parser.add_argument("--core", type=int, default=0, help="interactions each, at least")
parser.add_argument("--temperatures", type=float, nargs="+", default=[0.12, 0.2, 0.3])
parser.add_argument("--embedding-dim", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--json", type=Path)
args = parser.parse_args()


def core(split: Split, least: int) -> Split:
    """What is left of training and validation part, split at random anew."""
    known = Interactions.cat(split.train, split.val)
    user, item, num = known.user, known.item, -1
    while num != len(user):
        num = len(user)
        kept = (torch.bincount(user)[user] >= least) & (
            torch.bincount(item)[item] >= least
        )
        user, item = user[kept], item[kept]
    if num == 0:
        raise SystemExit(f"Expected a core of {least} (got none); lower --core")
    (users, user), (items, item) = (x.unique(return_inverse=True) for x in (user, item))
    return split_ratio(
        Interactions(user, item, len(users), len(items)), order="random", seed=0
    )


torch.set_num_threads(args.threads)
split = load_split(args.dataset, args.root, 0.1, args.order)
if args.core > 0:
    split = core(split, args.core)
sizes = split.train.num_users, split.train.num_items
density = len(split.train) / (sizes[0] * sizes[1])
lines = []
for given in (None, *args.temperatures):
    torch.manual_seed(args.seed)
    model = LTGNN(*sizes, args.embedding_dim, loss_fn=SoftmaxLoss(given))
    report = fit(model, split, refit=False)
    line = {"dataset": args.dataset, "core": args.core, "seed": args.seed,
            "embedding_dim": args.embedding_dim, "density": density,
            "by_density": given is None, "temperature": model.loss_fn.tau,
            "epochs": report.epochs, **report.validation}  # fmt: skip
    print(line, flush=True)
    lines.append(json.dumps(line) + "\n")
if args.json is not None:
    args.json.write_text("".join(lines))
