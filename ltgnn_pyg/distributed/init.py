"""The spectral start of a table that is held by several processes."""

import torch
from torch import Tensor

from ltgnn_pyg.distributed.adjacency import ShardedAdjacency
from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.nn.init import signs


@torch.no_grad()
def sharded_spectral_(
    tensor: Tensor, operator: ShardedAdjacency, std: float = 0.02
) -> Tensor:
    r"""Fills this process's rows with what :func:`~ltgnn_pyg.nn.init.spectral_` fills
    the whole table with, up to rounding.

    The same random matrices are drawn, in all processes; products are those of
    :class:`ShardedAdjacency`, and a basis :math:`X` is made orthonormal by the
    eigenvectors of :math:`X^{\top} X`, which is summed over the processes. All is in
    double precision, so that the start does not depend on the number of processes.

    Args:
        tensor (torch.Tensor): The rows of this process :obj:`[num_rows, dim]`.
        operator (ShardedAdjacency): :math:`\hat{A}`.
        std (float, optional): The root mean square of the entries of the whole table.
            (default: :obj:`0.02`)

    Returns:
        :obj:`tensor`.

    *Cost:* That of one process over P, and eight products; a table of random numbers
    is drawn whole, and given up.
    """
    p, dim = operator.partition, tensor.size(1)
    rows = slice(0, p.num_own_users), slice(p.num_own_users, p.num_rows)
    num, size = min(dim, p.num_users, p.num_items), (p.num_users, p.num_items)
    tensor.copy_(p.take(tensor.new_empty(p.num_nodes, dim).normal_(std=0.1 * std)))
    linked = operator.product(tensor.new_ones(p.num_rows, 1, dtype=torch.float32)) > 0
    linked = linked.view(-1)
    if _sum(p, linked.sum()) > 0:
        rank = min(dim + 16, *size)
        # The side with fewer rows is drawn, the side with more has the basis.
        tall, flat = rows if size[0] >= size[1] else rows[::-1]
        drawn = torch.randn(min(size), rank, device=tensor.device)
        own = p.items if size[0] >= size[1] else p.users
        x = drawn.new_zeros(p.num_rows, rank, dtype=torch.double)
        x[flat] = drawn[own].double()
        del drawn
        basis = _orthonormal(p, _half(operator, x, flat, tall))
        for _ in range(3):
            basis = _orthonormal(p, _half(operator, basis, tall, flat))
            basis = _orthonormal(p, _half(operator, basis, flat, tall))
        other = _half(operator, basis, tall, flat)
        value, vector = torch.linalg.eigh(_gram(p, other))
        value, vector = value.flip(0)[:num], vector.flip(1)[:, :num]
        leading = basis.new_empty(p.num_rows, num)
        leading[tall] = basis[tall] @ vector
        leading[flat] = other[flat] @ (vector * _inverse_root(value))
        del basis, other
        total = signs(leading, p.n_id().to(leading.device))
        square = leading.square().sum()
        p.sum_(total, square)
        leading *= total.sign() * std / (square / (p.num_nodes * num)).sqrt()
        tensor[:, :num] = leading.to(tensor)
    alone = torch.zeros(p.num_nodes, dtype=torch.int, device=tensor.device)
    n_id = p.n_id().to(tensor.device)
    alone[n_id] = (~linked).int()
    p.sum_(alone)
    drawn = torch.randn(int(alone.sum()), dim, dtype=tensor.dtype, device=tensor.device)
    place = alone.cumsum(0) - 1
    tensor[~linked] = std * drawn[place[n_id[~linked]]]
    return tensor


def _half(operator: ShardedAdjacency, x: Tensor, given: slice, wanted: slice) -> Tensor:
    """The product of one side's rows, those of the other side."""
    x[wanted] = 0.0
    out = operator.product(x)
    out[given] = 0.0
    return out


def _gram(partition: Partition, x: Tensor) -> Tensor:
    """:math:`X^T X` over the rows of all processes."""
    out = x.t() @ x
    partition.sum_(out)
    return out


def _orthonormal(partition: Partition, x: Tensor) -> Tensor:
    value, vector = torch.linalg.eigh(_gram(partition, x))
    return x @ (vector * _inverse_root(value))


def _inverse_root(value: Tensor) -> Tensor:
    """:math:`v^{-1/2}`, zero for what is zero but for rounding."""
    small = value <= 1e-12 * value.max()
    return value.clamp(min=0.0).pow(-0.5).masked_fill(small, 0.0)


def _sum(partition: Partition, tensor: Tensor) -> float:
    partition.sum_(tensor)
    return float(tensor)
