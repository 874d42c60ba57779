from functools import partial

import torch
from torch import Tensor

from ltgnn_pyg.graph import CSROperator, propagate
from ltgnn_pyg.scorers.filters.filter import WIDTH, by_columns
from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.scorer import Scorer
from ltgnn_pyg.scorers.top_k import top_k


class ItemCosine(Scorer):
    r"""The cosines of items by the users who have taken them, shrunk

    .. math::
        w_{ij} = \frac{c_{ij}}{\sqrt{d_i d_j} + h}

    where :math:`c_{ij}` users took both and :math:`d_i` took :math:`i`. Items stand
    in the place of users here; the table is never held.

    Args:
        rows (CSROperator): The items that users have taken, a matrix of ones.
        shrinkage (float): The number added to each norm :math:`h`.

    *Cost:* O(E) an item scored.
    """

    def __init__(self, rows: CSROperator, shrinkage: float) -> None:
        self.rows, self.shrinkage = rows, shrinkage
        self.columns = rows.adjoint
        self.norm = self.columns.rowptr.diff().to(rows.dtype).sqrt()

    @property
    def num_users(self) -> int:
        """The number of items."""
        return self.num_items

    @property
    def num_items(self) -> int:
        """The number of items."""
        return self.rows.num_cols

    @property
    def device(self) -> torch.device:
        """The device of the interactions."""
        return self.rows.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the scores."""
        return self.rows.dtype

    @torch.no_grad()
    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        """Scores all items by their cosines with some, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.
        """
        item = query.user
        assert item is not None
        if out is None:
            out = self.norm.new_empty(len(query), self.num_items)
        taken = self.columns.take(item)
        by_columns(partial(propagate, self.columns), taken, out)
        norms = self.norm[item].split(WIDTH)
        for part, norm in zip(out.split(WIDTH), norms, strict=True):
            part /= (norm.view(-1, 1) * self.norm + self.shrinkage).clamp_(min=1e-6)
        return out

    def nearest(self, k: int, chunk_bytes: int = 2**28) -> tuple[Tensor, Tensor]:
        r"""The :math:`k` nearest items of each, without itself.

        Args:
            k (int): Their number.
            chunk_bytes (int, optional): The memory that the cosines of some items with
                all others may take. (default: :obj:`2**28`)

        Returns:
            Cosines and items :obj:`[num_items, k]`, the nearest first; -1 stands in
            the place of items that share no user.

        *Cost:* O(I E) time.
        """
        ptr = torch.arange(self.num_items + 1, device=self.device)
        itself = (ptr, ptr[:-1])  # Row i holds i.
        w, item = top_k(self, k, exclude=itself, chunk_bytes=chunk_bytes)
        return w, item.masked_fill_(w <= 0.0, -1)
