from dataclasses import dataclass

import torch
from torch import Tensor

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.scorers import Vectors, top_k


@dataclass(frozen=True, eq=False)
class ShardedVectors:
    r"""Vectors that score, of which each process holds its own users and items.

    Args:
        partition (Partition): The users and items of each process.
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

    @property
    def as_vectors(self) -> None:
        """None: :meth:`gather` returns the vectors of all."""
        return None

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

    def to_own(self, interactions: Interactions) -> Interactions:
        """The interactions of this process's users, as :meth:`own` counts them."""
        p = self.partition
        own = interactions[p.is_own(interactions.user)]
        user = own.user - p.users.start
        return Interactions(user, own.item, p.num_own_users, p.num_items)

    def top_k(
        self,
        k: int,
        *,
        exclude: Interactions | None = None,
        chunk_bytes: int = 2**28,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ranks all items for this process's users, see
        :func:`~ltgnn_pyg.scorers.top_k`. All processes must call it.

        Args:
            k (int): The number of items for each user.
            exclude (Interactions, optional): Pairs never to return.
                (default: :obj:`None`)
            chunk_bytes (int, optional): The memory that scores may take, in all
                processes together. (default: :obj:`2**28`)

        Returns:
            The users :obj:`[Q]`, and scores and items :obj:`[Q, k]`.
        """
        own = None if exclude is None else self.to_own(exclude)
        chunk_bytes = max(chunk_bytes // self.partition.world_size, 1)
        found = top_k(self.own(), k, exclude=own, chunk_bytes=chunk_bytes)
        users = self.partition.users
        return torch.arange(users.start, users.stop), *found
