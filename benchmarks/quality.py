"""The quality of lists: each model trained by `fit`, tested once.

    python benchmarks/quality.py --dataset gowalla --root data --recipe default \
        --seed 0 --json out.jsonl

--order says what is held out of a set without parts. A recipe is a model, an objective,
and how it is trained: `default` is what examples/quickstart.py runs. The curve and all
settings go to --json.

The best temperature of softmax against the density of a set, on validation parts, is
`--recipe softmax --validation --core 20`, with --temperature and without it, for what
`SoftmaxLoss()` finds; --core keeps the users and items that have so many interactions
among themselves.
"""

import time
from dataclasses import replace
from functools import partial

import torch
from record import arguments, begin, peak_rss_mb, write
from sets import load_split, spectral

from ltgnn_pyg import LTGNN, VRNeighborLoader, fit, nn
from ltgnn_pyg.datasets import Split, k_core, recency_weight, split_ratio
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.scorers.filters import BSPM, EASE, Popularity
from ltgnn_pyg.train import fit_beside, fit_filter
from ltgnn_pyg.version import __version__


def size(split):
    """The numbers of users and items."""
    return split.train.num_users, split.train.num_items


def show(row, step):
    """Shows an epoch."""
    print(row, flush=True)


def trained(model, split, **kwargs):
    """A report of `fit`, whose settings are kept for the record."""
    kwargs = {"max_epochs": args.epochs, "log": show, **kwargs}
    kwargs["refit"] = kwargs.get("refit", True) and not args.validation
    report = fit(model, split, **kwargs)
    settings.append(report.settings)
    return report


def guided(split, width=64, weight_temperature=1.0):
    """LTGNN guided by a filter."""
    num_items = split.train.num_items
    loss_fn = nn.GuidedSoftmaxLoss(num_items, weight_temperature=weight_temperature)
    return LTGNN(*size(split), width, loss_fn=loss_fn)


def default(split, width=64, weight_temperature=1.0, **kwargs):
    """LTGNN guided by a filter, trained."""
    return trained(guided(split, width, weight_temperature), split, **kwargs)


def plain(cls, split, loader=None, model=None, **kwargs):
    """A model as it is, with the objective and batches of `fit`."""
    kwargs |= {} if loader is None else {"loader": loader}
    return trained(cls(*size(split), **(model or {})), split, **kwargs)


def softmax(split):
    """LTGNN with softmax at a temperature, which goes to the line."""
    width, loss_fn = args.embedding_dim, nn.SoftmaxLoss(args.temperature)
    report = trained(LTGNN(*size(split), width, loss_fn=loss_fn), split)
    part, found = split.train, args.temperature is None
    density = len(part) / (part.num_users * part.num_items)
    line.update({"temperature": loss_fn.tau, "by_density": found, "density": density})
    return report


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
    whole = Split(split.known, split.val[:0], split.test, split.order)
    teacher, report = both(whole, [each.epochs for each in chosen])
    seen = {k: getattr(chosen[1], k) for k in ("reason", "validation", "curve")}
    spent = teacher.train_seconds + report.train_seconds
    seen |= {"train_seconds": spent, "seconds": time.perf_counter() - start}
    return replace(report, **seen)


def blend(split):
    """The default beside a filter: EASE, which is cubic, where that is cheap, otherwise
    BSPM's two sparse products, without what is to be fitted.
    """
    sparse = partial(BSPM, beta=0.0, T=0.7, solver_order=1)
    other = EASE if min(size(split)) <= 10_000 else sparse
    kwargs = {"max_epochs": args.epochs, "log": show}
    _, report = fit_beside(partial(guided, split), other, split, **kwargs)
    settings.append(report.settings)
    return report


FIXED_POINT = {"alpha": 0.2, "K": None}  # The limit that the paper's steps train.
SHARP = {"weight_temperature": 0.5}
RECIPES = {
    "default": default,
    "wide": partial(default, width=256),
    "softmax": softmax,
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
    "popularity": partial(fit_filter, Popularity),
    "svd": partial(fit_filter, spectral),
}
for name, recipe in (("", "default"), ("lightgcn-", "lightgcn"), ("mf-", "mf")):
    # Scored by the order of interactions, too.
    RECIPES[f"{name}recent"] = partial(RECIPES[recipe], edge_weight=recency_weight)

parser = arguments(__doc__, dataset="synthetic")
parser.add_argument("--recipe", choices=RECIPES, default="default")
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--validation", action="store_true", help="leave the test part")
parser.add_argument("--core", type=int, default=0, help="interactions each, at least")
parser.add_argument("--temperature", type=float, help="of the recipe softmax")
args, settings = begin(parser), []
split = load_split(args.dataset, args.root, 0.1, args.order)
if args.core > 0:
    split = split_ratio(k_core(split.known, k=args.core), order="random", seed=0)
line = {"recipe": args.recipe, "order": split.order, "core": args.core}
report = RECIPES[args.recipe](split)
line |= {"epochs": report.epochs, "reason": report.reason,
         "validation": report.validation, "curve": report.curve,
         "train_seconds": round(report.train_seconds, 1),
         "seconds": round(report.seconds, 1)}  # fmt: skip
if not args.validation:
    line |= evaluate(report.scorer, split.test, exclude=report.interactions,
                     k=(5, 10, 20), metrics=("recall", "ndcg"))  # fmt: skip
versions = {"ltgnn_pyg": __version__, "torch": torch.__version__}
line |= {"peak_rss_mb": peak_rss_mb(), "settings": settings, "versions": versions}
write(args, line)
