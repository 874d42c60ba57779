"""The models by the names that users type, and their settings as flags."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ltgnn_pyg.cli.settings import Setting, given, settings_of
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn import (
    DGCF,
    EGCF,
    LTGNN,
    NGCF,
    SGL,
    GuidedSoftmaxLoss,
    LightGCN,
    LightGCNPlusPlus,
    LightGODE,
    MatrixFactorization,
    PinSage,
    Recommender,
    SimGCL,
    SoftmaxLoss,
    UltraGCN,
    XSimGCL,
)
from ltgnn_pyg.scorers.filters import (
    BSPM,
    EASE,
    GFCF,
    ChebyCF,
    Filter,
    ItemKNN,
    Popularity,
    SparseEASE,
)

MODELS: dict[str, type[Recommender]] = {
    "ltgnn": LTGNN,
    "lightgcn": LightGCN,
    "mf": MatrixFactorization,
    "lightgcn++": LightGCNPlusPlus,
    "lightgode": LightGODE,
    "ngcf": NGCF,
    "dgcf": DGCF,
    "egcf": EGCF,
    "sgl": SGL,
    "simgcl": SimGCL,
    "xsimgcl": XSimGCL,
    "ultragcn": UltraGCN,
    "pinsage": PinSage,
}
#: The scorers that need no training.
FILTERS: dict[str, type[Filter]] = {
    "ease": EASE,
    "sparse-ease": SparseEASE,
    "itemknn": ItemKNN,
    "gfcf": GFCF,
    "bspm": BSPM,
    "chebycf": ChebyCF,
    "popularity": Popularity,
}
NAMES = (*MODELS, *FILTERS)
OWN_OBJECTIVE = ("lightgode", "egcf", "ultragcn")  #: Others have the softmax.


def settings_of_model(name: str) -> dict[str, Setting]:
    """The settings of a model: its own arguments, and those of its objective."""
    if name in FILTERS:
        return settings_of(FILTERS[name])
    found = settings_of(MODELS[name])
    if name not in OWN_OBJECTIVE:
        found["temperature"] = settings_of(SoftmaxLoss)["temperature"]
        weight = settings_of(GuidedSoftmaxLoss)["guide_weight"]
        text = "The share of the target that a filter of the whole graph has, 0.5 half"
        found["guide_weight"] = replace(weight, default=0.0, text=text)
    return found


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Adds :obj:`--model`, :obj:`--beside` and the settings of all models."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", choices=NAMES, default=argparse.SUPPRESS,
        help=f"one of {', '.join(NAMES)} (default: ltgnn)", metavar="NAME",
    )  # fmt: skip
    group.add_argument(
        "--beside", choices=FILTERS, default=argparse.SUPPRESS, metavar="NAME",
        help=f"blend the model with one of {', '.join(FILTERS)}; the weight is found "
        "on the validation part",
    )  # fmt: skip
    found: dict[str, dict[str, Setting]] = {}
    for model in NAMES:
        for name, setting in settings_of_model(model).items():
            found.setdefault(name, {})[model] = setting
    for of in found.values():
        by_text: dict[str, dict[Any, list[str]]] = {}
        for model, setting in of.items():
            models = by_text.setdefault(setting.text, {})
            models.setdefault(setting.default, []).append(model)
        text = "; ".join(
            f"{text} ({_say_defaults(models)})".strip()
            for text, models in by_text.items()
        )
        next(iter(of.values())).add_to(group, text=text)


def check_model(flags: Mapping[str, Any]) -> None:
    """Refuses settings of other models than the one that flags name.

    Raises:
        argparse.ArgumentError: If there is one.
    """
    model = flags["model"]
    own = settings_of_model(model)
    every = {n: s for name in NAMES for n, s in settings_of_model(name).items()}
    for name in given(flags, every):
        if name not in own:
            names = " ".join(setting.flag for setting in own.values())
            raise argparse.ArgumentError(
                None,
                f"Expected settings of '{model}', {names or 'none'} (got "
                f"{every[name].flag}); leave it out",
            )
    if "beside" in flags and model in FILTERS:
        raise argparse.ArgumentError(
            None,
            f"Expected a model that is trained with --beside (got '{model}', which is "
            "not); leave it out",
        )


def build_model(
    flags: Mapping[str, Any], num_users: int, num_items: int
) -> Recommender:
    """Makes the model that flags describe."""
    cls = MODELS[flags["model"]]
    own, of_loss = given(flags, settings_of(cls)), given(flags, ("temperature",))
    if flags.get("guide_weight", 0.0) != 0.0:
        of_loss["guide_weight"] = flags["guide_weight"]
        k = min(20, num_items)
        own["loss_fn"] = GuidedSoftmaxLoss(num_items, k, **of_loss)
    elif of_loss:
        own["loss_fn"] = SoftmaxLoss(**of_loss)
    return cls(num_users, num_items, **own)


def filter_of(
    name: str, flags: Mapping[str, Any] | None = None
) -> Callable[[Interactions], Filter]:
    """The maker of a scorer that needs no training, with the settings that flags
    give.
    """
    cls: Callable[..., Filter] = FILTERS[name]
    return partial(cls, **given(flags or {}, settings_of(FILTERS[name])))


def _say_defaults(models: dict[Any, list[str]]) -> str:
    """The models that have a setting, by its default."""
    if len(models) == 1 and len(next(iter(models.values()))) > 3:
        return f"default: {next(iter(models))}"
    return ", ".join(
        " ".join(names) + ("" if value is None else f": {value}")
        for value, names in models.items()
    )
