import math
from typing import Any

from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss import DirectAULoss, Objective
from ltgnn_pyg.nn.models.recommender import Recommender

LARGEST_T = 10.0  #: The exact solution grows as the exponential of T.
REMAINDER = 1e-7  #: Of the series of the exact solution, not summed.


class LightGODE(Recommender):
    r"""LightGODE, from `"Do We Really Need Graph Convolution During Training? Light
    Post-Training Graph-ODE for Recommendation" <https://arxiv.org/abs/2407.18910>`_
    (CIKM 2024).

    It trains as matrix factorisation, on rows of the table :math:`X`, and propagates
    when it scores: along :math:`\dot{Z} = \hat{A} Z + X` from :math:`Z(0) = X` to
    :math:`T`. The released model takes one Euler step over the whole of it,

    .. math::
        Z = (1 + T) X + T \hat{A} X.

    With :obj:`exact`, the equation is solved,

    .. math::
        Z(T) = \sum_{k=0}^{\infty} \Big( \frac{T^k}{k!} + \frac{T^{k+1}}{(k + 1)!} \Big)
        \hat{A}^k X,

    by its series, cut where what is left is less than :math:`10^{-7}` of a row of
    length 1.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        T (float, optional): :math:`T` in :math:`[0, 10]`. The paper takes 1.8 for
            Amazon-Beauty, 0.8 for Amazon-Toys-and-Games and 3 for Gowalla.
            (default: :obj:`0.8`)
        exact (bool, optional): Solves the equation; otherwise takes the released one's
            single step. (default: :obj:`False`)
        loss_fn (Objective, optional): The objective. If :obj:`None`, the paper's:
            :class:`~ltgnn_pyg.nn.DirectAULoss`, with :math:`\gamma = 0.5` (10 for
            Gowalla) and scored by inner product. (default: :obj:`None`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If :obj:`T` is out of its range.

    *Cost:* O(num_pairs x dim) time a batch, beside the objective. To score, O(E x dim)
    once; with :obj:`exact` about ten to forty times that, from small to large
    :obj:`T`.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        T: float = 0.8,
        exact: bool = False,
        loss_fn: Objective | None = None,
        **kwargs: Any,
    ) -> None:
        if loss_fn is None:
            loss_fn = DirectAULoss(gamma=0.5, cosine=False)
        super().__init__(num_users, num_items, embedding_dim, loss_fn=loss_fn, **kwargs)
        if not 0.0 <= T <= LARGEST_T:
            raise ValueError(f"Expected 'T' in [0, {LARGEST_T:g}] (got {T})")
        self.T = T
        self.exact = exact

    @property
    def coefficients(self) -> list[float]:
        """Those of what is scored; training is of rows of :math:`X`."""
        return ode_coefficients(self.T) if self.exact else [1.0 + self.T, self.T]

    def loss(self, batch: PairBatch) -> Tensor:
        """Returns the training loss of a batch, a scalar: that of rows of the table.

        Args:
            batch (PairBatch): A batch of a
                :class:`~ltgnn_pyg.PairLoader`, whose graph has no say.
        """
        x = self.inputs.rows(batch.seeds)
        return self._decayed(self.objective(x, batch), batch, x)


def ode_coefficients(T: float) -> list[float]:
    r"""The series of :math:`Z(T)` where :math:`\dot{Z} = \hat{A} Z + X`,
    :math:`Z(0) = X`, as far as it has a say: no eigenvalue of :math:`\hat{A}` is beyond
    :math:`\pm 1`, so that what is left out is at most the sum of its coefficients.
    """
    out: list[float] = []
    term, left = 1.0, 2.0 * math.exp(T) - 1.0  # The sum of all.
    while not out or left > REMAINDER:
        following = term * T / (len(out) + 1)
        out.append(term + following)
        left -= out[-1]
        term = following
    return out
