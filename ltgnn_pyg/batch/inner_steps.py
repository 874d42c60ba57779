"""The inner steps of a round, and what they share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.graph.graph import Graph
from ltgnn_pyg.graph.polynomial import horner
from ltgnn_pyg.inputs.inputs import Inputs


class Tables(NamedTuple):
    """The tables that a round calculates in, N x dim numbers each."""

    rest: Tensor
    gradient: Tensor
    spare: Tensor


class InnerSteps:
    r"""The state that the *inner steps* of a round share.

    With :math:`Z = \sum_k c_k \hat{A}^k X`, and :math:`R = \sum_{k \ge 1} c_k
    \hat{A}^k X` at the start of the round, each micro-batch takes a step with the rows

    .. math::
        \mathbf{z}_r = \mathbf{r}_r + c_0 \mathbf{x}_r, \qquad
        \frac{\partial L}{\partial \mathbf{x}_r} = c_0\, \mathbf{g}_r, \qquad
        \mathbf{g}_r = \frac{\partial L}{\partial \mathbf{z}_r},

    and the last one delivers the rest of the gradient to all rows of the table,
    :math:`\sum_{k \ge 1} c_k (\hat{A}^{\top})^k G` with :math:`G = \sum \mathbf{g}`
    over all micro-batches. So a round of one micro-batch has the exact gradient.

    The loader puts one on each :class:`InnerStep` of a round.

    Args:
        graph (Graph): The graph of the round.
        pool (list): Tables of rounds that have ended, to be taken by others.

    *Cost:* Three tables of N x dim numbers, of :obj:`float32` at least.
    """

    def __init__(self, graph: Graph, pool: list[Tables]) -> None:
        self.graph = graph
        self.pool = pool
        self.tables: Tables | None = None

    def step(
        self,
        inputs: Inputs,
        index: Tensor,
        coefficients: Sequence[float],
        x: Tensor | None,
    ) -> Tensor:
        """Returns rows of :math:`Z`, as a micro-batch sees them.

        Args:
            inputs (Inputs): :math:`X`.
            index (torch.Tensor): The numbers of the rows.
            coefficients (list of float): :math:`c_0, \\ldots, c_K`.
            x (torch.Tensor, optional): The rows of :math:`X`; :obj:`None` for the last
                micro-batch of the round, whose gradient is of the table.
        """
        if self.tables is None:
            table = inputs.table().detach()
            self.tables = self._take(table)
            rest, _, spare = self.tables
            lacking = [0.0, *coefficients[1:]]
            horner(table, self.graph.operator, lacking, rest, spare)
        is_last = x is None
        x = inputs.table() if x is None else x
        return _Step.apply(x, self, index, coefficients, is_last)

    def deliver(self, coefficients: Sequence[float]) -> Tensor:
        """Returns the rest of the gradient of the round, and ends it."""
        assert self.tables is not None
        _, gradient, spare = self.tables
        lacking = [0.0, *coefficients[1:]]
        adjoint = self.graph.operator.adjoint
        out = horner(gradient, adjoint, lacking, spare=spare)
        self.pool.append(self.tables)
        self.tables = None
        return out

    def _take(self, table: Tensor) -> Tables:
        """Takes tables from the pool that fit, or makes them."""
        wide = torch.promote_types(table.dtype, torch.float32)
        while self.pool:
            tables = self.pool.pop()
            fits = tables.rest.size() == table.size() and (
                (tables.rest.dtype, tables.rest.device) == (wide, table.device)
            )
            if fits:
                tables.gradient.zero_()
                return tables
        rest, spare = (torch.empty_like(table, dtype=wide) for _ in range(2))
        return Tables(rest, torch.zeros_like(rest), spare)


class _Step(torch.autograd.Function):
    """The rows of a micro-batch, whose gradients are kept on the way back; of its rows
    of the inputs, or for the last one of their table.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        state: InnerSteps,
        index: Tensor,
        coefficients: Sequence[float],
        is_last: bool,
    ) -> Tensor:
        assert state.tables is not None
        ctx.args = (state, index, coefficients, is_last)
        rows = state.tables.rest.index_select(0, index)
        x = x.index_select(0, index) if is_last else x
        return rows.add_(x, alpha=coefficients[0]).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        state, index, coefficients, is_last = ctx.args
        wide = grad.to(state.tables.gradient.dtype)
        state.tables.gradient.index_add_(0, index, wide)
        if is_last:
            out = state.deliver(coefficients)
            out.index_add_(0, index, wide, alpha=coefficients[0])
            out = out.to(grad.dtype)
        else:
            out = coefficients[0] * grad
        return out, None, None, None, None
