"""A model trained as flags say; what :obj:`train` and :obj:`tune` share."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from ltgnn_pyg.cli.models import FILTERS, build_model, filter_of, settings_of_model
from ltgnn_pyg.cli.output import figures, progress
from ltgnn_pyg.cli.settings import given, settings_of
from ltgnn_pyg.datasets import Split
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import Recommender
from ltgnn_pyg.train import Report, fit, fit_beside, fit_filter

FIT = {n: s for n, s in settings_of(fit).items() if n not in ("folder", "resume")}
LR = settings_of(RowAdam)["lr"]
DEFAULTS = {"model": "ltgnn", "seed": 0, "root": "data"}


def add_fit_flags(parser: argparse.ArgumentParser, *, refit: bool = True) -> None:
    """Adds the settings of :func:`~ltgnn_pyg.fit`, with :obj:`--epochs` for
    :obj:`max_epochs`, and :obj:`--lr` and :obj:`--seed`.

    Args:
        parser (argparse.ArgumentParser): The parser.
        refit (bool, optional): Whether there is a choice to. (default: :obj:`True`)
    """
    group = parser.add_argument_group("training")
    for name, setting in FIT.items():
        if name == "max_epochs":
            text = f"The most epochs, fit's max_epochs (default: {setting.default})"
            setting.add_to(group, "--epochs", text)
        elif refit or name != "refit":
            setting.add_to(group)
    LR.add_to(group, text="The learning rate (default: what fit takes for the model)")
    group.add_argument(
        "--seed", type=int, metavar="N", default=argparse.SUPPRESS,
        help="of all that is drawn (default: 0)",
    )  # fmt: skip


def fit_model(
    flags: Mapping[str, Any],
    split: Split,
    device: torch.device,
    log: Callable[[dict[str, Any], int], Any],
    **more: Any,
) -> tuple[Recommender | None, Report]:
    """Draws a model and trains it; returns also how it went. A scorer that needs no
    training has no model.

    Args:
        flags (dict): Those that are given, and :obj:`DEFAULTS`.
        split (Split): The parts.
        device (torch.device): Where to.
        log (callable): See :func:`~ltgnn_pyg.fit`.
        **more (optional): Further arguments of it.
    """
    if "lr" in flags:
        more["optimizer"] = partial(RowAdam, lr=flags["lr"])
    size = split.train.num_users, split.train.num_items
    own = given(flags, FIT) | more
    if flags["model"] in FILTERS:
        make = filter_of(flags["model"], flags)
        return None, fit_filter(make, split, **given(own, ("metric",)))

    def make_model() -> Recommender:
        torch.manual_seed(flags["seed"])
        return build_model(flags, *size).to(device)

    if "beside" in flags:
        other = filter_of(flags["beside"])
        return fit_beside(make_model, other, split, log=log, **own)
    model = make_model()
    return model, fit(model, split, log=log, **own)


def resolved(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of model and training that flags say, in full."""
    known = {**FIT, **settings_of_model(flags["model"])}
    full = {name: flags.get(name, s.default) for name, s in known.items()}
    return {"model": flags["model"], **full, **given(flags, ("lr", "seed", "beside"))}


def say_epoch(row: dict[str, Any], step: int) -> None:
    """Says how an epoch went, where there is a terminal."""
    title = "Refit, epoch" if row["phase"] else "Epoch"
    metrics = figures({name: value for name, value in row.items() if "@" in name})
    progress(f"{title} {row['epoch']:2d}  loss {row['loss']:.4f}  {metrics}".rstrip())
