from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets.check_fields import check_fields
from ltgnn_pyg.datasets.repeats import mark_repeated, sum_repeated
from ltgnn_pyg.graph.graph import Graph

_VALUES = ("rating", "time", "weight", "behavior")  # One a pair, if any.


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
        weight (torch.Tensor, optional): The confidence in each pair, above 0.
            :obj:`None` if all are 1. (default: :obj:`None`)
        behavior (torch.Tensor, optional): The behaviour of each interaction, such as
            a view or a purchase: the place of its name in :obj:`behaviors`.
            (default: :obj:`None`)
        behaviors (tuple[str, ...]): The names of the behaviours :math:`B`.
            (default: :obj:`()`)
        time_unit (str, optional): The unit of times since 1970: :obj:`"s"`,
            :obj:`"ms"`, :obj:`"us"` or :obj:`"ns"`. :obj:`None` if it is not known,
            as where a file has numbers. (default: :obj:`None`)

    Shapes:
        - **user**, **item**, **rating**, **time**, **weight**, **behavior**:
          :math:`(E)`
        - **user_ids**: :math:`(U)`, **item_ids**: :math:`(I)`

    Raises:
        ValueError: If shapes, types or ids do not fit together, a rating or time is
            not finite, or a weight is not above 0.

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
    behaviors: tuple[str, ...] = ()
    time_unit: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    def __len__(self) -> int:
        return self.user.numel()

    def __getitem__(self, index: Tensor | slice) -> Interactions:
        r"""The interactions that a mask, an index tensor or a slice selects."""
        given = {name: getattr(self, name) for name in ("user", "item", *_VALUES)}
        return replace(self, **{n: x[index] for n, x in given.items() if x is not None})

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str | None = None,
        item: str | None = None,
        rating: str | None = None,
        time: str | None = None,
        weight: str | None = None,
        behavior: str | None = None,
        min_rating: float | None = None,
        duplicates: str = "error",
    ) -> Interactions:
        r"""The interactions of a frame in memory, read as files are.

        Args:
            frame (Any): A :class:`pandas.DataFrame`, a :class:`polars.DataFrame`, a
                table of Arrow, a dictionary of arrays, or anything with
                :obj:`__arrow_c_stream__` or :obj:`__dataframe__`.
            user (str, optional): The column of users; for this and the other
                arguments see :func:`read_interactions`. (default: :obj:`None`)
            item (str, optional): The column of items. (default: :obj:`None`)
            rating (str, optional): The column of ratings. (default: :obj:`None`)
            time (str, optional): The column of times. (default: :obj:`None`)
            weight (str, optional): The column of weights. (default: :obj:`None`)
            behavior (str, optional): The column of behaviours.
                (default: :obj:`None`)
            min_rating (float, optional): Drops interactions rated lower.
                (default: :obj:`None`)
            duplicates (str, optional): The way to treat a repeated pair.
                (default: :obj:`"error"`)

        Raises:
            ValueError: If a column is missing, of mixed types, or holds what cannot
                stand; the message names column and row, counted from 1.

        *Cost:* linear in the frame but for sorts of the distinct ids and of the pairs.
        """
        from ltgnn_pyg.datasets.readers.frame import Frame
        from ltgnn_pyg.datasets.readers.memory_sink import MemorySink
        from ltgnn_pyg.datasets.readers.read_source import (
            check_options,
            needed_keys,
            read_source,
        )

        check_options(duplicates)
        asked = {"user": user, "item": item, "rating": rating, "time": time}
        asked |= {"weight": weight, "behavior": behavior}
        source, needed = Frame(frame, asked), needed_keys(asked, False, min_rating)
        out, _ = read_source(source, MemorySink, needed, min_rating, duplicates)
        return out

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
    def from_graph(cls, graph: Graph) -> Interactions:
        r"""The edges of a graph that are recommended, with their weights and times.

        .. code-block:: python

            graph = Graph.from_hetero(data, item="movie")
            split = split_ratio(Interactions.from_graph(graph))
            report = fit(LTGNN.of(graph), split, graph=graph)

        Args:
            graph (Graph): The graph.

        *Cost:* :math:`O(E)`.
        """
        edges = graph.edges.of_type(0)
        return cls(
            graph.index("user", edges.index[0]),
            graph.index("item", edges.index[1]),
            graph.num_users,
            graph.num_items,
            time=edges.time,
            weight=edges.weight,
        )

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
                items, behaviours or unit of time, or only some have ratings, times,
                weights or behaviours.

        *Cost:* :math:`O(E + U + I)`.
        """
        if len(parts) == 0:
            raise ValueError("Expected parts to join (got none); pass one at least")
        fields: dict[str, Any] = {}
        for name in ("user", "item", *_VALUES):
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
        for name in ("behaviors", "time_unit"):
            kinds = list(dict.fromkeys(getattr(part, name) for part in parts))
            if len(kinds) > 1:
                raise ValueError(
                    f"Expected parts with one '{name}' (got {kinds}); pass them "
                    f"through align_ids first"
                )
        return replace(parts[0], **fields)

    def repeated(self) -> Tensor:
        r"""The mask :math:`(E)` of the interactions whose pair occurs earlier, with the
        same behaviour if there are several.

        *Cost:* sorts of :math:`E` keys in all, each of the interactions of a range of
        users, some millions, so that what it takes in memory is a few bytes per
        interaction and no more.
        """
        return mark_repeated(self._key, self.user, self.num_users)

    def repeat_weight(self) -> Tensor:
        r"""The weights :math:`(E)` of a pair and all its repeats in sum, where it
        occurs first: with no weights, how often it occurs.

        *Cost:* that of :meth:`repeated`.
        """
        weight = torch.ones(len(self)) if self.weight is None else self.weight
        weight = weight.to(self.user.device)
        return sum_repeated(self._key, self.user, self.num_users, weight)

    def _key(self, row: Tensor | slice) -> Tensor:
        key = self.user[row] * self.num_items + self.item[row]
        if self.behavior is None:
            return key
        return key * len(self.behaviors) + self.behavior[row]

    def rows(self) -> tuple[Tensor, Tensor]:
        r"""The items of each user as CSR :obj:`(rowptr, col)`: those it has seen.

        Items are sorted and occur once, however often the pair does.

        Shapes:
            - **output:** :math:`(U + 1)` and :math:`(\text{distinct pairs})`,
              :obj:`int64`

        *Cost:* :math:`O(E \log E)`.
        """
        key = torch.unique(self.user * self.num_items + self.item)
        if self.num_items == 0:
            return self.user.new_zeros(self.num_users + 1), key
        rowptr = index2ptr(key // self.num_items, self.num_users)
        return rowptr, key % self.num_items

    def split_by_rating(self, threshold: float) -> tuple[Interactions, Interactions]:
        r"""The interactions that users liked, and those they disliked, the explicit
        negatives.

        Args:
            threshold (float): The lowest rating of an item that is liked.

        Returns:
            The interactions rated :obj:`threshold` or more, and those rated lower,
            with the same users and items.

        Raises:
            ValueError: If there are no ratings.

        *Cost:* :math:`O(E)`.
        """
        if self.rating is None:
            raise ValueError(
                "Expected interactions with 'rating' to split by (got none); name the "
                "column: read_interactions(..., rating='stars')"
            )
        liked = self.rating >= threshold
        return self[liked], self[~liked]


def _same(ids: np.ndarray | None, other: np.ndarray | None) -> bool:
    if ids is None or other is None:
        return ids is other
    return ids is other or np.array_equal(ids, other)
