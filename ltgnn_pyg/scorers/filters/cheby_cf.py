import numpy as np
import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator
from ltgnn_pyg.graph.gram import Gram
from ltgnn_pyg.scorers.filters.filter import Filter, by_columns
from ltgnn_pyg.scorers.filters.low_pass import LowPass
from ltgnn_pyg.scorers.vectors import Vectors


class ChebyCF(Filter):
    r"""ChebyCF, from `"Graph Spectral Filtering with Chebyshev Interpolation for
    Recommendation" <https://arxiv.org/abs/2505.00552>`_: a plateau-shaped filter of
    the Laplacian, an ideal low-pass filter, and popular items normalised by degree

    .. math::
        \mathbf{s} = \left( \sum_{k=0}^{K} c_k \mathbf{x} T_k(\tilde{L}) + \alpha
        \mathbf{x} V V^{\top} \right) D_I^{\beta}, \qquad
        \mathbf{x} = \mathbf{r} D_I^{-\beta}, \quad \tilde{L} = I - 2P

    with :math:`P` and :math:`V` as of :class:`~ltgnn_pyg.scorers.filters.GFCF`. The
    coefficients are the released ones: see :func:`plateau`. The settings are the
    paper's for Gowalla; Amazon-Book has :obj:`phi=10, beta=0`.

    Args:
        interactions (Interactions): The interactions; a pair counts once.
        K (int, optional): The degree of the polynomial. (default: :obj:`8`)
        phi (float, optional): The flatness of the filter in its middle.
            (default: :obj:`1.5`)
        rank (int, optional): The number of singular vectors. (default: :obj:`512`)
        alpha (float, optional): The weight of the low-pass filter :math:`\alpha`; with
            0, no singular vectors are calculated, and there are no :meth:`vectors` but
            empty ones. (default: :obj:`0.2`)
        beta (float, optional): The power of the degrees :math:`\beta`.
            (default: :obj:`0.4`)

    Raises:
        ValueError: If :obj:`rank` or :obj:`phi` is negative, :obj:`K` is not positive,
            or :obj:`alpha` or :obj:`beta` is not finite.

    *Cost:* Singular vectors once, see :meth:`~ltgnn_pyg.graph.Gram.leading`;
    O(K E + I rank) a user scored.
    """

    def __init__(
        self,
        interactions: Interactions,
        *,
        K: int = 8,
        phi: float = 1.5,
        rank: int = 512,
        alpha: float = 0.2,
        beta: float = 0.4,
    ) -> None:
        super().__init__(interactions)
        if K < 1 or not phi >= 0.0:
            raise ValueError(
                f"Expected 'K' of at least 1 and 'phi' of at least 0 (got {K} and "
                f"{phi})"
            )
        self.alpha = alpha
        self.coefficients = plateau(K, phi)
        self.gram = Gram(self.rows)
        self.scale = self.gram.degree.clamp(min=1.0).pow(beta)
        self.low_pass = LowPass.ideal(self.gram, rank, beta, alpha)

    def vectors(self) -> Vectors:
        r"""The scores as vectors of :obj:`rank` columns: what the filter keeps of the
        leading eigenvectors :math:`V`, :math:`\mathbf{x} V (p(\Lambda) + \alpha)
        V^{\top} D_I^{\beta}` with :math:`p` the polynomial.

        *Cost:* O(E rank).
        """
        low_pass = self.low_pass.vectors(self.rows)
        if self.alpha == 0.0:
            return low_pass
        vector = self.low_pass.left * self.scale.view(-1, 1)
        angle = (1.0 - 2.0 * self.gram.values(vector)).acos_()
        kept = torch.full_like(angle, self.alpha)
        for k, c in enumerate(self.coefficients):
            kept += c * torch.cos(k * angle)
        return Vectors(low_pass.user * (kept / self.alpha), low_pass.item)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        x = rows.with_value(rows.value / self.scale[rows.col])
        return self.low_pass.add(rows, by_columns(self._polynomial, x, out))

    def _polynomial(self, x: Tensor) -> Tensor:
        y = self.gram.chebyshev(x, self.coefficients)
        return y.mul_(self.scale.view(-1, 1))


def plateau(K: int, phi: float) -> list[float]:
    r"""The coefficients :math:`c_0, \ldots, c_K` of ChebyCF's released code

    .. math::
        c_k = \frac{2 - [k = 0]}{K + 1} \sum_{j=0}^{K} T_k(\nu_j) f(e_j), \qquad
        \nu_j = \cos \frac{(K + \frac{1}{2} - j) \pi}{K + 1}, \quad
        e_j = \cos \frac{(K - j) \pi}{K}

    which interpolate at the roots :math:`\nu_j` what the plateau

    .. math::
        f(e) = \tfrac{1}{2} - \tfrac{1}{2} \mathrm{sgn}(e) \, |e|^{\phi}

    is at the extrema :math:`e_j`. Those, and the values of :math:`f`, are rounded to
    three decimals, and published figures depend on both.

    Args:
        K (int): The degree.
        phi (float): The flatness :math:`\phi`.
    """
    j = np.arange(K + 1)
    angle = (K + 0.5 - j) * np.pi / (K + 1)
    e = np.cos((K - j) * np.pi / K).round(3)
    f = (0.5 - 0.5 * np.sign(e) * np.abs(e) ** phi).round(3)
    c = np.cos(np.outer(j, angle)) @ f * 2.0 / (K + 1)
    c[0] /= 2.0
    return [float(each) for each in c]
