from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

_CHUNK = 1 << 23  # Interactions that are sorted at a time.


@dataclass(eq=False)
class Interactions:
    r"""User-item pairs with 0-based ids: those of a file, or a part of a split.

    Users and items count separately here; which nodes they are, a
    :class:`~ltgnn_pyg.graph.Graph` says. The order of the interactions is that of the
    lines they were read from.

    Args:
        user (torch.Tensor): The user of each interaction.
        item (torch.Tensor): The item of each interaction, without the offset
            :math:`U`.
        num_users (int): The number of users :math:`U`.
        num_items (int): The number of items :math:`I`.
        user_ids (numpy.ndarray, optional): The raw id of each user: position =
            index. :obj:`None` if the raw ids are the indices.
            (default: :obj:`None`)
        item_ids (numpy.ndarray, optional): The raw id of each item.
            (default: :obj:`None`)
        rating (torch.Tensor, optional): The rating of each interaction.
            (default: :obj:`None`)
        time (torch.Tensor, optional): The time of each interaction.
            (default: :obj:`None`)

    Shapes:
        - **user**, **item**, **rating**, **time**: :math:`(E)`
        - **user_ids**: :math:`(U)`, **item_ids**: :math:`(I)`

    Raises:
        ValueError: If shapes, types or ids do not fit together, or a rating or
            time is not finite.

    *Cost:* :math:`O(E)`.
    """

    user: Tensor
    item: Tensor
    num_users: int
    num_items: int
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    rating: Tensor | None = None
    time: Tensor | None = None
    weight: Tensor | None = None
    behavior: Tensor | None = None
    behaviors: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_users * self.num_items >= 2**63:
            raise ValueError(
                f"Expected num_users * num_items < 2**63 (got {self.num_users} * "
                f"{self.num_items}); map the raw ids to 0, 1, 2, ... first"
            )
        for name, num in (("user", self.num_users), ("item", self.num_items)):
            index, ids = getattr(self, name), getattr(self, f"{name}_ids")
            if index.dtype != torch.long or index.size() != (len(self),):
                raise ValueError(
                    f"Expected '{name}' as int64 [{len(self)}] (got {index.dtype} "
                    f"{list(index.size())}); convert it with .long().flatten()"
                )
            if len(self) and not (0 <= int(index.min()) <= int(index.max()) < num):
                raise ValueError(
                    f"Expected '{name}' in 0..{num - 1} (got {int(index.min())}.."
                    f"{int(index.max())}); raise 'num_{name}s' or map the ids"
                )
            if ids is not None and len(ids) != num:
                raise ValueError(
                    f"Expected '{name}_ids' of length {num} (got {len(ids)}); "
                    f"give one raw id per {name}"
                )
        for name in ("rating", "time"):
            value = getattr(self, name)
            if value is not None and value.size() != (len(self),):
                raise ValueError(
                    f"Expected '{name}' of size [{len(self)}] (got "
                    f"{list(value.size())}); give one value per interaction"
                )
            if value is not None and not bool(value.isfinite().all()):
                raise ValueError(
                    f"Expected finite values in '{name}' (got "
                    f"{int((~value.isfinite()).sum())} others); drop those interactions"
                )

    def __len__(self) -> int:
        return self.user.numel()

    def __getitem__(self, index: Tensor | slice) -> Interactions:
        r"""The interactions that a mask, an index tensor or a slice selects."""
        return replace(
            self,
            user=self.user[index],
            item=self.item[index],
            rating=None if self.rating is None else self.rating[index],
            time=None if self.time is None else self.time[index],
        )

    def to(self, device: torch.device | str) -> Interactions:
        r"""The same interactions on another device."""
        if self.user.device == torch.device(device):
            return self
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    @classmethod
    def cat(cls, *parts: Interactions) -> Interactions:
        r"""Joins parts with the same users and items, one after the other.

        Of parts in order of time, such as the training and the validation part of a
        split by time or by lines, each user's history stays in order.

        Args:
            *parts (Interactions): The parts. Those of one split have the same ids;
                for others see :func:`align_ids`.

        Raises:
            ValueError: If there is no part, the parts differ in their users or
                items, or only some have ratings or times.

        *Cost:* :math:`O(E + U + I)`.
        """
        if len(parts) == 0:
            raise ValueError("Expected parts to join (got none); pass one at least")
        fields: dict[str, Any] = {}
        for name in ("user", "item", "rating", "time"):
            values = [getattr(part, name) for part in parts]
            given = [value for value in values if value is not None]
            if len(given) not in (0, len(parts)):
                raise ValueError(
                    f"Expected '{name}' on all parts or on none (got it on "
                    f"{len(given)} of {len(parts)}); set it to None on all"
                )
            fields[name] = torch.cat(given) if given else None
        for name in ("user", "item"):
            nums = [getattr(part, f"num_{name}s") for part in parts]
            ids = [getattr(part, f"{name}_ids") for part in parts]
            if len(set(nums)) > 1 or not all(_same(ids[0], i) for i in ids):
                raise ValueError(
                    f"Expected parts with the same {name}s (got {nums}, or other raw "
                    f"ids); pass them through align_ids first"
                )
        return replace(parts[0], **fields)

    def repeated(self) -> Tensor:
        r"""The mask :math:`(E)` of the interactions whose pair occurs earlier.

        *Cost:* sorts of :math:`E` keys in all, each of the interactions of a range of
        users, some millions, so that what it takes in memory is a few bytes per
        interaction and no more.
        """
        mask = torch.zeros_like(self.user, dtype=torch.bool)
        if len(self) <= _CHUNK:
            _mark_repeated(mask, self.user * self.num_items + self.item, slice(None))
            return mask
        end = torch.bincount(self.user, minlength=self.num_users).cumsum(0)
        step = torch.arange(0, len(self), _CHUNK, device=end.device)
        bounds = [*torch.searchsorted(end, step).unique().tolist(), self.num_users]
        for start, stop in pairwise(bounds):
            inside = (self.user >= start).logical_and_(self.user < stop)
            row = inside.nonzero().flatten()
            _mark_repeated(mask, self.user[row] * self.num_items + self.item[row], row)
        return mask


def _mark_repeated(mask: Tensor, key: Tensor, row: Tensor | slice) -> None:
    key, perm = key.sort(stable=True)
    repeated = torch.zeros_like(key, dtype=torch.bool)
    repeated[perm[1:]] = key[1:] == key[:-1]
    mask[row] = repeated


def _same(ids: np.ndarray | None, other: np.ndarray | None) -> bool:
    if ids is None or other is None:
        return ids is other
    return ids is other or np.array_equal(ids, other)


def align_ids(*parts: Interactions) -> tuple[Interactions, ...]:
    r"""Gives interactions that were read from several files the same ids.

    The new mapping holds the raw ids of all parts in sorted order. Parts that
    carry no raw ids share them already, and only the sizes are united.

    Args:
        *parts (Interactions): The interactions of each file.

    Raises:
        ValueError: If only some of the parts carry raw ids.

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
    return parts
