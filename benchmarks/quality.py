"""How good the lists are: each model trained by `fit`, tested once.

    python benchmarks/quality.py --dataset gowalla --root data --recipe default \
        --seed 0 --json out.json

--dataset is gowalla, yelp2018, synthetic, a folder in LightGCN's text form, or a file
of interactions; --order says what is held out of the latter two. A recipe is a model,
an objective, and how it is trained: `default` is what examples/quickstart.py runs. The
curve, all settings and the versions of everything go to --json.
"""

import argparse
import json
import resource
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch_geometric
from sets import load_split, sample_users
from untrained import spectral

from ltgnn_pyg import LTGNN, VRNeighborLoader, fit
from ltgnn_pyg.datasets import Interactions, Split, recency_weight
from ltgnn_pyg.evaluation import choose_blend, evaluate
from ltgnn_pyg.nn import (
    BPRLoss,
    DistillationLoss,
    GuidedSoftmaxLoss,
    LightGCN,
    MatrixFactorization,
)
from ltgnn_pyg.scorers import Blend
from ltgnn_pyg.scorers.filters import BSPM, EASE, Popularity
from ltgnn_pyg.version import __version__

METRICS = {"k": (5, 10, 20), "metrics": ("recall", "ndcg")}


def default(split, width=64, weight_temperature=1.0, **kwargs):
    """LTGNN guided by a filter."""
    num_items = split.train.num_items
    loss_fn = GuidedSoftmaxLoss(num_items, weight_temperature=weight_temperature)
    return trained(LTGNN(*size(split), width, loss_fn=loss_fn), split, **kwargs)


def softmax(split, **kwargs):
    """LTGNN as it is, by softmax alone."""
    return trained(LTGNN(*size(split)), split, **kwargs)


def steps(split, **kwargs):
    """LTGNN of the fixed point, by the paper's steps."""
    model = LTGNN(*size(split), alpha=0.2, K=None)
    return trained(model, split, loader=VRNeighborLoader, **kwargs)


def bpr(split, **kwargs):
    """BPR over the batch's items, the likelier ones weighed more."""
    loss_fn = BPRLoss(cosine=True, temperature=0.5, hardness=4.0, in_batch=True)
    return trained(LTGNN(*size(split), loss_fn=loss_fn), split, **kwargs)


def lightgcn(split, **kwargs):
    """LightGCN of three layers, the same objective and training."""
    return trained(LightGCN(*size(split)), split, **kwargs)


def mf(split, **kwargs):
    """Matrix factorisation, the same objective and batches."""
    return trained(MatrixFactorization(*size(split)), split, **kwargs)


def taught(split, width=64, weight_temperature=1.0):
    """LTGNN that learns what a wide guided one expects of the same parts. Epochs, curve
    and validation are its own, the seconds of training those of both.
    """

    def both(part, epochs=(args.epochs, args.epochs)):
        first, last = ({"refit": False, "max_epochs": num} for num in epochs)
        teacher = default(part, 256, weight_temperature, **first)
        rows = torch.cat([teacher.vectors.user, teacher.vectors.item])
        loss_fn = DistillationLoss(
            split.train.num_items, rows, weight_temperature=weight_temperature
        )
        model = LTGNN(*size(split), width, loss_fn=loss_fn)
        return teacher, trained(model, part, **last)

    start = time.perf_counter()
    chosen = both(split)
    if args.validation:
        return chosen[1]
    teacher, report = both(whole(split), [each.epochs for each in chosen])
    train_seconds = teacher.train_seconds + report.train_seconds
    return as_chosen(report, chosen[1], start, train_seconds=train_seconds)


def blend(split):
    """The default beside the filter that helps it most, as much as it does: BSPM's two
    sparse products, without what is to be fitted, or EASE, which is cubic, where that
    is cheap. Curve and validation are of the model alone, those of both among the
    settings.
    """
    start = time.perf_counter()
    alone = default(split, refit=False)
    filters = {"BSPM": partial(BSPM, beta=0.0, T=0.7, order=1)}
    if min(size(split)) <= 10_000:
        filters["EASE"] = EASE
    pairs = {"edge_label_index": split.val.edge_label_index,
             "exclude_edge_index": split.train.edge_label_index,
             "user": sample_users(split.val, 5000)}  # fmt: skip
    others = [make(split.train) for make in filters.values()]
    found = choose_blend(alone.vectors, others, **pairs)
    other = type(found.second).__name__
    settings.append({"second": other, "weight": found.weight,
                     "validation": evaluate(found, **pairs)})  # fmt: skip
    print(settings[-1], flush=True)
    if args.validation:
        return alone
    report = default(whole(split), refit=False, max_epochs=alone.epochs)
    second = filters[other](report.interactions)
    vectors = Blend(report.vectors, second, found.weight)
    return as_chosen(report, alone, start, vectors=vectors)


