from dataclasses import dataclass

import torch
from torch import Tensor

from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers import Vectors


@dataclass(frozen=True, eq=False)
class ShardedVectors:
    r"""What is scored, of which each process holds its own users and items.

    Args:
        partition (Partition): Which users and items each process holds.
        user (torch.Tensor): The vectors of this process's users.
        item (torch.Tensor): Those of its items.
        item_bias (torch.Tensor, optional): The biases of all items.
            (default: :obj:`None`)

    Shapes:
        :obj:`user` :math:`(U_r, D)`, :obj:`item` :math:`(I_r, D)`, :obj:`item_bias`
        :math:`(I)`
    """

    partition: Partition
    user: Tensor
    item: Tensor
    item_bias: Tensor | None = None

    def own(self) -> Vectors:
        """The users of this process, counted from 0, and all items: what it can rank by
        itself. All processes must call it.

        *Cost:* I x dim numbers received and held.
        """
        items = self.partition.gather_items(self.item)
        return Vectors(self.user, items, self.item_bias)

    def gather(self) -> Vectors:
        """All users and items, to save or to serve. All processes must call it.

        *Cost:* N x dim numbers received and held, in each process.
        """
        p = self.partition
        z = p.gather(torch.cat([self.user, self.item]))
        return Vectors(z[: p.num_users], z[p.num_users :], self.item_bias)

    def to_own(self, edge_index: Tensor) -> Tensor:
        """The pairs of this process's users, as :meth:`own` counts them."""
        p = self.partition
        user, item = edge_index[:, p.own_pairs(edge_index)]
        return torch.stack([user - p.users.start, item - p.num_users + p.num_own_users])

    def top_k(
        self, k: int, *, exclude: Tensor | None = None, chunk_bytes: int = 2**28
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ranks all items for this process's users, see
        :func:`~ltgnn_pyg.scorers.top_k`. All processes must call it.

        Args:
            k (int): The number of items for each user.
            exclude (torch.Tensor, optional): Pairs never to return, node ids
                :obj:`[2, E]`. (default: :obj:`None`)
            chunk_bytes (int, optional): The memory that scores may take, in all
                processes together. (default: :obj:`2**28`)

        Returns:
            The users :obj:`[Q]`, and scores and items :obj:`[Q, k]`.
        """
        exclude = None if exclude is None else self.to_own(exclude)
        chunk_bytes = max(chunk_bytes // self.partition.world_size, 1)
        found = top_k(self.own(), k, exclude=exclude, chunk_bytes=chunk_bytes)
        users = self.partition.users
        return torch.arange(users.start, users.stop), *found
