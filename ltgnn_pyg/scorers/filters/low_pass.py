import math
from dataclasses import dataclass

from torch import Tensor

from ltgnn_pyg.graph import CSROperator, Gram, aggregate
from ltgnn_pyg.scorers.vectors import Vectors


@dataclass(frozen=True, eq=False)
class LowPass:
    r"""A map of rows of items of low rank, :math:`\mathbf{r} \mapsto \mathbf{r} F
    G^{\top}`: what is left of them in a few smooth signals.

    Args:
        left (torch.Tensor): :math:`F`.
        right (torch.Tensor): :math:`G`.

    Shapes:
        :math:`(I, k)` both
    """

    left: Tensor
    right: Tensor

    @classmethod
    def ideal(cls, gram: Gram, rank: int, beta: float, weight: float) -> "LowPass":
        r"""The ideal low-pass filter :math:`w D_I^{-\beta} V V^{\top} D_I^{\beta}` of
        the leading eigenvectors :math:`V` of a Gram matrix; none if :math:`w = 0`.

        Raises:
            ValueError: If :obj:`rank` is negative, or a number is not finite.

        *Cost:* That of :meth:`Gram.leading`.
        """
        if rank < 0 or not (math.isfinite(beta) and math.isfinite(weight)):
            raise ValueError(
                "Expected 'rank' of at least 0, and a finite power and weight of the "
                f"low-pass filter (got {rank}, {beta} and {weight})"
            )
        vector = gram.leading(rank if weight != 0.0 else 0)
        scale = gram.degree.clamp(min=1.0).pow(beta).view(-1, 1)
        return cls(vector / scale, weight * vector * scale)

    def add(self, rows: CSROperator, out: Tensor) -> Tensor:
        """Adds what rows become to :obj:`out`.

        *Cost:* O(B I k).
        """
        return out.addmm_(self._coordinates(rows), self.right.t())

    def vectors(self, rows: CSROperator) -> Vectors:
        """The map of rows as vectors of users and items."""
        return Vectors(self._coordinates(rows), self.right)

    def _coordinates(self, rows: CSROperator) -> Tensor:
        rowptr, col = rows.rowptr, rows.col
        if self.left.size(1) == 0:  # Which a bag cannot be of.
            return self.left.new_empty(rows.num_rows, 0)
        return aggregate(self.left, col, rows.value, rowptr)