def whole(split):
    """Training and validation part as one to train on."""
    known = Interactions.cat(split.train, split.val)
    return Split(known, split.val[:0], split.test, split.order)


def as_chosen(report, chosen, start, **changed):
    """A report of a training anew, with what was seen when its epochs were chosen."""
    return replace(
        report,
        reason=chosen.reason,
        validation=chosen.validation,
        curve=chosen.curve,
        seconds=time.perf_counter() - start,
        **changed,
    )


RECIPES = {
    "default": default,
    "wide": partial(default, width=256),
    "softmax": softmax,
    "steps": steps,
    "bpr": bpr,
    "lightgcn": lightgcn,
    "mf": mf,
    "yelp2018": partial(default, weight_temperature=0.5),
    "yelp2018-wide": partial(default, width=256, weight_temperature=0.5),
    "taught": taught,
    "yelp2018-taught": partial(taught, weight_temperature=0.5),
    "yelp2018-wide-taught": partial(taught, width=256, weight_temperature=0.5),
    "minute": partial(softmax, max_seconds=42.0),  # At most 60 in the end.
    "blend": blend,
}
RECENT = {"edge_weight": recency_weight}  # Scored by the order of interactions, too.
RECIPES |= {
    "recent": partial(default, **RECENT),
    "lightgcn-recent": partial(lightgcn, **RECENT),
    "mf-recent": partial(mf, **RECENT),
}
TRAINING_FREE = {"popularity": Popularity, "svd": spectral}

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic")
parser.add_argument("--root", default="data", help="where datasets lie or go")
parser.add_argument("--order", choices=["time", "lines", "random"])
parser.add_argument("--recipe", choices=[*RECIPES, *TRAINING_FREE], default="default")
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--validation", action="store_true", help="leave the test part")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()


def size(split):
    """The numbers of users and items."""
    return split.train.num_users, split.train.num_items


def trained(model, split, **kwargs):
    """A report of `fit`; epochs are shown, and settings kept for the record."""

    def log(row, step):
        print(row, flush=True)

    kwargs = {"max_epochs": args.epochs, "log": log, **kwargs}
    kwargs["refit"] = kwargs.get("refit", True) and not args.validation
    report = fit(model, split, **kwargs)
    settings.append(report.settings)
    return report


settings = []
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
split = load_split(args.dataset, args.root, 0.1, args.order)
result = {"dataset": args.dataset, "recipe": args.recipe, "seed": args.seed,
          "threads": args.threads, "order": split.order}  # fmt: skip
if args.recipe in TRAINING_FREE:
    start = time.perf_counter()
    known = Interactions.cat(split.train, split.val)
    vectors = TRAINING_FREE[args.recipe](known)
    result |= {"epochs": 0, "train_seconds": round(time.perf_counter() - start, 1)}
else:
    report = RECIPES[args.recipe](split)
    known, vectors = report.interactions, report.vectors
    result |= {"epochs": report.epochs, "reason": report.reason,
               "validation": report.validation, "curve": report.curve,
               "train_seconds": round(report.train_seconds, 1),
               "seconds": round(report.seconds, 1)}  # fmt: skip
if not args.validation:
    known_pairs = known.edge_label_index
    test_pairs = split.test.edge_label_index
    result |= evaluate(vectors, test_pairs, exclude_edge_index=known_pairs, **METRICS)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux.
result |= {"peak_rss_mb": round(peak), "settings": settings,
           "versions": {"ltgnn_pyg": __version__, "torch": torch.__version__,
                        "torch_geometric": torch_geometric.__version__}}  # fmt: skip
print(json.dumps({k: v for k, v in result.items() if k != "curve"}, indent=1))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
