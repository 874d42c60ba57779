"""Ways of training LTGNN: recall on the validation part against seconds.

    python benchmarks/steps.py --root data --dataset gowalla --json out.json

Inner steps, which `fit` takes by itself, exact rounds, and the paper's steps: with one
objective, one start, one averaging.
{inner: [{epoch, seconds, recall, ndcg}], rounds: [the same], vr: [the same], gap:
[{seconds, recall}]}; a gap is what the paper's steps are behind at the time of an epoch
of rounds, interpolated.
Seconds are of training alone. The test part is not looked at.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sets import HELP, load_split

from ltgnn_pyg import LTGNN, PairLoader, VRNeighborLoader, fit
from ltgnn_pyg.train.fit import default_loader

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data", help="where datasets lie or go")
parser.add_argument("--epochs", type=int, default=10, help="of rounds")
parser.add_argument("--vr-epochs", type=int, default=14, help="of the others")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
split = load_split(args.dataset, args.root, 0.1)
size = split.train.num_users, split.train.num_items
result = {"dataset": args.dataset, "order": split.order, "seed": args.seed,
          "threads": args.threads}  # fmt: skip


def exact_rounds(data, model):
    """A dense step for each of 80 rounds."""
    return PairLoader(data)


for name, epochs, settings, loader in (
    ("inner", args.vr_epochs, {}, default_loader),
    ("rounds", args.epochs, {}, exact_rounds),
    ("vr", args.vr_epochs, {"alpha": 0.2, "K": None}, VRNeighborLoader),
):
    torch.manual_seed(args.seed)
    model = LTGNN(*size, **settings)
    result[f"{name}_model"] = repr(model)
    report = fit(model, split, loader=loader, refit=False, max_epochs=epochs,
                 patience=epochs,
                 log=lambda row, step: print(row, flush=True))  # fmt: skip
    result[name] = [{"epoch": row["epoch"], "seconds": row["seconds"],
                     "recall": row["recall@20"], "ndcg": row["ndcg@20"]}
                    for row in report.curve]  # fmt: skip
rounds, vr = ({key: [row[key] for row in result[name]] for key in ("seconds", "recall")}
              for name in ("rounds", "vr"))  # fmt: skip
first, last = vr["seconds"][0], vr["seconds"][-1]
inside = [i for i, s in enumerate(rounds["seconds"]) if first <= s <= last]
at = [rounds["seconds"][i] for i in inside]
reached = np.interp(at, vr["seconds"], vr["recall"])
result["gap"] = [{"seconds": s, "recall": round(rounds["recall"][i] - float(r), 5)}
                 for i, s, r in zip(inside, at, reached, strict=True)]  # fmt: skip
print(json.dumps(result["gap"]))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
