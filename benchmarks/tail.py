"""The users and items that a method is ahead for: of few interactions, or of many.

    python benchmarks/tail.py --root data --dataset gowalla --lines models.jsonl \
        --models popularity ease mf lightgcn ltgnn --json tail.jsonl

takes, of the lines that models.py has made, the last one of a model of these columns on
the CPU, as `fit` trains it, and writes recall@20 by fifths of the users and of the
items, ordered by their number of known interactions: of the users, a fifth each; of the
items, a fifth of the held-out interactions each. Recall on some items is of the
held-out ones among them.
"""

from pathlib import Path

import torch
from ranks import Ranks
from record import arguments, begin, read, write
from sets import load_split

parser = arguments(__doc__)
parser.add_argument("--models", nargs="+", default=["ease", "mf", "lightgcn", "ltgnn"])
parser.add_argument("--lines", type=Path, required=True, help="of models.py")
args = begin(parser)
FIFTHS = range(5)


def fifths(value):
    """The fifth that each of some numbers is in; equal ones are in the same."""
    place = torch.searchsorted(value.sort().values, value)
    return (place * len(FIFTHS) // len(value)).clamp(max=FIFTHS[-1])


def most(value, fifth):
    """The largest number of each fifth."""
    parts = (value[fifth == n] for n in FIFTHS)
    return [int(part.max()) if len(part) else 0 for part in parts]


wanted = {"dataset": args.dataset, "order": args.order, "seed": args.seed,
          "embedding_dim": args.embedding_dim, "device": "cpu"}  # fmt: skip
found = {}
for line in read(args.lines):
    setting = "published" if line["epochs"] == 0 else "here"
    if line.items() >= {**wanted, "setting": setting}.items():
        found[line["model"]] = line
if missing := sorted(set(args.models) - set(found)):
    raise SystemExit(f"Expected a line of {missing} in {args.lines} (got none)")
seen = load_split(args.dataset, args.root, 0.1, args.order).known
for line in (found[name] for name in args.models):
    ranks = Ranks.load(Ranks.path(args.lines, line))
    user = torch.bincount(seen.user, minlength=seen.num_users)[ranks.users].double()
    item = torch.bincount(seen.item, minlength=seen.num_items)[ranks.item].double()
    of_user, of_item = fifths(user), fifths(item)
    row = {name: line.get(name) for name in ("model", "setting", "device")}
    for name, metric in (("recall", ranks.recall()), ("ndcg", ranks.ndcg())):
        row[f"{name}@20"] = float(metric.mean())
        row[f"{name}_by_user"] = [float(metric[of_user == n].mean()) for n in FIFTHS]
    row["recall_by_item"] = [
        float(ranks.recall(pairs=of_item == n).nanmean()) for n in FIFTHS
    ]
    row |= {"most_of_user": most(user, of_user), "most_of_item": most(item, of_item)}
    write(args, row)
