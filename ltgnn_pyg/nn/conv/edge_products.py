"""Two products over the edges of a graph, each the other's gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.graph import CSROperator, propagate

CHUNK = 2**15  #: Edges whose rows are gathered at once.


@torch.compiler.disable
def edge_sum(weight: Tensor, x: Tensor, operator: CSROperator) -> Tensor:
    r"""Sums the rows of a node's neighbours, weighted edge by edge, for several
    heads at once.

    .. math::
        \mathbf{o}_{ki} = \sum_{e : h_e = i} w_{ke} \, \mathbf{x}_{k t_e}

    Its gradients are :func:`edge_dot`, and the same sum in the other direction.

    Args:
        weight (torch.Tensor): The weights :obj:`[num_heads, num_edges]`.
        x (torch.Tensor): The rows :obj:`[num_heads, num_nodes, dim]`.
        operator (CSROperator): The graph, a symmetric matrix: edge
            :math:`e` is its entry in row :math:`h_e` and column :math:`t_e`. Its
            values have no say.

    Returns:
        :obj:`[num_heads, num_nodes, dim]`.

    Raises:
        ValueError: If the matrix is not symmetric.

    *Cost:* O(E x heads x dim) time; no gathered row is stored.
    """
    return _EdgeSum.apply(weight, x, operator)


@torch.compiler.disable
def edge_dot(x: Tensor, y: Tensor, operator: CSROperator) -> Tensor:
    r"""The inner products of the rows at both ends of each edge, for several heads
    at once.

    .. math::
        s_{ke} = \mathbf{x}_{k h_e}^{\top} \mathbf{y}_{k t_e}

    Its gradients are :func:`edge_sum`, in either direction.

    Args:
        x (torch.Tensor): The rows of heads :obj:`[num_heads, num_nodes, dim]`.
        y (torch.Tensor): The rows of tails, likewise.
        operator (CSROperator): The graph, see :func:`edge_sum`.

    Returns:
        :obj:`[num_heads, num_edges]`.

    Raises:
        ValueError: If the matrix is not symmetric.

    *Cost:* O(E x heads x dim) time; rows of a few thousand edges are gathered at a
    time.
    """
    return _EdgeDot.apply(x, y, operator)


class _EdgeSum(torch.autograd.Function):
    """Its gradients are computed anew from its inputs."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor, operator: CSROperator) -> Tensor:
        ctx.operator, ctx.reverse = operator, operator.reverse
        ctx.save_for_backward(weight, x)
        return _sum(weight, x, operator)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weight, x = ctx.saved_tensors
        grad_weight = grad_x = None
        if ctx.needs_input_grad[0]:
            grad_weight = _dot(grad, x, ctx.operator)
        if ctx.needs_input_grad[1]:
            grad_x = _sum(weight[:, ctx.reverse], grad, ctx.operator)
        return grad_weight, grad_x, None


class _EdgeDot(torch.autograd.Function):
    """Its gradients are computed anew from its inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, operator: CSROperator) -> Tensor:
        ctx.operator, ctx.reverse = operator, operator.reverse
        ctx.save_for_backward(x, y)
        return _dot(x, y, operator)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y = ctx.saved_tensors
        grad_x = grad_y = None
        if ctx.needs_input_grad[0]:
            grad_x = _sum(grad, y, ctx.operator)
        if ctx.needs_input_grad[1]:
            grad_y = _sum(grad[:, ctx.reverse], x, ctx.operator)
        return grad_x, grad_y, None


def _sum(weight: Tensor, x: Tensor, operator: CSROperator) -> Tensor:
    out = x.new_empty(x.size(), dtype=torch.promote_types(x.dtype, torch.float32))
    for of_head, rows, sums in zip(weight, x, out, strict=True):
        propagate(operator.with_value(of_head.contiguous()), rows, sums)
    return out.to(x.dtype)


def _dot(x: Tensor, y: Tensor, operator: CSROperator) -> Tensor:
    row, col = operator.pattern.row, operator.col
    out = x.new_empty(x.size(0), col.numel())
    for head, tail, score in zip(
        row.split(CHUNK), col.split(CHUNK), out.split(CHUNK, dim=1), strict=True
    ):
        product = x.index_select(1, head).mul_(y.index_select(1, tail))
        torch.sum(product, -1, out=score)
    return out
