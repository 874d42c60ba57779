from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ltgnn_pyg.datasets.check_fields import UNITS
from ltgnn_pyg.datasets.interactions import Interactions


def align_ids(*parts: Interactions) -> tuple[Interactions, ...]:
    r"""Gives interactions that were read from several files the same ids.

    The new mapping holds the raw ids of all parts in sorted order. Parts that
    carry no raw ids share them already, and only the sizes are united.

    Behaviours are united by name likewise, and times of known units come to the
    finest of them.

    Args:
        *parts (Interactions): The interactions of each file.

    Raises:
        ValueError: If only some of the parts carry raw ids, or know their unit of
            time.

    *Cost:* :math:`O(E)` and a sort of the raw ids.
    """
    for name in ("user", "item"):
        ids = [getattr(part, f"{name}_ids") for part in parts]
        num = max(getattr(part, f"num_{name}s") for part in parts)
        index = [getattr(part, name) for part in parts]
        union = None
        if any(i is not None for i in ids):
            if any(i is None for i in ids):
                raise ValueError(
                    f"Expected '{name}_ids' on all interactions or on none (got "
                    f"both); read all files in one format"
                )
            if len({i.dtype for i in ids}) > 1:  # some numbers, some strings
                ids = [i.astype(str).astype(object) for i in ids]
            union = np.unique(np.concatenate(ids))
            num = len(union)
            index = [
                torch.from_numpy(np.searchsorted(union, i)).to(x.device)[x]
                for i, x in zip(ids, index, strict=True)
            ]
        parts = tuple(
            replace(part, **{name: x, f"num_{name}s": num, f"{name}_ids": union})
            for part, x in zip(parts, index, strict=True)
        )
    return _align_times(_align_behaviors(parts))


def _align_behaviors(parts: tuple[Interactions, ...]) -> tuple[Interactions, ...]:
    union = tuple(sorted({name for part in parts for name in part.behaviors}))
    aligned = []
    for part in parts:
        if part.behavior is not None and part.behaviors != union:
            place = torch.tensor([union.index(name) for name in part.behaviors])
            index = place.to(part.behavior.device)[part.behavior]
            part = replace(part, behavior=index, behaviors=union)
        aligned.append(part)
    return tuple(aligned)


def _align_times(parts: tuple[Interactions, ...]) -> tuple[Interactions, ...]:
    units = {part.time_unit for part in parts if part.time is not None}
    if len(units) < 2:
        return parts
    if None in units:
        raise ValueError(
            f"Expected times of known units on all interactions or on none (got "
            f"{sorted(map(str, units))}); set time_unit, or read all files alike"
        )
    finest = max((unit for unit in units if unit is not None), key=UNITS.index)
    aligned = []
    for part in parts:
        if part.time is not None and part.time_unit is not None:
            scale = 1000 ** (UNITS.index(finest) - UNITS.index(part.time_unit))
            if len(part) and float(part.time.abs().max()) * scale >= 2**63:
                raise ValueError(
                    f"Expected times that fit into int64 as {finest!r} (got "
                    f"{int(part.time.abs().max())} {part.time_unit}); drop those "
                    f"interactions"
                )
            part = replace(part, time=part.time * scale, time_unit=finest)
        aligned.append(part)
    return tuple(aligned)
