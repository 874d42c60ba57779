from __future__ import annotations

from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.distributed.process_group import answered
from ltgnn_pyg.graph import CSROperator, Graph, Operator, propagate
from ltgnn_pyg.graph.csr_operator import inv_sqrt


class ShardedAdjacency(Operator):
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
        partition (Partition): The rows of each process.
        to_user (list of CSROperator): :math:`R_{r1}, \ldots, R_{rP}`.
        to_item (list of CSROperator): Their transposes.

    *Cost:* O(E x dim / P) time; of memory, the edges of the users twice, and while a
    product lasts four blocks of I x dim / P numbers; each process sends 2 I x dim (P -
    1) / P numbers, whatever the users and edges.
    """

    def __init__(
        self,
        partition: Partition,
        to_user: list[CSROperator],
        to_item: list[CSROperator],
    ) -> None:
        self.partition, self.to_user, self.to_item = partition, to_user, to_item

    @classmethod
    def build(cls, partition: Partition, graph: Graph) -> ShardedAdjacency:
        """Normalises the edges of users to items, of which this process keeps its own.

        Args:
            partition (Partition): The rows of each process.
            graph (Graph): All edges.

        Raises:
            ValueError: If the graph has other edges.

        *Cost:* O(E + E / P log E) time.
        """
        p, edges = partition, graph.edges
        if edges.type is not None or graph.num_nodes != p.num_nodes:
            raise ValueError(
                f"Expected users, items and edges between them alone in several "
                f"processes (got {graph}); train in one process"
            )
        user = graph.index("user", edges.index[0])
        item = graph.index("item", edges.index[1])
        value, own = None, p.is_own(user)
        for index, num in ((user, p.num_users), (item, p.num_items)):
            scale = inv_sqrt(torch.bincount(index, edges.weight, num).float())
            part = scale[index[own]]
            value = part if value is None else value * part
        assert value is not None
        if edges.weight is not None:
            value *= edges.weight[own]
        user, item = user[own] - p.users.start, item[own]
        to_user, to_item = [], []
        for low, high in pairwise(p.item_ptr):
            block = (item >= low) & (item < high)
            row, col, of_block = user[block], item[block] - low, value[block]
            size = p.num_own_users, high - low
            to_user.append(CSROperator.from_coo(row, col, *size, of_block))
            to_item.append(CSROperator.from_coo(col, row, *size[::-1], of_block))
        return cls(partition, to_user, to_item)

    @property
    def num_rows(self) -> int:
        """The number of rows of this process."""
        return self.partition.num_rows

    @property
    def num_cols(self) -> int:
        """The number of rows of this process."""
        return self.partition.num_rows

    @property
    def device(self) -> torch.device:
        """The device of this process's part."""
        return self.to_user[0].device

    @property
    def adjoint(self) -> ShardedAdjacency:
        """Itself, as it is symmetric."""
        return self

    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Returns the rows of :math:`\\hat{A} X` of this process, of those of all."""
        rank, size = self.partition.rank, self.partition.world_size
        num_users = self.partition.num_own_users
        x_user, rows = x[:num_users], x[num_users:].contiguous()
        if out is None:
            dtype = torch.promote_types(x.dtype, torch.float32)
            out = x.new_empty(x.size(), dtype=dtype)
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
        user, item = edge_index[:, p.is_own(edge_index[0])]
        user, item = user - p.users.start, item - p.num_users
        to_user, to_item = [], []
        for b, (low, high) in enumerate(pairwise(p.item_ptr)):
            block = (item >= low) & (item < high)
            row, col = user[block], item[block] - low
            to_user.append(self.to_user[b].zero_entries(row, col))
            to_item.append(self.to_item[b].zero_entries(col, row))
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
        """The block that has come, once both have arrived."""
        with answered():
            for work in self.works:
                work.wait()
        return self.received
