"""Rows of a table that is held by several processes, with their gradient."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.distributed.process_group import answered


def pull_rows(table: Tensor, n_id: list[Tensor], partition: Partition) -> Tensor:
    r"""Returns rows of a table from the processes that hold them.

    Its gradient goes back the same way, and is summed where the rows are held.

    Args:
        table (torch.Tensor): The rows of this process :obj:`[num_rows, dim]`.
        n_id (list): The nodes that each process asks for; all processes know them all,
            so no ids are sent.
        partition (Partition): The rows of each process.

    Returns:
        The rows that this process asks for, in its order.

    *Cost:* Each process sends and receives about num_rows x dim numbers, of the rows
    asked for over P.
    """
    rank = partition.rank
    sent, num_sent = [], []
    for asked in n_id:
        owner, row = partition.owner(asked)
        sent.append(row[owner == rank])
        num_sent.append(sent[-1].numel())
    owner, _ = partition.owner(n_id[rank])
    num_received = torch.bincount(owner, minlength=partition.world_size).tolist()
    order = owner.argsort(stable=True)  # As they come.
    plan = torch.cat(sent), num_sent, order, num_received
    return _PullRows.apply(table, *plan)


class _PullRows(torch.autograd.Function):
    """An exchange, whose backward is the exchange the other way."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        index: Tensor,
        num_sent: list[int],
        order: Tensor,
        num_received: list[int],
    ) -> Tensor:
        ctx.plan, ctx.num_rows = (index, num_sent, order, num_received), table.size(0)
        out = table.new_empty(order.numel(), table.size(1))
        out[order] = _exchange(table.index_select(0, index), num_sent, num_received)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        index, num_sent, order, num_received = ctx.plan
        rows = _exchange(grad.index_select(0, order), num_received, num_sent)
        out = grad.new_zeros(ctx.num_rows, grad.size(1))
        return out.index_add_(0, index, rows), None, None, None, None


def _exchange(rows: Tensor, num_sent: list[int], num_received: list[int]) -> Tensor:
    out = rows.new_empty(sum(num_received), rows.size(1))
    with answered():
        dist.all_to_all_single(out, rows, num_received, num_sent)
    return out


class SumLoss(torch.autograd.Function):
    """The sum of the losses of all processes, each of which differentiates its own."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, partition: Partition) -> Tensor:
        """Returns the sum."""
        loss = loss.detach().clone()
        partition.sum_(loss)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Returns the gradient of this process's loss."""
        return grad, None
