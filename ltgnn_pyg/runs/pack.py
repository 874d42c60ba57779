"""Scorers as plain values and tensors, and back; no code is read from a file."""

from dataclasses import is_dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.gram import Gram
from ltgnn_pyg.graph.pattern import Pattern
from ltgnn_pyg.scorers import Blend, FoldIn, Vectors
from ltgnn_pyg.scorers.filters import (
    BSPM,
    EASE,
    GFCF,
    ChebyCF,
    ItemKNN,
    Popularity,
    SparseEASE,
)
from ltgnn_pyg.scorers.filters.low_pass import LowPass

#: The classes that a file may name.
CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        BSPM,
        EASE,
        GFCF,
        Blend,
        CSROperator,
        ChebyCF,
        FoldIn,
        Gram,
        ItemKNN,
        LowPass,
        Pattern,
        Popularity,
        SparseEASE,
        Vectors,
    )
}


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The plain form of a scorer, as JSON has it, whose tensors are put aside.

    Args:
        value (Any): The scorer, or a part of it.
        name (str): The name that its tensors begin with.
        tensors (dict): Takes up the tensors by their names; one that is there is not
            taken twice.

    Raises:
        ValueError: If a part is of no class of :obj:`CLASSES`.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        for known, tensor in tensors.items():
            if tensor is value:
                return {"tensor": known}
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, list | tuple):
        return [pack(part, f"{name}.{i}", tensors) for i, part in enumerate(value)]
    cls = type(value)
    if CLASSES.get(cls.__name__) is not cls:
        raise ValueError(
            f"Expected a scorer of 'ltgnn_pyg', which a run folder can hold (got a "
            f"'{cls.__name__}'); write what it is made of"
        )
    fields = {
        key: pack(part, f"{name}.{key}", tensors)
        for key, part in vars(value).items()
        if not isinstance(getattr(cls, key, None), cached_property)
    }
    return {"class": cls.__name__, "fields": fields}


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The scorer of a plain form.

    Args:
        value (Any): What :func:`pack` returned.
        tensors (dict): The tensors by their names.

    Raises:
        ValueError: If it names a class or a tensor that is not there.
    """
    if isinstance(value, list):
        return [unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        name = value["tensor"]
        if name not in list(tensors):
            raise ValueError(
                f"Expected the tensor {name!r} (got none of that name); train anew, or "
                "take a copy"
            )
        return tensors[name]
    name, parts = value.get("class"), value.get("fields")
    if name not in list(CLASSES) or not isinstance(parts, dict):
        raise ValueError(
            f"Expected a class among {sorted(CLASSES)} and its fields (got {name!r}); "
            "install the version of 'ltgnn_pyg' that wrote it, or newer"
        )
    cls: Any = CLASSES[name]
    fields = {key: unpack(part, tensors) for key, part in parts.items()}
    if is_dataclass(cls):  # Which checks its fields.
        try:
            return CLASSES[name](**fields)
        except (TypeError, AttributeError) as error:
            raise ValueError(
                f"Expected the fields of a '{name}' as they were written (got: "
                f"{error}); train anew, or take a copy"
            ) from error
    out = cls.__new__(cls)
    vars(out).update(fields)
    return out


def moved(value: Any, device: torch.device) -> Any:
    """A scorer on another device, with all of its parts."""
    tensors: dict[str, Tensor] = {}
    plain = pack(value, "", tensors)
    return unpack(plain, {name: each.to(device) for name, each in tensors.items()})
