import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.typing import OptTensor

from ltgnn_pyg.graph import CSROperator, propagate


class SolveReport(NamedTuple):
    r"""The course of a fixed-point solve.

    Attributes:
        iterations (int): The number of steps taken.
        residual (float): The relative residual reached,
            :math:`\| \alpha X + (1 - \alpha) \hat{A} Z - Z \|_F /
            \| \alpha X \|_F`.
        bound (int): The number of steps that suffices for a symmetric
            :math:`\hat{A}` of norm at most 1,
            :math:`\lceil \log(tol / r_0) / \log(1 - \alpha) \rceil` with
            :math:`r_0` the residual at the start (1 from zero).
        converged (bool): True if :obj:`residual` is at most the tolerance.
    """

    iterations: int
    residual: float
    bound: int
    converged: bool


def solve(
    x: Tensor,
    operator: CSROperator,
    alpha: float,
    *,
    tol: float = 1e-6,
    max_iter: int | None = None,
    z: OptTensor = None,
) -> tuple[Tensor, SolveReport]:
    r"""Solves :math:`Z = (1 - \alpha) \hat{A} Z + \alpha X`, the fixed point of
    `personalised propagation <https://arxiv.org/abs/1810.05997>`_ that
    :class:`~ltgnn_pyg.nn.conv.LTConv` steps towards.

    Each step contracts the error by :math:`1 - \alpha` at least, so
    :math:`\log(tol) / \log(1 - \alpha)` steps suffice, whatever the size
    of the graph. The gradient is implicit,
    :math:`\partial L / \partial X = \alpha (I - (1 - \alpha)
    \hat{A}^{\top})^{-1} \partial L / \partial Z`: the same solver on the
    transposed matrix, to the same tolerance. Memory does not depend on the
    number of iterations. The matrix and :obj:`z` receive no gradient.

    Args:
        x (torch.Tensor): The node features :obj:`[num_nodes, dim]`.
        operator (CSROperator): :math:`\hat{A}`, such as :obj:`graph.matrix`.
        alpha (float): The teleport probability in :math:`(0, 1]`.
        tol (float, optional): Bound on the relative residual.
            (default: :obj:`1e-6`)
        max_iter (int, optional): Bound on the number of steps; a warning tells
            that it was hit. If :obj:`None`, twice the bound of the report,
            which holds in exact arithmetic. (default: :obj:`None`)
        z (torch.Tensor, optional): A start, such as a history,
            :obj:`[num_nodes, dim]`. If :obj:`None`, zero.
            (default: :obj:`None`)

    Returns:
        The embeddings :obj:`[num_nodes, dim]`, of the type of :obj:`x`, and a
        :class:`SolveReport`. Features of less than 32 bits are iterated on in
        :obj:`float32`.

    Raises:
        ValueError: If :obj:`alpha`, :obj:`tol` or :obj:`max_iter` is out of range,
            sizes do not fit, or the input is not finite.
        RuntimeError: If the iteration diverges, as it does on weights whose
            spectral radius reaches :math:`1 / (1 - \alpha)`.

    *Cost:* O(iterations x E x dim) time, O(N x dim) memory.
    """
    if not 0.0 < alpha <= 1.0:
        raise ValueError(
            f"Expected 'alpha' in (0, 1] to solve for the fixed point (got {alpha}): "
            "without a teleport it does not depend on 'x'"
        )
    if not tol > 0.0:
        raise ValueError(
            f"Expected a positive 'tol' (got {tol}); about 1e-6 is what float32 reaches"
        )
    if max_iter is not None and max_iter < 1:
        raise ValueError(f"Expected a positive 'max_iter' (got {max_iter})")
    if (operator.num_rows, operator.num_cols) != (x.size(0),) * 2:
        raise ValueError(
            f"Expected 'operator' of size {(x.size(0),) * 2}, a row for each of 'x' "
            f"(got {(operator.num_rows, operator.num_cols)}); pass 'graph.matrix'"
        )
    if z is not None and z.size() != x.size():
        raise ValueError(
            f"Expected 'z' of size {tuple(x.size())}, that of 'x' (got "
            f"{tuple(z.size())})"
        )
    return _Solve.apply(x, operator, z, alpha, tol, max_iter)


class _Solve(torch.autograd.Function):
    """A fixed-point solve whose backward is the same solve on the adjoint."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        operator: CSROperator,
        z: OptTensor,
        alpha: float,
        tol: float,
        max_iter: int | None,
    ) -> tuple[Tensor, SolveReport]:
        ctx.operator = operator
        ctx.args = (alpha, tol, max_iter)
        for name, value in (("x", x), ("z", z), ("operator", operator.value)):
            if value is not None and not bool(value.isfinite().all()):
                raise ValueError(
                    f"Expected a finite '{name}' (got NaN or infinite entries); look "
                    "for what made them"
                )
        return _fixed_point(x, operator, z, alpha, tol, max_iter)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[OptTensor, ...]:
        if bool(grad.isfinite().all()):
            grad, _ = _fixed_point(grad, ctx.operator.adjoint, None, *ctx.args)
        else:  # A gradient that overflowed is for the caller (a scaler) to see.
            grad = torch.full_like(grad, math.nan)
        return grad, None, None, None, None, None


def _fixed_point(
    x: Tensor,
    operator: CSROperator,
    z: OptTensor,
    alpha: float,
    tol: float,
    max_iter: int | None,
) -> tuple[Tensor, SolveReport]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    b = alpha * x.to(dtype)
    unit = float(b.abs().max()) if b.numel() > 0 else 0.0
    if unit == 0.0 or alpha == 1.0:
        return b.to(x.dtype), SolveReport(0, 0.0, 0, True)
    b /= unit  # So that no norm overflows.
    norm = float(b.norm())

    def steps(start: float) -> int:
        ratio = min(tol / start, 1.0) if start > 0 else 1.0
        return math.ceil(math.log(ratio) / math.log(1 - alpha))

    if max_iter is None:
        max_iter = 2 * steps(1.0) + 1
    if z is None:  # The first step from zero needs no product.
        z, residual, start, iterations = b, 1.0, 1.0, 0
    else:
        z, residual, start, iterations = z.to(dtype) / unit, math.inf, math.inf, -1
    while residual > tol and iterations < max_iter:
        new = propagate(operator, z).mul_(1 - alpha).add_(b)
        residual = float((new - z).norm()) / norm
        z, iterations = new, iterations + 1
        start = residual if math.isinf(start) else start
        if not math.isfinite(residual) or residual > 1e3 * max(start, 1.0):
            break
    if math.isnan(residual) or residual > max(start, tol):
        raise RuntimeError(
            f"The fixed point does not exist or is not stable: the relative residual "
            f"grew to {residual:.3g} after {iterations} steps with alpha={alpha}. "
            f"Expected a spectral radius below 1 / (1 - alpha); normalise the "
            f"adjacency ('ltgnn_pyg.normalized_adj') or raise 'alpha'"
        )
    if residual > tol:
        warnings.warn(
            f"No convergence to tol={tol:g} within max_iter={max_iter} steps: the "
            f"relative residual is {residual:.3g}. Raise 'max_iter' or 'tol'",
            stacklevel=5,
        )
    report = SolveReport(iterations, residual, steps(start), residual <= tol)
    return z.mul_(unit).to(x.dtype), report
