"""Rank all items for every user of a run, and measure where its held-out ones land.

    ltgnn evaluate run --k 5 10 20 --metrics recall ndcg

What is known is not ranked: training and validation interactions for the test part,
training interactions for the validation part.
"""

import argparse
import inspect
from typing import Any

from ltgnn_pyg.cli import machine
from ltgnn_pyg.cli.output import add_json_flag, figures, show
from ltgnn_pyg.evaluation import METRICS, evaluate
from ltgnn_pyg.runs import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parameters = inspect.signature(evaluate).parameters
    k, metrics = parameters["k"].default, parameters["metrics"].default
    parser.add_argument("folder", metavar="RUN", help="the run folder")
    parser.add_argument(
        "-k", "--k", type=int, nargs="+", default=[k], metavar="N", help="the lengths "
        f"of the ranking (default: {k})",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", nargs="+", choices=METRICS, default=list(metrics), metavar="NAME",
        help=f"of {', '.join(METRICS)} (default: {' '.join(metrics)})",
    )  # fmt: skip
    parser.add_argument(
        "--part", choices=("test", "val"), default="test", help="(default: test)"
    )
    add_json_flag(parser)
    machine.add_machine_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluates."""
    device = machine.set_machine(vars(args))
    folder = RunFolder.open(args.folder)
    split = folder.split
    held, known = split.test, split.seen
    if args.part == "val":
        held, known = split.val, split.train_seen
    if len(held) == 0:
        raise ValueError(
            f"Expected a {args.part} part in '{args.folder}' (got none); train with a "
            f"larger --{args.part}-ratio"
        )
    if args.part == "val" and folder.config["training"]["refit"]:
        raise ValueError(
            "Expected a run that was not trained on its validation part (got "
            f"'{args.folder}', trained anew on it); see 'validation' of 'ltgnn "
            "inspect', or train with --no-refit"
        )
    result: dict[str, Any] = evaluate(
        folder.scorer_on(device),
        held,
        exclude=known,
        k=args.k,
        metrics=args.metrics,
    )
    text = "\n".join(
        f"{k:4d}  " + figures({m: result[f"{m}@{k}"] for m in args.metrics})
        for k in args.k
    )
    show({"part": args.part, "order": split.order, **result}, text, args.json)
