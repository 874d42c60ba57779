"""Polynomials of the propagation matrix, the linear graph recommenders."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph.operator import Operator
from ltgnn_pyg.graph.product import propagate


def polynomial(x: Tensor, operator: Operator, coefficients: Sequence[float]) -> Tensor:
    r"""Propagates by a polynomial of the matrix, as a linear graph recommender does.

    .. math::
        Z = \sum_{k=0}^{K} c_k \hat{A}^k X

    by Horner's rule. Its gradient is the polynomial of the transposed matrix, of the
    gradient of :math:`Z`. Nothing is kept for it but the matrix.

    Args:
        x (torch.Tensor): The table :obj:`[num_nodes, dim]`.
        operator (Operator): :math:`\hat{A}`, such as :obj:`graph.operator`.
        coefficients (list of float): :math:`c_0, \ldots, c_K`.

    Returns:
        :obj:`[num_nodes, dim]`, of the type of :obj:`x`.

    *Cost:* O(K x E x dim) time, and two tables beside :obj:`x`; backward the same.
    """
    return _Polynomial.apply(x, operator, coefficients)


class _Polynomial(torch.autograd.Function):
    """A polynomial of a matrix, whose backward is that of the transposed matrix."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, operator: Operator, coefficients: Sequence[float]
    ) -> Tensor:
        ctx.args = (operator, coefficients)
        return horner(x, operator, coefficients).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        operator, coefficients = ctx.args
        return _Polynomial.apply(grad, operator.adjoint, coefficients), None, None


@torch.no_grad()
def horner(
    x: Tensor,
    operator: Operator,
    coefficients: Sequence[float],
    out: Tensor | None = None,
    spare: Tensor | None = None,
) -> Tensor:
    r"""Returns :func:`polynomial`, without gradient and in tables at hand.

    Args:
        x (torch.Tensor): The table :obj:`[num_nodes, dim]`.
        operator (Operator): The matrix.
        coefficients (list of float): :math:`c_0, \ldots, c_K`.
        out (torch.Tensor, optional): The table to write to, :obj:`float32` at least. If
            :obj:`None`, a new tensor. (default: :obj:`None`)
        spare (torch.Tensor, optional): A table to calculate in. If :obj:`None`, a new
            tensor. (default: :obj:`None`)
    """
    kept = list(coefficients)
    while len(kept) > 1 and kept[-1] == 0.0:
        kept.pop()
    *lower, last = kept
    if not lower:
        return x * last if out is None else torch.mul(x, last, out=out)
    dtype = torch.promote_types(x.dtype, torch.float32)
    z, wide = x, x.to(dtype)
    for num_left, c in zip(range(len(lower), 0, -1), reversed(lower), strict=True):
        if num_left % 2 == 1:  # The last one too.
            out = torch.empty_like(wide) if out is None else out
            z = propagate(operator, z, out)
        else:
            spare = torch.empty_like(wide) if spare is None else spare
            z = propagate(operator, z, spare)
        if num_left == 1:
            z *= last
            if c != 0.0:
                z.add_(wide, alpha=c)
        elif c != 0.0:
            z.add_(wide, alpha=c / last)
    return z
