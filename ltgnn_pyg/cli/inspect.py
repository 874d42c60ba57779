"""Say what a run, or a set of interactions, holds.

    ltgnn inspect run
    ltgnn inspect ratings.csv

A degree is the number of interactions of a user or an item.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltgnn_pyg.cli.data import READER, add_data_flags, open_data
from ltgnn_pyg.cli.fit_model import DEFAULTS
from ltgnn_pyg.cli.output import add_json_flag, show
from ltgnn_pyg.cli.settings import given
from ltgnn_pyg.cli.train import START
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn.models.pretrained import CONFIG
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.runs.run_folder import PARTS

QUANTILES = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "99%": 0.99,
             "max": 1.0}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    add_data_flags(parser, parts=False)
    add_json_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Inspects."""
    path = Path(args.data)
    if any((path / name).is_file() for name in (CONFIG, START)):
        if given(vars(args), READER):
            raise argparse.ArgumentError(
                None, "Expected no flags that say how DATA is read with a run (got one)"
            )
        folder = RunFolder.open(path)
        split = folder.split
        parts = [getattr(split, part) for part in PARTS]
        parts = [split.train[:0] if part is None else part for part in parts]
        sizes = {part: len(p) for part, p in zip(PARTS, parts, strict=True)}
        result = describe(Interactions.cat(*parts)) | {"parts": sizes} | folder.config
        result["scorer"] = type(folder.scorer).__name__
    else:
        source = open_data({**DEFAULTS, **vars(args)})
        result = {"name": source.name, "sha256": source.sha256}
        result |= describe(source.interactions)
    show(result, "\n".join(_lines(result)), args.json)


def describe(interactions: Interactions) -> dict[str, Any]:
    """The sizes of interactions, their density and the quantiles of degrees.

    *Cost:* O(E).
    """
    num_users, num_items = interactions.num_users, interactions.num_items
    out: dict[str, Any] = {
        "num_users": num_users,
        "num_items": num_items,
        "num_interactions": len(interactions),
        "density": len(interactions) / (num_users * num_items),
    }
    for name, num in (("user", num_users), ("item", num_items)):
        degree = torch.bincount(getattr(interactions, name), minlength=num).numpy()
        values = np.quantile(degree, list(QUANTILES.values()), method="lower")
        out[f"{name}_degree"] = dict(zip(QUANTILES, values.tolist(), strict=True))
        out[f"{name}_degree"]["mean"] = round(float(degree.mean()), 2)
    for name in ("time", "rating"):
        value = getattr(interactions, name)
        if value is not None:
            out[name] = {"min": value.min().item(), "max": value.max().item()}
    return out


def _lines(result: dict[str, Any], indent: str = "") -> list[str]:
    """A line for each figure, nested ones further in."""
    lines = []
    for name, value in result.items():
        if isinstance(value, dict) and indent == "":
            flat = all(isinstance(each, int | float) for each in value.values())
            if flat:
                row = "  ".join(f"{k} {round(v, 6):.12g}" for k, v in value.items())
                lines.append(f"{name:17s} {row}")
            else:
                lines += [name, *_lines(value, "  ")]
        else:
            lines.append(f"{indent}{name:{17 - len(indent)}s} {value}")
    return lines
