from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.scorers.query import Query

if TYPE_CHECKING:
    from ltgnn_pyg.scorers.vectors import Vectors


class Scorer(ABC):
    r"""A score :math:`s_{qi}` of each item for a query, such as a user: what
    evaluation, lists, run folders and serving take.

    :class:`~ltgnn_pyg.scorers.Vectors` are one, and so is every filter of
    :mod:`ltgnn_pyg.scorers.filters`. Users and items are counted from 0, each for
    themselves.

    .. code-block:: python

        class Newest(Scorer):
            def __init__(self, num_users, time):
                self.users, self.time = num_users, time

            num_users = property(lambda self: self.users)
            num_items = property(lambda self: self.time.numel())
            device = property(lambda self: self.time.device)
            dtype = property(lambda self: self.time.dtype)

            def score(self, query, out=None):
                score = self.time.expand(len(query), -1)
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
        """The device that scores are calculated on."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The type of the scores, :obj:`float32` at least."""

    @abstractmethod
    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        r"""Scores all items for some queries.

        Args:
            query (Query): The users, or what somebody has taken.
            out (torch.Tensor, optional): The table to write to, all of which is
                overwritten; rows may lie apart. If :obj:`None`, a new tensor.
                (default: :obj:`None`)

        Returns:
            The scores :obj:`[B, num_items]`.

        Raises:
            ValueError: If it cannot answer such a query.
        """

    @property
    def as_vectors(self) -> Vectors | None:
        """The vectors of users and items whose inner products the scores are, which an
        index takes; :obj:`None` if they are of another kind.
        """
        return None

    def vectors_of(self, query: Query) -> Tensor | None:
        """The vectors of queries, whose inner products with those of items the scores
        are :obj:`[B, D]`; :obj:`None` if they are of another kind.
        """
        return None

    def check(self, interactions: Interactions, name: str) -> Interactions:
        """Interactions on the device of the scores, which must be of its users and
        items.

        Args:
            interactions (Interactions): The interactions.
            name (str): The name that errors call them by.

        Raises:
            ValueError: If they are of others.
        """
        size = interactions.num_users, interactions.num_items
        if size != (self.num_users, self.num_items):
            raise ValueError(
                f"Expected '{name}' of {self.num_users} users and {self.num_items} "
                f"items, as the scorer has (got {size[0]} and {size[1]}); take parts "
                "of one split"
            )
        return interactions.to(self.device)
