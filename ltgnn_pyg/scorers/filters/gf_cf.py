from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator, Gram
from ltgnn_pyg.scorers.filters.filter import Filter, by_columns
from ltgnn_pyg.scorers.filters.low_pass import LowPass
from ltgnn_pyg.scorers.vectors import Vectors


class GFCF(Filter):
    r"""GF-CF, from `"How Powerful is Graph Convolution for Recommendation?"
    <https://arxiv.org/abs/2108.07567>`_: a linear filter of the neighbourhood and an
    ideal low-pass filter

    .. math::
        \mathbf{s} = \mathbf{r} \left( P + \alpha D_I^{-1/2} V V^{\top} D_I^{1/2}
        \right), \qquad P = \tilde{R}^{\top} \tilde{R}, \quad
        \tilde{R} = D_U^{-1/2} R D_I^{-1/2}

    where :math:`V` holds the leading right singular vectors of :math:`\tilde{R}`. The
    settings are those of the paper's Gowalla and Yelp2018; for Amazon-Book it has
    :obj:`alpha=0`.

    Args:
        interactions (Interactions): The interactions; a pair counts once.
        rank (int, optional): The number of singular vectors. (default: :obj:`256`)
        alpha (float, optional): The weight of the low-pass filter :math:`\alpha`; with
            0, no singular vectors are calculated. (default: :obj:`0.3`)

    Raises:
        ValueError: If :obj:`rank` is negative, or :obj:`alpha` is not finite.

    *Cost:* Singular vectors once, see :meth:`~ltgnn_pyg.graph.Gram.leading`;
    O(E + I rank) a user scored.
    """

    def __init__(
        self, interactions: Interactions, *, rank: int = 256, alpha: float = 0.3
    ) -> None:
        super().__init__(interactions)
        self.gram = Gram(self.rows)
        self.low_pass = LowPass.ideal(self.gram, rank, 0.5, alpha)

    def vectors(self) -> Vectors:
        """The low-pass part of the scores as vectors of :obj:`rank` columns."""
        return self.low_pass.vectors(self.rows)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        return self.low_pass.add(rows, by_columns(self.gram.product, rows, out))
