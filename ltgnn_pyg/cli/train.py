"""Train a model on interactions, and write a run folder.

    ltgnn train ratings.csv --out run
    ltgnn train ratings.csv --out run --model ease     a filter, made and not trained
    ltgnn train ratings.csv --out run --beside ease    a model and a filter as one
    ltgnn train run --resume                           go on after a run was killed

The number of epochs is chosen on the validation part, then the model is trained anew on
training and validation interactions together, and tested once. What the test part holds
may come back in lists: to serve lists of what is new to a user, train a second run with
--test-ratio 0, which knows all interactions.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
import torch_geometric

from ltgnn_pyg.cli import machine
from ltgnn_pyg.cli.data import NAMED, READER, SPLIT, Source, add_data_flags, open_data
from ltgnn_pyg.cli.fit_model import (
    DEFAULTS,
    LR,
    add_fit_flags,
    check_fit,
    fit_model,
    resolved,
    say_epoch,
)
from ltgnn_pyg.cli.models import NAMES, add_model_flags, check_model, settings_of_model
from ltgnn_pyg.cli.output import figures, note
from ltgnn_pyg.cli.settings import given
from ltgnn_pyg.datasets import Split
from ltgnn_pyg.datasets.replace_file import replace_text
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.nn.models.pretrained import CONFIG
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import Scorer
from ltgnn_pyg.train import Report
from ltgnn_pyg.train.fit_beside import STAGES
from ltgnn_pyg.train.run import CHECKPOINT
from ltgnn_pyg.version import __version__

START = "train.json"  #: What a run was started with, until it is finished.
NOT_KEPT = ("call", "parser", "out", "settings", "resume")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.usage = "ltgnn train DATA --out RUN [flags]\n       ltgnn train RUN --resume"
    suppress = argparse.SUPPRESS
    add_data_flags(parser)
    add_model_flags(parser)
    add_fit_flags(parser)
    machine.add_machine_flags(parser)
    parser.add_argument(
        "--out", metavar="RUN", default=suppress, help="the run folder, a new one"
    )
    parser.add_argument(
        "--settings", metavar="PATH", default=suppress, help="JSON of settings, as "
        "'tune' writes, unless a flag says otherwise",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run folder DATA, with "
        "the settings it was started with",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Trains, tests and writes."""
    if args.resume:
        folder, flags = _resumed(args)
        if flags is None:
            note(f"the run in '{folder}' is finished")
            return
    else:
        folder, flags = _started(args)
    check_model(flags)
    check_fit(flags)
    device = machine.set_machine(flags)
    source = open_data(flags)
    if args.resume and source.sha256 != flags["sha256"]:
        raise ValueError(
            f"Expected the interactions that the run in '{folder}' was started with "
            f"(got others in '{flags['data']}'); put them back, or start another run"
        )
    split = source.split()
    _say_start(flags, source.name, split)
    if not args.resume:
        folder.mkdir(parents=True, exist_ok=True)
        started = {**flags, "sha256": source.sha256}
        replace_text(folder / START, json.dumps(started, indent=1) + "\n")
    more = {"folder": folder, "resume": True}
    try:
        model, report = fit_model(flags, split, device, say_epoch, **more)
    except ValueError:
        begun = [folder / CHECKPOINT, folder / STAGES[0] / CHECKPOINT]
        if not any(path.exists() for path in begun):  # Refused.
            (folder / START).unlink()
        raise
    metrics = _test(report, split)
    config = _config(flags, model, source, report, metrics)
    assert isinstance(report.scorer, Scorer)
    RunFolder.write(folder, report.scorer, split, config, model)
    (folder / START).unlink()
    print(report)
    print(f"Test: {figures(metrics) or 'none, as there is no test part'}")


