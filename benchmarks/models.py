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
them how sure the differences are.

What papers print is in published.json, with its sources.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from cut_history import cut_history
from ranks import KEY, Ranks, compare, gini_of, rank_pairs
from recipes import FILTERS, HERE, PARTS, PUBLISHED, build
from record import about
from sets import HELP, load_split

from ltgnn_pyg import fit
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.train.fit import Report

FIGURES = json.loads(Path(__file__).with_name("published.json").read_text())
NAMES = [*FILTERS, *HERE]

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data", help="where sets lie or go")
parser.add_argument("--order", choices=["time", "lines", "random"])
parser.add_argument("--models", default="all", help=f"all, or some of {NAMES}")
parser.add_argument("--setting", choices=["here", "published", "both"], default="both")
parser.add_argument("--budget", default="15m", help="of training a model: 90s, 10m")
parser.add_argument("--seeds", type=int, nargs="+", default=[0])
parser.add_argument("--embedding-dim", type=int, default=64)
parser.add_argument("--compare", action="store_true", help="how sure differences are")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--device", default="cpu", help="of what is trained: cpu, cuda")
parser.add_argument("--json", type=Path, required=True)
parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)


def seconds(text: str) -> float:
    """Of a budget such as 90s or 10m."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1])
    if unit is None or not text[:-1].replace(".", "", 1).isdecimal():
        raise SystemExit(f"Expected --budget such as 90s or 10m (got {text!r})")
    return float(text[:-1]) * unit


def job_of(name: str, setting: str, seed: int) -> dict[str, Any]:
    """What tells a line from others."""
    on = "cpu" if name in FILTERS else args.device
    what = args.dataset, args.order, name, setting
    how = seed, args.budget, args.embedding_dim, on
    return dict(zip(KEY, (*what, *how), strict=True))


def jobs() -> list[dict[str, Any]]:
    """What is asked for, in the order of the table."""
    names = NAMES if args.models == "all" else args.models.split(",")
    if unknown := set(names) - set(NAMES):
        raise SystemExit(f"Expected --models among {NAMES} (got {sorted(unknown)})")
    settings = ["published", "here"] if args.setting == "both" else [args.setting]
    out = []
    for name in names:
        of_model = ["published"] if name in FILTERS else settings
        for setting in of_model:
            free = name in FILTERS or setting == "here"
            if not free and args.dataset not in PUBLISHED.get(name, {}):
                continue  # Its paper says no settings for such a set.
            for seed in args.seeds[:1] if name in FILTERS else args.seeds:
                out.append(job_of(name, setting, seed))
    return out


def spent(report: Report) -> float:
    """Seconds of training, in the choice and after it."""
    last = {row["phase"]: row["seconds"] for row in report.curve}
    return sum(last.values())


def train(name: str, setting: str, seed: int) -> dict[str, Any]:
    """Trains a model, and measures it."""
    split = load_split(args.dataset, args.root, 0.1, args.order)
    torch.manual_seed(seed)
    start, out = time.perf_counter(), {}
    known = Interactions.cat(split.train, split.val)
    if name in FILTERS:
        scorer = FILTERS[name](known, args.dataset)
        out |= {"epochs": 0, "reason": "fitted in closed form"}
        out |= {"train_seconds": time.perf_counter() - start, "parameters": None}
    else:
        model, kwargs = build(name, setting, args.dataset, split, args.embedding_dim)
        model.to(args.device)
        report = fit(
            model,
            split,
            max_epochs=10_000,
            max_seconds=seconds(args.budget) / 2.0,
            log=lambda row, step: print(row, file=sys.stderr, flush=True),
            **kwargs,
        )
        scorer = report.vectors
        out |= {
            "epochs": report.epochs / (PARTS if setting == "published" else 1),
            "reason": report.reason,
            "train_seconds": spent(report),
            "parameters": sum(p.numel() for p in model.parameters()),
            "validation": report.validation,
        }
    out["seconds"] = time.perf_counter() - start
    ranks = rank_pairs(scorer, split.test.edge_label_index, known.edge_label_index)
    out |= {
        "recall@20": float(ranks.recall().mean()),
        "ndcg@20": float(ranks.ndcg().mean()),
        "ndcg@10": float(ranks.ndcg(10).mean()),
        "coverage@20": ranks.lists.unique().numel() / known.num_items,
        "gini": gini_of(ranks.lists, known.num_items),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if name != "popularity":  # Which is as it is for everybody.
        alpha = model.alpha if name in ("ltgnn", "guided") else 0.0
        out["cut_history"] = cut_history(scorer, known, split.test, alpha)
    return out | {"ranks": ranks}


def child(name: str, setting: str, seed: str) -> None:
    """Makes a line in this process."""
    torch.set_num_threads(args.threads)
    job = job_of(name, setting, int(seed))
    out = train(name, setting, int(seed))
    ranks: Ranks = out.pop("ranks")
    ranks.save(Ranks.path(args.json, job))
    published = FIGURES.get(args.dataset, {}).get(name)
    command = ["benchmarks/models.py", *sys.argv[1 : sys.argv.index("--child")]]
    line = {**about(command), **job, **out, "published": published}
    line["threads"] = args.threads
    rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
    print(json.dumps(rounded))


def differences(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
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


def main() -> None:
    """Makes the lines that are not there yet."""
    wanted = jobs()
    lines = args.json.read_text().splitlines() if args.json.exists() else []
    done = {tuple(line[k] for k in KEY): line for line in map(json.loads, lines)}
    failed: list[str] = []
    for job in wanted:
        key = tuple(job[k] for k in KEY)
        if key not in done:
            print(f"{job['model']}, {job['setting']}, seed {job['seed']}", flush=True)
            which = [job["model"], job["setting"], str(job["seed"])]
            command = [sys.executable, *sys.argv, "--child", *which]
            env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
            made = subprocess.run(command, env=env, stdout=subprocess.PIPE)
            if made.returncode:
                failed.append(f"{job['model']}, {job['setting']}, seed {job['seed']}")
                continue  # The others need not wait for its cure.
            text = made.stdout.decode().splitlines()[-1]
            done[key] = json.loads(text)
            with args.json.open("a") as file:
                file.write(text + "\n")
    keys = (tuple(job[k] for k in KEY) for job in wanted)
    rows = [done[key] for key in keys if key in done]
    for row in sorted(rows, key=lambda row: -row["ndcg@20"]):
        printed = row["published"] or ["", ""]
        print(f"{row['model']:12} {row['setting']:10} {row['recall@20']:.4f} "
              f"{row['ndcg@20']:.4f}  printed {printed[0]} {printed[1]}  "
              f"{row['train_seconds']:.0f} s  {row['reason']}")  # fmt: skip
    if args.compare:
        found = differences(rows)
        command = about(["benchmarks/models.py", *sys.argv[1:]])
        with args.json.with_suffix(".differences.jsonl").open("a") as file:
            for row in found:
                print(json.dumps(row))
                file.write(json.dumps({**command, **row}) + "\n")
    if failed:
        raise SystemExit("Not made, for the errors above: " + "; ".join(failed))


args = parser.parse_args()
if args.child:
    child(*args.child)
else:
    main()
