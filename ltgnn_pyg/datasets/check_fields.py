r"""The checks of interactions at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from ltgnn_pyg.datasets.interactions import Interactions

UNITS = ("s", "ms", "us", "ns")  # Of time, from coarse to fine.


def check_fields(x: Interactions) -> None:
    r"""Refuses fields of :class:`Interactions` that do not fit together."""
    num_users, num_items, num_behaviors = x.num_users, x.num_items, len(x.behaviors)
    if num_users * num_items * max(num_behaviors, 1) >= 2**63:
        raise ValueError(
            f"Expected num_users * num_items < 2**63 (got {num_users} * {num_items}, "
            f"times {num_behaviors} behaviours); map the raw ids to 0, 1, 2, ... first"
        )
    _check_index("user", x.user, len(x), num_users, x.user_ids)
    _check_index("item", x.item, len(x), num_items, x.item_ids)
    for name in ("rating", "time", "weight"):
        _check_value(name, getattr(x, name), len(x))
    if x.weight is not None and not (
        x.weight.is_floating_point() and bool((x.weight > 0).all())
    ):
        raise ValueError(
            f"Expected 'weight' as floats > 0 (got {x.weight.dtype}, the least "
            f"{float(x.weight.min())}); drop those interactions, or split_by_rating"
        )
    if x.time_unit not in (None, *UNITS):
        raise ValueError(
            f"Expected time_unit to be one of {UNITS} or None (got {x.time_unit!r}); "
            f"choose one"
        )
    if (x.behavior is None) != (num_behaviors == 0):
        raise ValueError(
            f"Expected 'behavior' together with the names 'behaviors' (got "
            f"{'none' if x.behavior is None else 'it'} and {num_behaviors} names); "
            f"give both"
        )
    if x.behavior is not None:
        _check_index("behavior", x.behavior, len(x), num_behaviors, None)


def _check_index(
    name: str, index: Tensor, num: int, size: int, ids: np.ndarray | None
) -> None:
    if index.dtype != torch.long or index.size() != (num,):
        raise ValueError(
            f"Expected '{name}' as int64 [{num}] (got {index.dtype} "
            f"{list(index.size())}); convert it with .long().flatten()"
        )
    if num and not (0 <= int(index.min()) <= int(index.max()) < size):
        raise ValueError(
            f"Expected '{name}' in 0..{size - 1} (got {int(index.min())}.."
            f"{int(index.max())}); raise 'num_{name}s' or map the ids"
        )
    if ids is not None and len(ids) != size:
        raise ValueError(
            f"Expected '{name}_ids' of length {size} (got {len(ids)}); "
            f"give one raw id per {name}"
        )


def _check_value(name: str, value: Tensor | None, num: int) -> None:
    if value is None:
        return
    if value.size() != (num,):
        raise ValueError(
            f"Expected '{name}' of size [{num}] (got {list(value.size())}); give one "
            f"value per interaction"
        )
    if not bool(value.isfinite().all()):
        raise ValueError(
            f"Expected finite values in '{name}' (got "
            f"{int((~value.isfinite()).sum())} others); drop those interactions"
        )
