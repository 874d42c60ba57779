from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.distributed.process_group import answered
from ltgnn_pyg.graph.adjacency import (
    SymmetricOperator,
    csr,
    inv_sqrt,
    propagate,
    zero_entries,
)

if TYPE_CHECKING:
    from ltgnn_pyg.distributed.partition import Partition


class ShardedAdjacency(SymmetricOperator):
    r"""The normalised adjacency of which each process holds the edges of its users.

    With :math:`R_r` the rows of :math:`R = D_U^{-1/2} B D_I^{-1/2}` of the users of
    process :math:`r`, cut by the owners of the items into :math:`R_{r1}, \ldots,
    R_{rP}`, a product :math:`\hat{A} X` is

    .. math::
        \mathbf{z}_{U_r} = \sum_b R_{rb} \, \mathbf{x}_{I_b}, \qquad
        \mathbf{z}_{I_b} = \sum_r R_{rb}^{\top} \, \mathbf{x}_{U_r}

    The blocks of items travel once round the ring of processes, their rows of
    :math:`X` for the left sums and the right sums as far as they have come. Rows
    travel while the right half is computed, sums while the left one is. The matrix is
    symmetric: its adjoint is itself.

    Args:
        partition (Partition): Which rows each process holds.
        to_user (list): :math:`R_{r1}, \ldots, R_{rP}`, sparse CSR.
        to_item (list): Their transposes, sparse CSR.

    *Cost:* O(E x dim / P) time; of memory, the edges of the users twice, and while a
    product lasts four blocks of I x dim / P numbers; each process sends 2 I x dim (P -
    1) / P numbers, whatever the users and edges.
    """

    def __init__(
        self, partition: Partition, to_user: list[Tensor], to_item: list[Tensor]
    ) -> None:
        self.partition, self.to_user, self.to_item = partition, to_user, to_item

    @classmethod
    def build(
        cls, partition: Partition, edge_index: Tensor, edge_weight: OptTensor = None
    ) -> ShardedAdjacency:
        """Normalises the edges of users to items, of which this process keeps its own.

        Args:
            partition (Partition): Which rows each process holds.
            edge_index (torch.Tensor): All edges, node ids, users first
                :obj:`[2, num_edges]`.
            edge_weight (torch.Tensor, optional): Weights :obj:`[num_edges]`.
                (default: :obj:`None`)

        *Cost:* O(E + E / P log E) time.
        """
        p = partition
        scale = []
        for index, num in ((edge_index[0], p.num_users), (edge_index[1], p.num_nodes)):
            scale.append(inv_sqrt(torch.bincount(index, edge_weight, num).float()))
        own = p.own_pairs(edge_index)
        user, item = edge_index[:, own]
        value = scale[0][user] * scale[1][item]
        if edge_weight is not None:
            value *= edge_weight[own]
        user, item = user - p.users.start, item - p.num_users
        to_user, to_item = [], []
        for low, high in pairwise(p.item_ptr):
            block = (item >= low) & (item < high)
            row, col, of_block = user[block], item[block] - low, value[block]
            to_user.append(_to_csr(row, col, of_block, (p.num_own_users, high - low)))
            to_item.append(_to_csr(col, row, of_block, (high - low, p.num_own_users)))
        return cls(partition, to_user, to_item)

    @property
    def device(self) -> torch.device:
        """Where this process's part is."""
        return self.to_user[0].device

    def product(self, x: Tensor) -> Tensor:
        """Returns the rows of :math:`\\hat{A} X` of this process, of those of all."""
        rank, size = self.partition.rank, self.partition.world_size
        num_users = self.partition.num_own_users
        x_user, rows = x[:num_users], x[num_users:].contiguous()
        out = x.new_empty(x.size(), dtype=torch.promote_types(x.dtype, torch.float32))
        z_user, z_item = out[:num_users], out[num_users:]
        sums: _Passing | None = None
        for step in range(size):
            block = (rank - step) % size
            before = (block - 1) % size
            coming = self._pass(rows, before, 0) if step < size - 1 else None
            part = propagate(self.to_item[block], x_user)
            if step == 0:
                z_item.copy_(part)
            else:
                part = part if sums is None else part.add_(sums.wait())
                sums = self._pass(part, before, 1)
            part = propagate(self.to_user[block], rows)
            z_user.copy_(part) if step == 0 else z_user.add_(part)
            rows = rows if coming is None else coming.wait()
        if sums is not None:
            z_item += sums.wait()
        return out

    def without(self, edge_index: Tensor) -> ShardedAdjacency:
        """Returns the matrix with the entries of some edges set to zero, those of users
        of other processes passed over.
        """
        p = self.partition
        user, item = edge_index[:, p.own_pairs(edge_index)]
        user, item = user - p.users.start, item - p.num_users
        to_user, to_item = [], []
        for b, (low, high) in enumerate(pairwise(p.item_ptr)):
            block = (item >= low) & (item < high)
            row, col = user[block], item[block] - low
            to_user.append(zero_entries(self.to_user[b], row, col))
            to_item.append(zero_entries(self.to_item[b], col, row))
        return ShardedAdjacency(p, to_user, to_item)

    def _pass(self, sent: Tensor, block: int, tag: int) -> _Passing:
        """Sends a block to the next process, and a block comes from the one before."""
        p = self.partition
        num = p.item_ptr[block + 1] - p.item_ptr[block]
        received = sent.new_empty(num, sent.size(1))
        return _Passing(p.rank, p.world_size, sent, received, tag)


class _Passing:
    """Two blocks on their way."""

    def __init__(
        self, rank: int, size: int, sent: Tensor, received: Tensor, tag: int
    ) -> None:
        self.sent, self.received = sent, received
        ops = [
            dist.P2POp(dist.isend, sent, (rank + 1) % size, tag=tag),
            dist.P2POp(dist.irecv, received, (rank - 1) % size, tag=tag),
        ]
        with answered():
            self.works = dist.batch_isend_irecv(ops)

    def wait(self) -> Tensor:
        """What has come, once both have arrived."""
        with answered():
            for work in self.works:
                work.wait()
        return self.received


def _to_csr(row: Tensor, col: Tensor, value: Tensor, size: tuple[int, int]) -> Tensor:
    """A sparse CSR matrix with sorted columns."""
    key, perm = (row * size[1] + col).sort()
    rowptr = torch.arange(size[0] + 1, device=key.device) * size[1]
    rowptr, col = torch.searchsorted(key, rowptr), key % max(size[1], 1)
    if max(*size, key.numel()) < 2**31:
        rowptr, col = rowptr.int(), col.int()
    return csr(rowptr, col, value[perm], size[1])
