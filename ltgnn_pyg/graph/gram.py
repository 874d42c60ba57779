import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ltgnn_pyg.graph.csr_operator import CSROperator, inv_sqrt
from ltgnn_pyg.graph.product import propagate

MAX_SWEEPS = 50
GROWTH = 1e6  #: The ratio of columns of a table that float32 still holds.


class Gram:
    r"""The Gram matrix of the normalised interactions, which is never formed:

    .. math::
        P = \tilde{R}^{\top} \tilde{R}, \qquad
        \tilde{R} = D_U^{-1/2} R D_I^{-1/2}

    It is symmetric, with eigenvalues in :math:`[0, 1]`; a filter is a polynomial of
    it, or its leading eigenvectors.

    Args:
        rows (CSROperator): :math:`R`, a matrix of ones, such as :obj:`graph.rows`.

    *Cost:* O(E log E) time, O(E) memory.
    """

    def __init__(self, rows: CSROperator) -> None:
        rowptr, col = rows.rowptr, rows.col
        scale = inv_sqrt(rowptr.diff().to(rows.dtype))
        value = scale.repeat_interleave(rowptr.diff(), output_size=col.numel())
        self.degree = torch.bincount(col, minlength=rows.num_cols).to(rows.dtype)
        value *= inv_sqrt(self.degree)[col]
        self.half = rows.with_value(value)

    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        r"""Returns :math:`P X`, not in the place of :obj:`x`.

        *Cost:* O(E x dim) time, U x dim numbers.
        """
        return propagate(self.half.adjoint, propagate(self.half, x), out)

    def powers(self, x: Tensor, coefficients: Sequence[float]) -> Tensor:
        r"""Returns :math:`\sum_{k=0}^{K} c_k P^k X`, by Horner's rule.

        *Cost:* K products.
        """
        *lower, last = coefficients
        z, spare = x * last, torch.empty_like(x)
        for c in reversed(lower):
            z, spare = self.product(z, spare), z
            if c != 0.0:
                z.add_(x, alpha=c)
        return z

    def chebyshev(self, x: Tensor, coefficients: Sequence[float]) -> Tensor:
        r"""Returns :math:`\sum_{k=0}^{K} c_k T_k(\tilde{L}) X` of the Laplacian
        :math:`\tilde{L} = I - 2P`, with Chebyshev polynomials
        :math:`T_k(\cos \theta) = \cos k \theta`, by Clenshaw's rule.

        *Cost:* K products.
        """
        if len(coefficients) == 1:
            return x * coefficients[0]
        first, *middle, last = coefficients
        b, before, spare = x * last, torch.zeros_like(x), torch.empty_like(x)
        for c in reversed(middle):
            before.lerp_(b, 2.0)  # 2 b - before.
            before.add_(self.product(b, spare), alpha=-4.0).add_(x, alpha=c)
            b, before = before, b
        z = self.product(b, spare).mul_(-2.0).add_(b).sub_(before)
        return z.add_(x, alpha=first)

    def leading(self, rank: int, seed: int = 0) -> Tensor:
        r"""Returns the eigenvectors :math:`V` of the largest eigenvalues, the right
        singular vectors of :math:`\tilde{R}`.

        Subspace iteration with Chebyshev polynomials, which leave what is below the
        smallest eigenvalue in view and amplify what is above (`"Self-consistent-field
        calculations using Chebyshev-filtered subspace iteration"
        <https://doi.org/10.1016/j.jcp.2006.03.017>`_), until the eigenvalues stay.

        Args:
            rank (int): Their number :math:`k`; what :math:`P` has not that many of
                are columns of zeros.
            seed (int, optional): Of the table it starts from. (default: :obj:`0`)

        Returns:
            :obj:`[num_items, k]`, the largest first.

        Raises:
            ValueError: If :obj:`rank` is negative.

        *Cost:* O(E k + (U + I) k^2) time a sweep, a dozen or so, and about
        4 (U + I) k numbers.
        """
        if rank < 0:
            raise ValueError(f"Expected 'rank' of at least 0 (got {rank})")
        num_items, device = self.half.num_cols, self.half.device
        if rank == 0:
            return torch.zeros(num_items, 0, device=device)
        num = min(rank + max(16, rank // 8), num_items)
        generator = torch.Generator(device).manual_seed(seed)
        x = torch.randn(num_items, num, generator=generator, device=device)
        x, last = self.product(x), 0.0
        for _ in range(MAX_SWEEPS):
            x = torch.linalg.qr(x).Q
            left = propagate(self.half, x)
            value, rotation = torch.linalg.eigh(left.t() @ left)  # Ascending.
            x = x @ rotation
            total = float(value[-rank:].sum())
            if total <= last * (1.0 + 1e-5):
                break
            x, last = self._amplify(x, float(value[0])), total
        x, value = x.flip(1)[:, :rank], value.flip(0)[:rank]
        found = x.new_zeros(num_items, rank)
        found[:, : x.size(1)] = x * (value > 1e-5)
        return found

    def values(self, vector: Tensor) -> Tensor:
        r"""Returns the eigenvalues :math:`\mathbf{v}^{\top} P \mathbf{v}` of
        eigenvectors, in :math:`[0, 1]`; 0 for columns of zeros.

        Args:
            vector (torch.Tensor): The eigenvectors, as of :meth:`leading`.

        *Cost:* A product.
        """
        return self.product(vector).mul_(vector).sum(0).clamp_(0.0, 1.0)

    def _amplify(self, x: Tensor, cut: float) -> Tensor:
        r"""Returns :math:`T_m(2P / c - I) X`: bounded by 1 on :math:`[0, c]`."""
        cut = min(max(cut, 1e-4), 0.5)
        num_steps = int(math.acosh(GROWTH) / math.acosh(2.0 / cut - 1.0))
        before, z = x, self.product(x).mul_(2.0 / cut).sub_(x)
        for _ in range(1, max(num_steps, 1)):
            after = self.product(z).mul_(4.0 / cut).sub_(z, alpha=2.0).sub_(before)
            before, z = z, after
        return z
