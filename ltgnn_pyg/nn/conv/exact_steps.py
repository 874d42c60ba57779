from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.adjacency import adjoint, propagate


def exact_steps(x: Tensor, adj_t: Tensor, alpha: float, K: int) -> Tensor:
    r"""Takes :math:`K` steps towards the fixed point of `personalised propagation
    <https://arxiv.org/abs/1810.05997>`_, from :math:`Z^{(0)} = X`.

    .. math::
        Z^{(k)} = (1 - \alpha) \hat{A} Z^{(k-1)} + \alpha X

    :math:`Z^{(K)}` is a polynomial of :math:`\hat{A}` times :math:`X`, so its gradient
    is the same steps with the transposed matrix, from the gradient of
    :math:`Z^{(K)}`. Nothing is kept for them but the matrix.

    Args:
        x (torch.Tensor): The node features :obj:`[num_nodes, dim]`.
        adj_t (torch.Tensor): :math:`\hat{A}` as sparse CSR, such as
            :func:`~ltgnn_pyg.normalized_adj` returns.
        alpha (float): The teleport probability in :math:`[0, 1]`.
        K (int): The number of steps.

    Returns:
        :obj:`[num_nodes, dim]`, of the type of :obj:`x`.

    *Cost:* O(K x E x dim) time, and two tables beside :obj:`x`; backward the same.
    """
    return _ExactSteps.apply(x, adj_t, alpha, K)


class _ExactSteps(torch.autograd.Function):
    """A polynomial of a matrix, whose backward is that of the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adj_t: Tensor, alpha: float, K: int) -> Tensor:
        ctx.args = (adj_t, alpha, K)
        z = x
        for _ in range(K):
            z = propagate(adj_t, z)
            z.lerp_(x.to(z.dtype), alpha)
        return z.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        adj_t, alpha, K = ctx.args
        return _ExactSteps.apply(grad, adjoint(adj_t), alpha, K), None, None, None