def _started(args: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """The folder of a new run, and its flags."""
    flags = vars(args)
    if "out" not in flags:
        raise argparse.ArgumentError(
            None, "Expected --out RUN, or a run folder with --resume (got neither)"
        )
    folder = Path(args.out)
    for name in (START, CHECKPOINT, CONFIG):
        if (folder / name).exists():
            raise ValueError(
                f"Expected a folder without a run (got '{folder / name}'); go on with "
                f"'ltgnn train {folder} --resume', or choose another --out"
            )
    tuned = _read_settings(flags["settings"]) if "settings" in flags else {}
    flags = {**DEFAULTS, **tuned, **flags}
    flags = {name: flags[name] for name in flags if name not in NOT_KEPT}
    flags["root"] = os.path.abspath(flags["root"])  # To be found from anywhere.
    if flags["data"] not in NAMED:
        flags["data"] = os.path.abspath(flags["data"])
    return folder, flags


def _resumed(args: argparse.Namespace) -> tuple[Path, dict[str, Any] | None]:
    """The folder of a run, and the flags it was started with; none if it is
    finished.
    """
    folder, new = Path(args.data), given(vars(args), machine.NAMES)
    others = vars(args).keys() - {"data", "call", "parser", "resume", *new}
    if others:
        name = sorted(others)[0].replace("max_", "").replace("_", "-")
        raise argparse.ArgumentError(
            None,
            "Expected a run folder, --threads and --device alone with --resume, which "
            f"goes on with the settings of the start (got --{name}); leave it out",
        )
    if (folder / CONFIG).is_file():
        RunFolder.open(folder)
        (folder / START).unlink(missing_ok=True)
        return folder, None
    if not (folder / START).is_file():
        raise ValueError(
            f"Expected a run in '{folder}' (got no '{START}'); start one with 'ltgnn "
            f"train DATA --out {folder}'"
        )
    return folder, {**json.loads((folder / START).read_text()), **new}


def _read_settings(path: str) -> dict[str, Any]:
    """Settings of a model and of its training from a file."""
    settings: Any = json.loads(Path(path).read_text())
    model = settings.get("model") if isinstance(settings, dict) else None
    known = {"lr": LR, **(settings_of_model(model) if model in NAMES else {})}
    if model not in NAMES or not all(
        name == "model" or (name in known and known[name].fits(value))
        for name, value in settings.items()
    ):
        raise ValueError(
            f"Expected a 'model' and its settings in '{path}' (got {settings}); pass "
            "what 'ltgnn tune' wrote"
        )
    return dict(settings)


def _test(report: Report, split: Split) -> dict[str, float]:
    """The metrics of the test part; none if it is empty."""
    if len(split.test) == 0:
        return {}
    assert isinstance(report.scorer, Scorer)
    return evaluate(report.scorer, split.test, exclude=split.seen)


def _config(
    flags: dict[str, Any],
    model: Recommender | None,
    source: Source,
    report: Report,
    metrics: dict[str, float],
) -> dict[str, Any]:
    """The configuration that the run folder keeps of the run."""
    return {
        **({} if model is None else {"model": model.settings()}),
        "training": {
            **given(flags, ("model", "beside")),
            **{k: v for k, v in report.settings.items() if k not in ("model", "data")},
            **given(flags, ("max_seconds", "lr", "temperature")),
        },
        "data": {
            "path": source.name,
            "sha256": source.sha256,
            **given(flags, (*READER, *SPLIT, "dislike_below")),
        },
        "seed": flags["seed"],
        "epochs": report.epochs,
        "reason": report.reason,
        "validation": report.validation,
        "metrics": metrics,
        "seconds": round(report.seconds, 1),
        "threads": torch.get_num_threads(),
        "kernels": report.kernels,
        "device": flags.get("device", "cpu"),
        "versions": {
            "ltgnn_pyg": __version__,
            "torch": torch.__version__,
            "torch_geometric": torch_geometric.__version__,
            "python": platform.python_version(),
        },
    }


def _say_start(flags: dict[str, Any], name: str, split: Split) -> None:
    train = split.train
    note(
        f"{name}: {train.num_users:,} users, {train.num_items:,} items, "
        f"{len(train):,} training, {len(split.val):,} validation and "
        f"{len(split.test):,} test interactions, held out by {split.order}"
    )
    note(f"settings: {json.dumps(resolved(flags))}")
