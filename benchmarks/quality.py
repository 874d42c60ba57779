"""The quality of lists: each model trained by `fit`, tested once.

    python benchmarks/quality.py --dataset gowalla --root data --recipe default \
        --seed 0 --json out.jsonl

--order says what is held out of a set without parts. A recipe is a model, an objective,
and how it is trained: `default` is what examples/quickstart.py runs. The curve and all
settings go to --json.
"""

import time
from dataclasses import replace
from functools import partial

import torch
from record import arguments, begin, peak_rss_mb, write
from sets import known, load_split, sample_users
from untrained import spectral

from ltgnn_pyg import LTGNN, VRNeighborLoader, fit, nn
from ltgnn_pyg.datasets import Split, recency_weight
from ltgnn_pyg.evaluation import choose_blend, evaluate
from ltgnn_pyg.scorers import Blend
from ltgnn_pyg.scorers.filters import BSPM, EASE, Popularity
from ltgnn_pyg.version import __version__

METRICS = {"k": (5, 10, 20), "metrics": ("recall", "ndcg")}


def size(split):
    """The numbers of users and items."""
    return split.train.num_users, split.train.num_items


def trained(model, split, **kwargs):
    """A report of `fit`; epochs are shown, and settings kept for the record."""
    kwargs = {"max_epochs": args.epochs, **kwargs}
    kwargs["refit"] = kwargs.get("refit", True) and not args.validation
    report = fit(model, split, log=lambda row, _: print(row, flush=True), **kwargs)
    settings.append(report.settings)
    return report


def default(split, width=64, weight_temperature=1.0, **kwargs):
    """LTGNN guided by a filter."""
    num_items = split.train.num_items
    loss_fn = nn.GuidedSoftmaxLoss(num_items, weight_temperature=weight_temperature)
    return trained(LTGNN(*size(split), width, loss_fn=loss_fn), split, **kwargs)


def plain(cls, split, loader=None, model=None, **kwargs):
    """A model as it is, with the objective and batches of `fit`."""
    kwargs |= {} if loader is None else {"loader": loader}
    return trained(cls(*size(split), **(model or {})), split, **kwargs)


def bpr(split, **kwargs):
    """BPR over the batch's items, the likelier ones weighed more."""
    loss_fn = nn.BPRLoss(cosine=True, temperature=0.5, hardness=4.0, in_batch=True)
    return trained(LTGNN(*size(split), loss_fn=loss_fn), split, **kwargs)


def taught(split, width=64, weight_temperature=1.0):
    """LTGNN that learns what a wide guided one expects of the same parts. Epochs, curve
    and validation are its own, the seconds of training those of both.
    """

    def both(part, epochs=(args.epochs, args.epochs)):
        first, last = ({"refit": False, "max_epochs": num} for num in epochs)
        teacher = default(part, 256, weight_temperature, **first)
        rows = torch.cat([teacher.vectors.user, teacher.vectors.item])
        loss_fn = nn.DistillationLoss(
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
    if args.validation:
        return alone
    report = default(whole(split), refit=False, max_epochs=alone.epochs)
    second = filters[other](report.interactions)
    vectors = Blend(report.vectors, second, found.weight)
    return as_chosen(report, alone, start, vectors=vectors)


def whole(split):
    """Training and validation part as one to train on."""
    return Split(known(split), split.val[:0], split.test, split.order)


def as_chosen(report, chosen, start, **changed):
    """A report of a training anew, with what was seen when its epochs were chosen."""
    seen = {k: getattr(chosen, k) for k in ("reason", "validation", "curve")}
    return replace(report, seconds=time.perf_counter() - start, **seen, **changed)


FIXED_POINT = {"alpha": 0.2, "K": None}  # The limit that the paper's steps train.
SHARP = {"weight_temperature": 0.5}
RECIPES = {
    "default": default,
    "wide": partial(default, width=256),
    "softmax": partial(plain, LTGNN),
    "steps": partial(plain, LTGNN, loader=VRNeighborLoader, model=FIXED_POINT),
    "bpr": bpr,
    "lightgcn": partial(plain, nn.LightGCN),
    "mf": partial(plain, nn.MatrixFactorization),
    "yelp2018": partial(default, **SHARP),
    "yelp2018-wide": partial(default, width=256, **SHARP),
    "taught": taught,
    "yelp2018-taught": partial(taught, **SHARP),
    "yelp2018-wide-taught": partial(taught, width=256, **SHARP),
    "minute": partial(plain, LTGNN, max_seconds=42.0),  # At most 60 in the end.
    "blend": blend,
}
for name, recipe in (("", "default"), ("lightgcn-", "lightgcn"), ("mf-", "mf")):
    # Scored by the order of interactions, too.
    RECIPES[f"{name}recent"] = partial(RECIPES[recipe], edge_weight=recency_weight)
TRAINING_FREE = {"popularity": Popularity, "svd": spectral}

parser = arguments(__doc__, dataset="synthetic")
parser.add_argument("--recipe", choices=[*RECIPES, *TRAINING_FREE], default="default")
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--validation", action="store_true", help="leave the test part")
args, settings = begin(parser), []
split = load_split(args.dataset, args.root, 0.1, args.order)
if args.recipe in TRAINING_FREE:
    start = time.perf_counter()
    seen = known(split)
    vectors = TRAINING_FREE[args.recipe](seen)
    result = {"epochs": 0, "train_seconds": round(time.perf_counter() - start, 1)}
else:
    report = RECIPES[args.recipe](split)
    seen, vectors = report.interactions, report.vectors
    result = {"epochs": report.epochs, "reason": report.reason,
              "validation": report.validation, "curve": report.curve,
              "train_seconds": round(report.train_seconds, 1),
              "seconds": round(report.seconds, 1)}  # fmt: skip
if not args.validation:
    result |= evaluate(vectors, split.test.edge_label_index,
                       exclude_edge_index=seen.edge_label_index, **METRICS)  # fmt: skip
about = {"recipe": args.recipe, "order": split.order, "peak_rss_mb": peak_rss_mb()}
versions = {"ltgnn_pyg": __version__, "torch": torch.__version__}
write(args, {**about, **result, "settings": settings, "versions": versions})
