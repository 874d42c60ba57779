from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Edges:
    r"""Edges between numbered nodes, each once, with a type, a weight and a time each.

    Args:
        index (torch.Tensor): The numbers of their nodes.
        type (torch.Tensor, optional): The type of each, a place in
            :attr:`Graph.edge_types`. If :obj:`None`, all are of the first one.
            (default: :obj:`None`)
        weight (torch.Tensor, optional): Positive weights. If :obj:`None`, ones.
            (default: :obj:`None`)
        time (torch.Tensor, optional): The time of each, the smallest number there is
            for those that are always known. If :obj:`None`, nothing is known of times.
            (default: :obj:`None`)

    Shapes:
        :obj:`index` :math:`(2, E)`, the others :math:`(E)`

    Raises:
        ValueError: If shapes do not fit, or a weight is not positive and finite.

    *Cost:* O(E) to check them.
    """

    index: Tensor
    type: Tensor | None = None
    weight: Tensor | None = None
    time: Tensor | None = None

    def __post_init__(self) -> None:
        if self.index.dim() != 2 or self.index.size(0) != 2:
            raise ValueError(
                f"Expected 'edge_index' of shape [2, num_edges] (got "
                f"{list(self.index.size())})"
            )
        for name in ("type", "weight", "time"):
            value = getattr(self, name)
            if value is not None and list(value.size()) != [len(self)]:
                raise ValueError(
                    f"Expected 'edge_{name}' of shape [{len(self)}] (got "
                    f"{list(value.size())}); give a number an edge"
                )
        if self.weight is not None:
            if not bool(((self.weight > 0) & self.weight.isfinite()).all()):
                raise ValueError(
                    "Expected positive, finite edge weights (got others): a square "
                    "root of the degree is taken; leave such edges out"
                )

    def __len__(self) -> int:
        return self.index.size(1)

    def __getitem__(self, mask: Tensor) -> Edges:
        """The edges that a mask or an index selects."""
        rest = {
            name: value[mask]
            for name, value in self._fields().items()
            if name != "index"
        }
        return Edges(self.index[:, mask], **rest)

    @property
    def codes(self) -> Tensor:
        """The type of each edge, also where :obj:`type` is :obj:`None`."""
        return torch.zeros_like(self.index[0]) if self.type is None else self.type

    def cat(self, other: Edges) -> Edges:
        """These edges, then others; where only some have types, weights or times, the
        rest are of the first type, of weight 1 and always known.
        """
        own, more = self._fields(), other._fields()
        joined = {"index": torch.cat([own.pop("index"), more.pop("index")], dim=1)}
        for name in own.keys() | more.keys():
            like = own.get(name, more.get(name))
            assert like is not None
            parts = [
                of.get(name, like.new_full((num,), _default(name, like)))
                for of, num in ((own, len(self)), (more, len(other)))
            ]
            joined[name] = torch.cat(parts)
        return Edges(**joined)

    def of_type(self, code: int) -> Edges:
        """The edges of one type."""
        if self.type is None:
            return self if code == 0 else self[self.index.new_empty(0)]
        return self[self.type == code]

    def with_type(self, code: int) -> Edges:
        """The same edges, all of one type."""
        kind = torch.full_like(self.index[0], code) if code > 0 else None
        return replace(self, type=kind)

    def to(self, device: torch.device | str) -> Edges:
        """The same edges on another device."""
        return Edges(**{name: v.to(device) for name, v in self._fields().items()})

    def _fields(self) -> dict[str, Tensor]:
        """The tensors there are."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


def _default(name: str, like: Tensor) -> Any:
    """The value of an edge that has none of its own."""
    if name == "time":
        info: Any = torch.finfo if like.is_floating_point() else torch.iinfo
        return info(like.dtype).min
    return {"type": 0, "weight": 1.0}[name]
