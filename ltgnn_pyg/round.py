"""A round of micro-batches, cut into them, and what its inner steps share."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.data import Data


def micro_batches(batch: Data) -> Iterator[Data]:
    """The micro-batches of a round, each a batch of its own but for the graph."""
    pair, seed = batch.pair_ptr, batch.seed_ptr
    num = len(pair) - 1
    shared = "dst_neg_index" in batch and batch.dst_neg_index.size(0) == num
    for i in range(num):
        pairs, seeds = slice(pair[i], pair[i + 1]), slice(seed[i], seed[i + 1])
        num_seeds = seed[i + 1] - seed[i]
        part = Data(
            n_id=batch.n_id[seeds],
            num_seeds=num_seeds,
            num_nodes=num_seeds,
            src_index=batch.src_index[pairs] - seed[i],
            dst_pos_index=batch.dst_pos_index[pairs] - seed[i],
            input_id=batch.input_id[pairs],
        )
        if "dst_neg_index" in batch:
            of_part = slice(i, i + 1) if shared else pairs
            part.dst_neg_index = batch.dst_neg_index[of_part] - seed[i]
        if "log_q" in batch:
            part.log_q = batch.log_q[seeds]
        yield part


def sizes(ptr: list[int]) -> list[int]:
    """How many there are between each two of them."""
    return [end - start for start, end in pairwise(ptr)]


class Round:
    r"""What the *inner steps* of a round share.

    With :math:`Z = f(X)` linear in :math:`X`, and :math:`c` the weight of a row of
    :math:`X` in its own row of :math:`Z`, each micro-batch of the round takes a step
    with the rows

    .. math::
        \mathbf{z}_r = (Z^0 - c X^0)_r + c\, \mathbf{x}_r, \qquad
        \frac{\partial L}{\partial \mathbf{x}_r} = c\, \mathbf{g}_r, \qquad
        \mathbf{g}_r = \frac{\partial L}{\partial \mathbf{z}_r},

    :math:`X^0` and :math:`Z^0` being of the start of the round; and the last one
    delivers, to all rows of the table, what the gradients of all micro-batches,
    :math:`G = \sum \mathbf{g}`, lack: :math:`f^{\top}(G) - c G`. So a round of one
    micro-batch has the exact gradient.

    The loader puts one on each micro-batch of a round, and the model fills it: it is
    gone when the round is.

    Args:
        adj_t (torch.Tensor): The graph of the round.

    *Cost:* Two tables of N x dim numbers.
    """

    def __init__(self, adj_t: Tensor) -> None:
        self.adj_t = adj_t
        self.rest: Tensor | None = None
        self.gradient: Tensor | None = None

    def pull(self, index: Tensor, rest: Tensor, is_last: bool) -> Tensor:
        """Returns rows of :math:`Z^0 - c X^0`.

        What flows back to them is added to :math:`G`, and, if the micro-batch
        :obj:`is_last`, from there to :obj:`rest` as a whole.
        """
        rows = rest.detach().index_select(0, index).requires_grad_()
        return _Pull.apply(rows, rest if is_last else None, self, index)

    def push(self, index: Tensor, grad: Tensor) -> Tensor:
        """Adds rows to :math:`G`, and returns it."""
        if self.gradient is None:
            self.gradient = grad.new_zeros(self.adj_t.size(0), grad.size(1))
        return self.gradient.index_add_(0, index, grad)


class _Pull(torch.autograd.Function):
    """Rows of a table, whose gradient is kept on the way back."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, rest: Tensor | None, state: Round, index: Tensor
    ) -> Tensor:
        ctx.state, ctx.index, ctx.is_last = state, index, rest is not None
        return rows.view_as(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        total = ctx.state.push(ctx.index, grad)
        return None, total if ctx.is_last else None, None, None
