"""Re-ranks the lists of a trained model: rules, diversity, and what a session clicked.

    python examples/rerank.py                               # synthetic, seconds
    python examples/rerank.py --dataset ratings.csv         # your own

The model brings two hundred candidates for each user. A pipeline, a list of functions
`candidates -> candidates`, makes a list of twenty of them; a function of your own goes
in like any other. What lists gain and lose is measured in one call. Stock, news and
categories are made up here: a real catalogue has them as columns.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import read_interactions, split_ratio, synthetic_interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.retrieval.rerank import (
    Candidates,
    Pipeline,
    boost,
    calibrated,
    dpp,
    keep,
    mmr,
)

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic", help="synthetic, or a file")
parser.add_argument("--epochs", type=int, default=3, help="at most")
parser.add_argument("--k", type=int, default=20, help="the length of the lists")
parser.add_argument("--lam", type=float, default=0.7, help="the weight of the score")
parser.add_argument("--theta", type=float, default=0.9, help="the same, of the DPP")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path, help="write the result here")
args = parser.parse_args()
torch.manual_seed(args.seed)

if args.dataset == "synthetic":
    data = synthetic_interactions(2000, 1500, 40_000, seed=args.seed)
    split = split_ratio(data, seed=args.seed)
else:
    split = split_ratio(read_interactions(args.dataset), seed=args.seed)
num_users, num_items = split.train.num_users, split.train.num_items
report = fit(LTGNN(num_users, num_items), split, max_epochs=args.epochs)
vectors, known = report.vectors, report.interactions

# What a shop knows of its items: made up.
in_stock = torch.rand(num_items) < 0.9
is_new = torch.rand(num_items) < 0.05
for_evenings = torch.rand(num_items) < 0.2
unit = vectors.normalize().item
category = torch.eye(12)[(unit @ torch.randn(unit.size(1), 12)).argmax(1)]

# What each user has taken, as rows: sorted once, for all calls.
order = known.user.argsort(stable=True)
count = known.user.bincount(minlength=num_users)
seen = torch.cat([count.new_zeros(1), count.cumsum(0)]), known.item[order]


def clicked(candidates, clicks):
    """Lifts what is like the items clicked in this session."""
    return boost(candidates, 0.5 * (unit @ unit[clicks].mean(0)))


def at_hour(candidates, hour):
    """Lifts what is for evenings, in the evening."""
    return boost(candidates, 0.2 * for_evenings) if hour >= 18 else candidates


# One pipeline for each way to make a list; rules come before it.
rules = Pipeline([partial(keep, mask=in_stock), partial(boost, bonus=0.1 * is_new)])
ways = {
    "scores": [],
    "rules": [rules],
    "mmr": [rules, partial(mmr, item_vector=vectors.item, k=args.k, lam=args.lam)],
    "dpp": [rules, partial(dpp, item_vector=vectors.item, k=args.k, theta=args.theta)],
    "calibrated": [rules, partial(calibrated, item_category=category, seen=seen,
                                  k=args.k, lam=args.lam)],
}  # fmt: skip

user = split.test.user.unique()
candidates = Candidates(user, *top_k(vectors, 10 * args.k, user=user, exclude=seen))
metrics = ["recall", "ndcg", "ild", "coverage", "gini", "novelty"]
result = {}
print(f"{'':12}", *(f"{name:>12}" for name in metrics))
for name, steps in ways.items():
    result[name] = evaluate(
        vectors,
        split.test,
        exclude=known,
        lists=Pipeline(steps)(candidates),
        k=args.k,
        metrics=metrics,
        item_vector=vectors.item,
    )
    print(f"{name:12}", *(f"{value:12.4f}" for value in result[name].values()))

# A request knows more: its steps go before those that are always there.
clicks = candidates.item[0, 100:102]
request = Pipeline([partial(clicked, clicks=clicks), partial(at_hour, hour=20),
                    *ways["mmr"]])  # fmt: skip
one = Candidates(user[:1], *top_k(vectors, 10 * args.k, user=user[:1], exclude=seen))
_, _, items = request(one)
print(f"User {int(user[0])}, who clicked {clicks.tolist()} this evening:")
print(*items[0].tolist())
if args.json is not None:
    like = [float((unit[row[row >= 0]] @ unit[clicks].mean(0)).mean())
            for row in (Pipeline(ways["mmr"])(one).item[0], items[0])]  # fmt: skip
    result["request"] = {"items": items[0].tolist(), "like_clicks": like}
    result["in_stock"] = bool(in_stock[items[items >= 0]].all())
    args.json.write_text(json.dumps(result) + "\n")
