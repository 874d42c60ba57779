"""Where a method is ahead: for users and items of few interactions, or of many?

    python benchmarks/tail.py --root data --dataset gowalla \
        --models popularity ease mf lightgcn ltgnn --json out.jsonl

prints, of the lines that models.py has made in out.jsonl, the last one of a model of 64
columns on the CPU, as `fit` trains it, recall@20 by fifths of the users and of the
items, ordered by their number of known interactions: of the users, a fifth each; of the
items, a fifth of the held-out interactions each. Recall on some items is of the
held-out ones among them. Appends to tail.jsonl beside the lines.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from ranks import Ranks
from record import about
from sets import HELP, load_split
from torch import Tensor

from ltgnn_pyg.datasets import Interactions

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data", help="where sets lie or go")
parser.add_argument("--order", choices=["time", "lines", "random"])
parser.add_argument("--models", nargs="+", default=["ease", "mf", "lightgcn", "ltgnn"])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path, required=True, help="lines of models.py")
args = parser.parse_args()
FIFTHS = 5


def fifths(value: Tensor) -> Tensor:
    """In which fifth each of some numbers is; equal ones are in the same."""
    order = value.double().sort().values
    place = torch.searchsorted(order, value.double())
    return (place * FIFTHS // len(value)).clamp(max=FIFTHS - 1)


def rows(known: Interactions, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a method."""
    of_user = torch.bincount(known.user, minlength=known.num_users)
    of_item = torch.bincount(known.item, minlength=known.num_items)
    out = []
    for line in lines:
        ranks = Ranks.load(Ranks.path(args.json, line))
        user_fifth = fifths(of_user[ranks.users])
        item_fifth = fifths(of_item[ranks.item])
        whole, ndcg = ranks.recall(), ranks.ndcg()
        row: dict[str, Any] = {k: line[k] for k in ("model", "setting", "device")}
        row |= {"recall@20": float(whole.mean()), "ndcg@20": float(ndcg.mean())}
        for name, metric in (("recall", whole), ("ndcg", ndcg)):
            row[f"{name}_by_user"] = [
                float(metric[user_fifth == n].mean()) for n in range(FIFTHS)
            ]
        row["recall_by_item"] = [
            float(ranks.recall(pairs=item_fifth == n).nanmean()) for n in range(FIFTHS)
        ]
        row["cut_history"] = line.get("cut_history")
        row["most_of_user"] = bounds(of_user[ranks.users], user_fifth)
        row["most_of_item"] = bounds(of_item[ranks.item], item_fifth)
        out.append(row)
    return out


def bounds(value: Tensor, fifth: Tensor) -> list[int]:
    """The largest number of each fifth."""
    return [int(value[fifth == n].max()) if (fifth == n).any() else 0
            for n in range(FIFTHS)]  # fmt: skip


def main() -> None:
    """Reads the lines, and prints and keeps what they say."""
    split = load_split(args.dataset, args.root, 0.1, args.order)
    known = Interactions.cat(split.train, split.val)
    lines = [json.loads(line) for line in args.json.read_text().splitlines()]
    wanted = {"dataset": args.dataset, "order": args.order, "seed": args.seed,
              "embedding_dim": 64, "device": "cpu"}  # fmt: skip
    found = {}
    for line in lines:
        setting = "published" if line["epochs"] == 0 else "here"
        if line.items() >= {**wanted, "setting": setting}.items():
            found[line["model"]] = line
    missing = sorted(set(args.models) - set(found))
    if missing:
        raise SystemExit(
            f"Expected a line of {sorted(missing)} in {args.json} (got none)"
        )
    result = rows(known, [found[name] for name in args.models])
    command = ["benchmarks/tail.py", *sys.argv[1:]]
    with args.json.with_name("tail.jsonl").open("a") as file:
        for row in result:
            shown = "  ".join(f"{v:.4f}" for v in row["recall_by_user"])
            other = "  ".join(f"{v:.4f}" for v in row["recall_by_item"])
            print(f"{row['model']:12} users {shown}   items {other}")
            line = {**about(command), "dataset": args.dataset, "seed": args.seed, **row}
            file.write(json.dumps(line) + "\n")


main()
