"""Search for the settings of models, each with the same number of trials.

    ltgnn tune ratings.csv --out study --trials 20 --models ltgnn lightgcn mf
    ltgnn train ratings.csv --out run --settings study/ltgnn.json

Trials are judged on the validation part; the test part is not looked at. The first
trial of a model has its defaults, the others are drawn by TPE from: lr 0.001 to 0.01,
temperature 0.05 to 0.5, alpha 0.02 to 0.9 (all on a logarithmic scale), K and
num_layers 1 to 4, as far as the model has them. Killed, the same command goes on with
the study.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ltgnn_pyg.cli import machine
from ltgnn_pyg.cli.data import READER, SPLIT, add_data_flags, open_data
from ltgnn_pyg.cli.fit_model import DEFAULTS, FIT, add_fit_flags, fit_model, say_epoch
from ltgnn_pyg.cli.models import MODELS, settings_of_model
from ltgnn_pyg.cli.output import add_json_flag, progress, show
from ltgnn_pyg.cli.settings import given
from ltgnn_pyg.datasets import Split
from ltgnn_pyg.datasets.replace_file import replace_text

START, STUDY = "tune.json", "study.db"
#: What is drawn, if a model has it; all that has to do with the rest stays at defaults.
SPACE: dict[str, Callable[[Any, str], Any]] = {
    "lr": lambda trial, name: trial.suggest_float(name, 0.001, 0.01, log=True),
    "temperature": lambda trial, name: trial.suggest_float(name, 0.05, 0.5, log=True),
    "alpha": lambda trial, name: trial.suggest_float(name, 0.02, 0.9, log=True),
    "K": lambda trial, name: trial.suggest_int(name, 1, 4),
    "num_layers": lambda trial, name: trial.suggest_int(name, 1, 4),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.usage = "ltgnn tune DATA --out STUDY [flags]"
    add_data_flags(parser)
    add_fit_flags(parser, refit=False)
    settings_of_model("ltgnn")["embedding_dim"].add_to(parser)
    parser.add_argument(
        "--out", required=True, metavar="STUDY", help="the folder of the study"
    )
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="of each model, those "
        "already done included (default: 20)",
    )  # fmt: skip
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=["ltgnn", "lightgcn", "mf"],
        metavar="NAME", help=f"of {', '.join(MODELS)} (default: ltgnn lightgcn mf)",
    )  # fmt: skip
    add_json_flag(parser)
    machine.add_machine_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Searches, and writes the best settings of each model."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            'Expected optuna (got none); pip install "ltgnn_pyg[tune]"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if args.trials < 1:
        raise ValueError(f"Expected positive --trials (got {args.trials})")
    flags: dict[str, Any] = {**DEFAULTS, **vars(args)}
    device, source = machine.set_machine(flags), open_data(flags)
    split = source.split()
    if len(split.val) == 0:
        raise ValueError(
            f"Expected a validation part of '{source.name}' (got none); raise "
            "--val-ratio"
        )
    out = Path(args.out)
    names = *READER, *SPLIT, *FIT, "embedding_dim", "seed", "dislike_below"
    own = given(flags, names)
    _start(out, {"data": source.name, "sha256": source.sha256, **own})
    storage = optuna.storages.RDBStorage(f"sqlite:///{out / STUDY}")
    rows = []
    for model in args.models:
        study = optuna.create_study(
            study_name=model,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=2),
        )
        _search(study, {**flags, "model": model}, split, device)
        trials = _counted(study)[: args.trials]  # As many as of the others.
        best = max((t for t in trials if t.state.name == "COMPLETE"), key=_value)
        settings = {**given(flags, ["embedding_dim"]), **best.user_attrs["settings"]}
        text = json.dumps({"model": model, **settings}, indent=1)
        replace_text(out / f"{model}.json", text + "\n")
        rows.append(
            {
                "model": model,
                "validation": best.value,
                "trials": len(trials),
                "seconds": round(sum(map(_seconds, trials)), 1),
                "settings": settings,
            }
        )
    metric = flags.get("metric", FIT["metric"].default)
    lines = [f"{'model':12s} {metric:>10s} {'trials':>7s} {'seconds':>8s}  settings"]
    lines += [
        f"{row['model']:12s} {row['validation']:10.4f} {row['trials']:7d} "
        f"{row['seconds']:8.1f}  "
        + (" ".join(f"{k}={v:.3g}" for k, v in row["settings"].items()) or "defaults")
        for row in rows
    ]
    show({"metric": metric, "models": rows}, "\n".join(lines), args.json)


def _search(
    study: Any, flags: dict[str, Any], split: Split, device: torch.device
) -> None:
    """Runs the trials that a model has left."""
    import optuna

    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:  # It was killed.
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    metric = flags.get("metric", FIT["metric"].default)
    for number in range(len(_counted(study)), flags["trials"]):
        # A seed a trial, so that a study that was killed goes on as it would have.
        study.sampler = optuna.samplers.TPESampler(seed=flags["seed"] + number)
        trial = study.ask()
        known = {"lr", *settings_of_model(flags["model"])} if number > 0 else set()
        settings = {name: SPACE[name](trial, name) for name in SPACE if name in known}
        trial.set_user_attr("settings", settings)
        text = f"trial {number + 1} of {flags['trials']}"
        progress(f"{flags['model']}, {text}: {settings or 'defaults'}")

        def log(row: dict[str, Any], step: int, trial: Any = trial) -> None:
            say_epoch(row, step)
            trial.report(row[metric], row["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        tried = {**flags, **settings}
        try:
            _, report = fit_model(tried, split, device, log, refit=False)
            study.tell(trial, report.validation[metric])
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def _counted(study: Any) -> list[Any]:
    """The trials of a study that were not killed."""
    return [t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")]


def _value(trial: Any) -> float:
    return float(trial.value)


def _seconds(trial: Any) -> float:
    return float(trial.duration.total_seconds())


def _start(out: Path, settings: dict[str, Any]) -> None:
    """Makes the folder of a study, or checks that it is one of the same settings."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / START
    if not path.exists():
        replace_text(path, json.dumps(settings, indent=1) + "\n")
        return
    before = json.loads(path.read_text())
    if before != settings:
        raise ValueError(
            f"Expected the settings of the study in '{out}', {before} (got "
            f"{settings}); pass the same, or another --out"
        )
