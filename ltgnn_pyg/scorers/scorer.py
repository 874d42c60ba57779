from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Scorer(ABC):
    r"""A score :math:`s_{ui}` for each user and item: what evaluation and lists take.

    :class:`~ltgnn_pyg.scorers.Vectors` are one, and so is every filter of
    :mod:`ltgnn_pyg.scorers.filters`. Users and items are counted from 0 here; as nodes
    of the graph, items start at the number of users :math:`U`.

    .. code-block:: python

        class Newest(Scorer):
            def __init__(self, num_users, time):
                self.users, self.time = num_users, time

            num_users = property(lambda self: self.users)
            num_items = property(lambda self: self.time.numel())
            device = property(lambda self: self.time.device)
            dtype = property(lambda self: self.time.dtype)

            def score(self, user, out=None):
                score = self.time.expand(user.numel(), -1)
                return score.clone() if out is None else out.copy_(score)
    """

    @property
    @abstractmethod
    def num_users(self) -> int:
        """The number of users :math:`U`."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """The number of items :math:`I`."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where scores are calculated."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The type of the scores, :obj:`float32` at least."""

    @property
    def num_nodes(self) -> int:
        """The number of users and items :math:`N`."""
        return self.num_users + self.num_items

    @abstractmethod
    def score(self, user: Tensor, out: Tensor | None = None) -> Tensor:
        r"""Scores all items for some users.

        Args:
            user (torch.Tensor): The users :obj:`[B]`, counted from 0.
            out (torch.Tensor, optional): Where to write the scores, all of which are
                overwritten; rows may lie apart. If :obj:`None`, a new tensor.
                (default: :obj:`None`)

        Returns:
            The scores :obj:`[B, num_items]`.
        """

    def split_pairs(self, edge_index: Tensor, name: str) -> tuple[Tensor, Tensor]:
        r"""The users and items of pairs, both counted from 0.

        Args:
            edge_index (torch.Tensor): Pairs of node ids, :obj:`[2, num_pairs]`: a
                user :math:`0, \ldots, U - 1` and an item
                :math:`U, \ldots, N - 1`.
            name (str): What errors call them.

        Raises:
            ValueError: If they are no such pairs.
        """
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                f"Expected '{name}' [2, E] (got {list(edge_index.size())}); stack "
                "users and items"
            )
        if edge_index.dtype != torch.long:
            raise ValueError(
                f"Expected '{name}' of type int64 (got {edge_index.dtype}); convert it"
            )
        user, item = edge_index.to(self.device).unbind()
        if user.numel() == 0:
            return user, item
        if user.min() < 0 or user.max() >= self.num_users:
            raise ValueError(
                f"Expected users in [0, {self.num_users}) in the first row of '{name}' "
                f"(got {int(user.min())} to {int(user.max())}); of a graph with both "
                "directions, pass one"
            )
        if item.min() < self.num_users or item.max() >= self.num_nodes:
            raise ValueError(
                f"Expected items in [{self.num_users}, {self.num_nodes}) in the second "
                f"row of '{name}' (got {int(item.min())} to {int(item.max())}); item "
                "ids start at the number of users"
            )
        return user, item - self.num_users
