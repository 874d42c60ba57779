from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Rows = tuple[Tensor, Tensor]  #: Items of each query, as CSR.


@dataclass(frozen=True, eq=False)
class Query:
    r"""Queries for lists, one a row: a known user, anybody by the items that they have
    taken, or a known user and the items taken since.

    .. code-block:: python

        Query(user=torch.tensor([3, 8]))       # Two users.
        Query.of_items([[5, 8], [2]])          # Two that nobody knows.
        scorer.score(Query.of_items([[5, 8]]))  # [1, num_items].

    Users and items are counted from 0, each for themselves.

    Args:
        user (torch.Tensor, optional): The users. (default: :obj:`None`)
        items (tuple, optional): The items that each has taken, :obj:`(rowptr, col)`;
            beside :obj:`user`, those since the scorer was made.
            (default: :obj:`None`)
        time (torch.Tensor, optional): The time of each, for scorers that know of time.
            (default: :obj:`None`)
        context (dict, optional): The context of each request, a row a query, by name.
            (default: :obj:`{}`)

    Shapes:
        :obj:`user` and :obj:`time` :math:`(B)`; :obj:`items` :math:`(B + 1), (M)`;
        the values of :obj:`context` :math:`(B, *)`

    Raises:
        ValueError: If neither users nor items are given, or sizes differ.
    """

    user: Tensor | None = None
    items: Rows | None = None
    time: Tensor | None = None
    context: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.user is None and self.items is None:
            raise ValueError(
                "Expected 'user' or 'items' (got neither); name a user, or what "
                "somebody has taken"
            )
        given = {"user": self.user, "time": self.time, **self.context}
        sizes = {name: len(v) for name, v in given.items() if v is not None}
        if self.items is not None:
            sizes["items"] = self.items[0].numel() - 1
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f"Expected as many of all, one a query (got {sizes}); pass a row for "
                "each"
            )

    @classmethod
    def of_items(cls, items: Sequence[Sequence[int]]) -> Query:
        """Queries of anybody who has taken some items, a list of them a query."""
        sizes = torch.tensor([0, *map(len, items)])
        col = torch.tensor([item for each in items for item in each], dtype=torch.long)
        return cls(items=(sizes.cumsum(0), col))

    def __len__(self) -> int:
        if self.user is not None:
            return self.user.numel()
        assert self.items is not None
        return self.items[0].numel() - 1

    def __getitem__(self, part: slice) -> Query:
        """The queries of a slice."""
        items = self.items
        if items is not None:
            low, high, _ = part.indices(len(self))
            ptr = items[0][low : high + 1]
            items = ptr - ptr[0], items[1][int(ptr[0]) : int(ptr[-1])]
        return Query(
            None if self.user is None else self.user[part],
            items,
            None if self.time is None else self.time[part],
            {name: value[part] for name, value in self.context.items()},
        )

    def to(self, device: torch.device | str) -> Query:
        """The same queries on another device."""
        items = self.items
        return Query(
            None if self.user is None else self.user.to(device),
            None if items is None else (items[0].to(device), items[1].to(device)),
            None if self.time is None else self.time.to(device),
            {name: value.to(device) for name, value in self.context.items()},
        )
