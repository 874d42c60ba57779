from functools import partial

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator, aggregate, propagate
from ltgnn_pyg.scorers.filters.filter import WIDTH, Filter, by_columns
from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.rows import coordinates


class EASE(Filter):
    r"""EASE, from `"Embarrassingly Shallow Autoencoders for Sparse Data"
    <https://arxiv.org/abs/1905.03375>`_: the best linear map of rows onto themselves
    with a diagonal of zeros

    .. math::
        \mathbf{s} = \mathbf{r} B, \qquad
        B = I - P \, \mathrm{diag}(P)^{-1}, \quad
        P = (R^{\top} R + \lambda I)^{-1}

    The matrix that is inverted is that of the smaller side. With fewer users than
    items it is :math:`Q = (R R^{\top} + \lambda I)^{-1}`, for

    .. math::
        R P = Q R, \qquad P = \tfrac{1}{\lambda} (I - R^{\top} Q R)

    Args:
        interactions (Interactions): The interactions; a pair counts once.
        l2 (float, optional): The weight of the :math:`L_2` term :math:`\lambda`.
            (default: :obj:`200.0`)

    Raises:
        ValueError: If :obj:`l2` is not positive.

    *Cost:* O(n^3) time and n^2 numbers for the smaller number n of users and items,
    6.4 GB for 40,000: for larger sets, see
    :class:`~ltgnn_pyg.scorers.filters.SparseEASE`. By users, O(E) a user scored, and
    O(U^2) one who was not there; by items O(d_u I).
    """

    def __init__(self, interactions: Interactions, *, l2: float = 200.0) -> None:
        super().__init__(interactions)
        if not l2 > 0.0:
            raise ValueError(f"Expected a positive 'l2' (got {l2}); raise it")
        self.l2 = l2
        self.columns = self.rows.adjoint
        self.by_users = self.num_users < self.num_items
        side = self.rows if self.by_users else self.columns
        self.inverse = _inverse(side, l2)
        self.diagonal = self._by_users() if self.by_users else self.inverse.diagonal()

    @torch.no_grad()
    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        """Scores all items for some queries by what they have taken, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.
        """
        user = query.user
        if not self.by_users or user is None or query.items is not None:
            return super().score(query, out)
        if out is None:
            out = self.inverse.new_empty(len(query), self.num_items)
        out = self._times_rows(self.inverse[user], out)
        return self._without_itself(self.rows.take(user), out)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        if self.by_users:
            shared = out.new_empty(out.size(0), self.num_users)
            by_columns(partial(propagate, self.rows), rows, shared)
            self._times_rows(shared @ self.inverse, out).neg_()
            row, col = coordinates(rows)
            out[row, col] += rows.value
            out /= self.l2
        else:
            ptr, col, value = rows.rowptr, rows.col, rows.value
            out.copy_(aggregate(self.inverse, col, value, ptr))
        return self._without_itself(rows, out)

    def _by_users(self) -> Tensor:
        """The diagonal of P, from the inverse of the users' side."""
        total = self.inverse.new_zeros(self.num_items)
        for user in torch.arange(self.num_users, device=self.device).split(16 * WIDTH):
            part = self.inverse.new_empty(user.numel(), self.num_items)
            self._times_rows(self.inverse[user], part)
            row, col = coordinates(self.rows.take(user))
            total.index_add_(0, col, part[row, col])
        return (1.0 - total) / self.l2

    def _times_rows(self, left: Tensor, out: Tensor) -> Tensor:
        """Writes the product of a dense table and R."""
        for row, part in zip(left.split(WIDTH), out.split(WIDTH), strict=True):
            part.copy_(propagate(self.columns, row.t().contiguous()).t())
        return out

    def _without_itself(self, rows: CSROperator, out: Tensor) -> Tensor:
        """Makes scores of rows times P."""
        out /= -self.diagonal
        row, col = coordinates(rows)
        out[row, col] += rows.value
        return out


def _inverse(matrix: CSROperator, l2: float) -> Tensor:
    r"""Returns :math:`(A A^{\top} + \lambda I)^{-1}` of a sparse matrix, in one dense
    table.
    """
    out = matrix.value.new_empty(matrix.num_rows, matrix.num_rows)
    by_columns(partial(propagate, matrix), matrix, out)
    out.diagonal().add_(l2)
    out = out.mT  # The order of LAPACK, which then writes in place.
    torch.linalg.cholesky(out, out=out)
    return torch.cholesky_inverse(out, out=out).mT
