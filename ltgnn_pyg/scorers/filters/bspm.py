from functools import partial
from math import factorial, inf

from numpy.polynomial import Polynomial
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator, Gram
from ltgnn_pyg.scorers.filters.filter import Filter, by_columns
from ltgnn_pyg.scorers.filters.low_pass import LowPass
from ltgnn_pyg.scorers.vectors import Vectors


class BSPM(Filter):
    r"""BSPM, from `"Blurring-Sharpening Process Models for Collaborative Filtering"
    <https://arxiv.org/abs/2211.09324>`_, merged early: interactions are blurred by a
    step of the heat equation, an ideal low-pass filter is added, and the sum is
    sharpened by :math:`\dot{\mathbf{y}} = -\mathbf{y} P` until :math:`T`

    .. math::
        \mathbf{y} = \mathbf{r} \left( P + \beta D_I^{-1/2} V V^{\top} D_I^{1/2}
        \right), \qquad
        \mathbf{s} = \mathbf{y} \left( \sum_{m=0}^{q} \frac{(-h P)^m}{m!} \right)^n,
        \quad h = T / n

    with :math:`P` and :math:`V` as of :class:`~ltgnn_pyg.scorers.filters.GFCF`. The
    released solvers have a fixed step and are these polynomials: :math:`q = 4` is
    Runge-Kutta's, :math:`q = 1` Euler's. The settings are the paper's for Gowalla;
    Yelp2018 has :obj:`rank=384, beta=0.3, T=1.2, solver_order=1, averaged=True`, and
    Amazon-Book :obj:`beta=0, T=2.2, num_steps=2`.

    To put beside a trained model (:class:`~ltgnn_pyg.scorers.Blend`), whose columns
    are a low-pass filter already, take :obj:`beta=0, T=0.7, solver_order=1`:
    :math:`\mathbf{r} (P - 0.7 P^2)`, two sparse products and nothing to fit.

    Args:
        interactions (Interactions): The interactions; a pair counts once.
        rank (int, optional): The number of singular vectors. (default: :obj:`448`)
        beta (float, optional): The weight of the low-pass filter :math:`\beta`; with
            0, no singular vectors are calculated. (default: :obj:`0.2`)
        T (float, optional): The time :math:`T` to sharpen. (default: :obj:`2.5`)
        solver_order (int, optional): The order of the solver :math:`q`.
            (default: :obj:`4`)
        num_steps (int, optional): The number of its steps :math:`n`.
            (default: :obj:`1`)
        averaged (bool, optional): Scores by the mean of :math:`\mathbf{s}` and
            :math:`\mathbf{r} P`. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`rank` or :obj:`T` is negative, :obj:`solver_order` or
            :obj:`num_steps` is not positive, or :obj:`beta` or :obj:`T` is not finite.

    *Cost:* Singular vectors once, see :meth:`~ltgnn_pyg.graph.Gram.leading`;
    O(n q E + I rank) a user scored.
    """

    def __init__(
        self,
        interactions: Interactions,
        *,
        rank: int = 448,
        beta: float = 0.2,
        T: float = 2.5,
        solver_order: int = 4,
        num_steps: int = 1,
        averaged: bool = False,
    ) -> None:
        super().__init__(interactions)
        if solver_order < 1 or num_steps < 1 or not 0.0 <= T < inf:
            raise ValueError(
                "Expected 'solver_order' and 'num_steps' of at least 1 and a finite "
                f"'T' of at least 0 (got {solver_order}, {num_steps} and {T})"
            )
        step = [(-T / num_steps) ** m / factorial(m) for m in range(solver_order + 1)]
        sharpen, blur = Polynomial(step) ** num_steps, Polynomial([0.0, 1.0])
        share = 0.5 if averaged else 1.0
        both = share * blur * sharpen + (1.0 - share) * blur
        #: The polynomial of P that a row is filtered by, beside the low-pass filter.
        self.coefficients: list[float] = both.coef.tolist()
        self.gram = Gram(self.rows)
        self.low_pass = LowPass.ideal(self.gram, rank, 0.5, share * beta)
        if self.low_pass.right.numel() > 0:
            right = self.gram.powers(self.low_pass.right, sharpen.coef.tolist())
            self.low_pass = LowPass(self.low_pass.left, right)

    def vectors(self) -> Vectors:
        """The low-pass part of the scores as vectors of :obj:`rank` columns."""
        return self.low_pass.vectors(self.rows)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        polynomial = partial(self.gram.powers, coefficients=self.coefficients)
        return self.low_pass.add(rows, by_columns(polynomial, rows, out))
