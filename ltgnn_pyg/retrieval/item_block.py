from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.scorer import Scorer
from ltgnn_pyg.scorers.top_k import top_k

Pairs = tuple[Tensor, Tensor]  #: (rowptr, col) over queries and items.


@dataclass(frozen=True)
class ItemBlock:
    r"""Some items of an :class:`~ltgnn_pyg.retrieval.Index`, which never change: a
    change of the index makes another block.

    Args:
        ids (torch.Tensor): The ids of the items, ascending.
        item (torch.Tensor): Their vectors, of :obj:`float32`.
        bias (torch.Tensor): Their biases; :obj:`-inf` of items that do not count any
            longer.

    Shapes:
        :obj:`ids` :math:`(I)`, :obj:`item` :math:`(I, D)`, :obj:`bias` :math:`(I)`
    """

    ids: Tensor
    item: Tensor
    bias: Tensor

    def __len__(self) -> int:
        return self.ids.numel()

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return self.ids.nbytes + self.item.nbytes + self.bias.nbytes

    @cached_property
    def live(self) -> Tensor:
        """A mask of the rows that count."""
        return self.bias > -torch.inf

    @cached_property
    def live_bits(self) -> np.ndarray | None:
        """A bit a row, set if it counts; :obj:`None` if all do."""
        live = self.live.numpy()
        return None if live.all() else np.packbits(live, bitorder="little")

    def find(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of ids, and which of them are here.

        *Cost:* O(log I) an id.
        """
        row = torch.searchsorted(self.ids, ids).clamp_(max=max(len(self) - 1, 0))
        here = self.ids[row] == ids if len(self) else torch.zeros_like(ids).bool()
        return row, here

    def empty(self) -> "ItemBlock":
        """No rows, of the same form."""
        return ItemBlock(
            self.ids[:0].clone(), self.item[:0].clone(), self.bias[:0].clone()
        )

    def without(self, ids: Tensor) -> "ItemBlock":
        """The same rows, some of which do not count any longer."""
        row, here = self.find(ids)
        return replace(self, bias=self.bias.index_fill(0, row[here], -torch.inf))

    def merge(self, other: "ItemBlock") -> "ItemBlock":
        """The rows that count, of both.

        *Cost:* One copy.
        """
        ids = torch.cat([self.ids[self.live], other.ids[other.live]])
        item = torch.cat([self.item[self.live], other.item[other.live]])
        bias = torch.cat([self.bias[self.live], other.bias[other.live]])
        if len(ids) > 1 and not (ids.diff() > 0).all():
            ids, perm = ids.sort()
            item, bias = item[perm], bias[perm]
        return ItemBlock(ids, item, bias)

    def top_k(self, query: Tensor, k: int, exclude: Pairs | None) -> Pairs:
        r"""The best items by exact search, see :func:`~ltgnn_pyg.scorers.top_k`.

        Args:
            query (torch.Tensor): :obj:`[Q, D]`.
            k (int): The number of items.
            exclude (tuple, optional): :obj:`(rowptr, col)` over queries and ids.

        Returns:
            Scores and ids, :obj:`[Q, k]`, filled up with :obj:`-inf` and -1.

        *Cost:* O(Q I D).
        """
        if len(self) == 0:
            score = query.new_full((query.size(0), k), -torch.inf)
            return score, torch.full_like(score, -1, dtype=torch.long)
        if exclude is not None:
            rowptr, col = exclude
            row, here = self.find(col)
            before = torch.cat([here.new_zeros(1, dtype=torch.long), here.cumsum(0)])
            exclude = before[rowptr], row[here]
        score, row = top_k(_Queries(query, self), k, exclude=exclude)
        return score, torch.where(row < 0, row, self.ids[row])


@dataclass(frozen=True)
class _Queries(Scorer):
    """Queries in place of users."""

    query: Tensor
    block: ItemBlock

    num_users = property(lambda self: self.query.size(0))
    num_items = property(lambda self: len(self.block))
    device = property(lambda self: self.query.device)
    dtype = property(lambda self: self.query.dtype)

    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        item, bias = self.block.item, self.block.bias
        return torch.addmm(bias, self.query[query.user], item.t(), out=out)
