"""The price of diversity: lists re-ranked by MMR and by DPP, over their weights.

    python benchmarks/diversity.py --root data --dataset gowalla --json out.jsonl

Trains LTGNN as `fit` does by default, and re-ranks the --candidates best items of every
test user to lists of twenty. A line for each method
and weight of the score, the first one without re-ranking: {method, weight, recall@20,
ndcg@20, ild@20, coverage@20, gini@20, novelty@20, ...; recall: its difference to the
first line, with interval and p-value over users; ms_per_list, in batches; ms_one_list,
the median of lists one by one}.

Items are alike by the cosine of their trained vectors, in re-ranking and in ild@20; the
other figures know nothing of vectors. The whole curve is of the test part: nothing is
chosen by it.
"""

from functools import partial
from statistics import median

from ranks import Ranks, compare
from record import arguments, begin, seconds, write
from sets import load_split

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.retrieval.rerank import Candidates, Pipeline, dpp, mmr
from ltgnn_pyg.scorers import top_k

METRICS = ["recall", "ndcg", "ild", "coverage", "gini", "novelty", "average_popularity",
           "personalization", "serendipity"]  # fmt: skip

parser = arguments(__doc__)
parser.add_argument("--epochs", type=int, default=30, help="of training, at most")
parser.add_argument("--candidates", type=int, default=500)
parser.add_argument("--k", type=int, default=20)
parser.add_argument("--lams", type=float, nargs="*", help="of MMR",
                    default=[0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3])  # fmt: skip
parser.add_argument("--thetas", type=float, nargs="*", help="of DPP",
                    default=[0.99, 0.97, 0.95, 0.9, 0.8, 0.7, 0.5])  # fmt: skip
args = begin(parser)
split = load_split(args.dataset, args.root, 0.1)
model = LTGNN(split.train.num_users, split.train.num_items)
report = fit(model, split, max_epochs=args.epochs,
             log=lambda row, step: print(row, flush=True))  # fmt: skip
vectors = report.vectors
user, row = split.test.user.unique(return_inverse=True)
candidates = Candidates(user, *top_k(vectors, args.candidates, user=user,
                                            exclude=split.known))  # fmt: skip
some = [Candidates(*(each[i : i + 1] for each in candidates))
        for i in range(0, len(user), max(len(user) // 200, 1))]  # fmt: skip


def first(candidates: Candidates) -> Candidates:
    """The best ones, as they are."""
    return Candidates(candidates.user, *(each[:, : args.k] for each in candidates[1:]))


about = {"item_vector": vectors.item, "k": args.k}
settings = [("none", 1.0, first)]
settings += [("mmr", lam, partial(mmr, lam=lam, **about)) for lam in args.lams]
settings += [("dpp", theta, partial(dpp, theta=theta, **about))
             for theta in args.thetas]  # fmt: skip
base = None
for method, weight, step in settings:
    rerank = Pipeline([step])
    times = [seconds(partial(rerank, each)) for each in (candidates, *some)]
    lists = rerank(candidates)
    figures = evaluate(vectors, split.test, exclude=split.known, k=args.k, lists=lists,
                       metrics=METRICS, item_vector=vectors.item)  # fmt: skip
    recall = Ranks.of_lists(row, split.test.item, user, lists.item).recall(args.k)
    base = recall if base is None else base
    line = {"method": method, "weight": weight, **figures,
           "recall": compare(recall, base), "ms_per_list": 1e3 * times[0] / len(user),
           "ms_one_list": 1e3 * median(times[1:]), "lists": len(user)}  # fmt: skip
    write(
        args,
        {**line, "epochs": report.epochs, "candidates": args.candidates, "k": args.k},
    )
