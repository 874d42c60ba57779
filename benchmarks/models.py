"""Every model of the family on one set: its lists, its time, its size.

    python benchmarks/models.py --root data --dataset gowalla --models all \
        --budget 15m --json out.jsonl

A line for each model, setting and seed. `published` is the model with the objective and
the settings of its paper (see recipes.py), `here` the model as `fit` trains it without
being told anything, but for fewer rounds of slow encoders, and `guided`, which is LTGNN
as examples/quickstart.py trains it. Each runs in a process of its own, is chosen on a
validation part cut from the training part and tested once. --budget is the seconds of
training, half of them for the choice, which ends with the epoch in which they are over;
the final training takes as many epochs, and `train_seconds` are those of both. A run
that the budget stopped says so in `reason`. Lines that are in --json already are not
made again. The ranks of all held-out items are kept beside it, and --compare tells from
them how sure the differences are. Recall and NDCG are told by fifths, too, of the users
and of the held-out items, from those of few known interactions to those of many: recall
on some items is of the held-out ones among them.

The figures that papers print are in published.json, with their sources.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import torch
from ranks import KEY, Ranks, by_fifths, compare, rank_pairs
from recipes import FILTERS, HERE, PARTS, PUBLISHED, build, filter_of
from record import Row, alone, arguments, begin, duration, go_on, peak_rss_mb, write
from sets import load_split

from ltgnn_pyg import fit
from ltgnn_pyg.evaluation.metrics import gini
from ltgnn_pyg.train import fit_filter

FIGURES = json.loads(Path(__file__).with_name("published.json").read_text())
NAMES = [*FILTERS, *HERE]

parser = arguments(__doc__)
parser.add_argument("--models", default="all", help=f"all, or some of {NAMES}")
parser.add_argument("--setting", choices=["here", "published", "both"], default="both")
parser.add_argument("--budget", default="15m", help="of training a model: 90s, 10m")
parser.add_argument("--seeds", type=int, nargs="+", default=[0])
parser.add_argument("--compare", action="store_true", help="how sure differences are")
parser.add_argument("--device", default="cpu", help="of what is trained: cpu, cuda")


def job_of(name: str, setting: str, seed: int) -> Row:
    """The values that tell a line from others."""
    on = "cpu" if name in FILTERS else args.device
    how = seed, args.budget, args.embedding_dim, on
    job = args.dataset, args.order, name, setting, *how
    return dict(zip(KEY, job, strict=True))


def jobs() -> list[Row]:
    """The lines that are asked for; papers say settings for some sets only."""
    names = NAMES if args.models == "all" else args.models.split(",")
    if unknown := set(names) - set(NAMES):
        raise SystemExit(f"Expected --models among {NAMES} (got {sorted(unknown)})")
    settings = ["published", "here"] if args.setting == "both" else [args.setting]
    out = []
    for name in names:
        if name in FILTERS:
            out.append(job_of(name, "published", args.seeds[0]))
            continue
        for setting in settings:
            if setting == "here" or args.dataset in PUBLISHED.get(name, {}):
                out += [job_of(name, setting, seed) for seed in args.seeds]
    return out


def child(name: str, setting: str, seed: int) -> Row:
    """Trains a model, and measures it."""
    split = load_split(args.dataset, args.root, 0.1, args.order)
    torch.manual_seed(seed)
    parameters = None
    if name in FILTERS:
        report = fit_filter(filter_of(name, args.dataset), split)
    else:
        model, kwargs = build(name, setting, args.dataset, split, args.embedding_dim)
        report = fit(
            model.to(args.device),
            split,
            max_epochs=10_000,
            max_seconds=duration(args.budget) / 2.0,
            log=lambda row, step: print(row, file=sys.stderr, flush=True),
            **kwargs,
        )
        parameters = sum(p.numel() for p in model.parameters())
    last = {row["phase"]: row["seconds"] for row in report.curve}
    published = setting == "published" and report.epochs > 0
    out: Row = {
        "epochs": report.epochs / PARTS if published else report.epochs,
        "reason": report.reason,
        "train_seconds": sum(last.values()) or report.train_seconds,
        "parameters": parameters,
        "validation": report.validation,
        "seconds": report.seconds,
    }
    seen = report.interactions
    ranks = rank_pairs(report.scorer, split.test, seen)
    ranks.save(Ranks.path(args.json, job_of(name, setting, seed)))
    shown = ranks.lists[ranks.lists >= 0]
    out |= {
        "recall@20": float(ranks.recall().mean()),
        "ndcg@20": float(ranks.ndcg().mean()),
        "ndcg@10": float(ranks.ndcg(10).mean()),
        "coverage@20": shown.unique().numel() / seen.num_items,
        "gini": float(gini(torch.bincount(shown, minlength=seen.num_items))),
        "peak_rss_mb": peak_rss_mb(),
        **by_fifths(ranks, seen),
    }
    out["published"] = FIGURES.get(args.dataset, {}).get(name)
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in out.items()}


def differences(lines: list[Row]) -> list[Row]:
    """Each line beside the one below it, by NDCG, of the first seed."""
    first = [line for line in lines if line["seed"] == args.seeds[0]]
    first.sort(key=lambda line: -line["ndcg@20"])
    out = []
    for one, other in pairwise(first):
        pair = [Ranks.load(Ranks.path(args.json, line)) for line in (one, other)]
        row = {"dataset": args.dataset, "model": [one["model"], one["setting"]]}
        row["over"] = [other["model"], other["setting"]]
        for metric in ("recall", "ndcg"):
            row[f"{metric}@20"] = compare(*(getattr(r, metric)() for r in pair))
        out.append(row)
    return out


def run(job: Row) -> Row:
    """The line of a job."""
    return alone(args.threads, job["model"], job["setting"], job["seed"])


def main() -> None:
    """Makes the lines that are not there yet."""
    if args.json is None:
        parser.error("Expected --json, the file of the lines (got none)")
    rows = go_on(args, jobs(), run)
    for row in sorted(rows, key=lambda row: -row["ndcg@20"]):
        printed = row["published"] or ["", ""]
        print(f"{row['model']:12} {row['setting']:10} {row['recall@20']:.4f} "
              f"{row['ndcg@20']:.4f}  printed {printed[0]} {printed[1]}  "
              f"{row['train_seconds']:.0f} s  {row['reason']}")  # fmt: skip
    if args.compare:
        for row in differences(rows):
            write(args, row, args.json.with_suffix(".differences.jsonl"))
    if len(rows) < len(jobs()):
        raise SystemExit("Expected all lines (got some), for the errors above")


args = begin(parser)
if args.child:
    print(json.dumps(child(args.child[0], args.child[1], int(args.child[2]))))
else:
    main()
