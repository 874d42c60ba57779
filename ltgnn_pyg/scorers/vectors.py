from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.scorer import Scorer


@dataclass(frozen=True, eq=False)
class Vectors(Scorer):
    r"""A vector for each user and item, and a bias for each item

    .. math::
        s_{ui} = \mathbf{z}_u^{\top} \mathbf{z}_i + b_i

    Lists, indexes and re-ranking take vectors and know no model. They are checked
    once, here.

    .. code-block:: python

        vectors = Vectors(user, item)
        scores, items = top_k(vectors, k=20)

    Args:
        user (torch.Tensor): The vectors of users :math:`\mathbf{z}_u`.
        item (torch.Tensor): The vectors of items :math:`\mathbf{z}_i`.
        item_bias (torch.Tensor, optional): The biases of items :math:`b_i`.
            (default: :obj:`None`)

    Shapes:
        :obj:`user` :math:`(U, D)`, :obj:`item` :math:`(I, D)` with
        :math:`I \ge 1`, :obj:`item_bias` :math:`(I)`

    Raises:
        ValueError: If shapes, types or devices do not fit, or if a number is NaN
            or inf.

    *Cost:* One pass over the numbers to check them; no copy.
    """

    user: Tensor
    item: Tensor
    item_bias: Tensor | None = None

    def __post_init__(self) -> None:
        user, item, bias = self.user, self.item, self.item_bias
        if user.dim() != 2 or item.dim() != 2 or user.size(1) != item.size(1):
            raise ValueError(
                f"Expected 'user' [U, D] and 'item' [I, D] (got {list(user.size())} "
                f"and {list(item.size())}); pass rows of one length"
            )
        if item.size(0) == 0:
            raise ValueError("Expected at least one item (got none); pass its vector")
        if bias is not None and list(bias.size()) != [item.size(0)]:
            raise ValueError(
                f"Expected 'item_bias' [{item.size(0)}], a number for each item (got "
                f"{list(bias.size())}); flatten it"
            )
        given = {"user": user, "item": item}
        if bias is not None:
            given["item_bias"] = bias
        for name, value in given.items():
            if value.dtype != user.dtype or not value.is_floating_point():
                raise ValueError(
                    f"Expected one floating-point type (got '{name}' of {value.dtype} "
                    f"and 'user' of {user.dtype}); convert one of them"
                )
            if value.device != user.device:
                raise ValueError(
                    f"Expected one device (got '{name}' on {value.device} and 'user' "
                    f"on {user.device}); move one of them"
                )
            if not value.isfinite().all():
                raise ValueError(
                    f"Expected finite '{name}' (got NaN or inf); look for where "
                    "training diverged"
                )

    @property
    def num_users(self) -> int:
        """The number of users :math:`U`."""
        return self.user.size(0)

    @property
    def num_items(self) -> int:
        """The number of items :math:`I`."""
        return self.item.size(0)

    @property
    def device(self) -> torch.device:
        """The device of the vectors."""
        return self.user.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the scores, :obj:`float32` at least."""
        return torch.promote_types(self.user.dtype, torch.float32)

    @property
    def dim(self) -> int:
        """The length of a vector :math:`D`."""
        return self.user.size(1)

    def to(self, device_or_dtype: torch.device | str | torch.dtype) -> "Vectors":
        """The same numbers on another device or in another type."""
        bias = self.item_bias
        return Vectors(
            self.user.to(device_or_dtype),
            self.item.to(device_or_dtype),
            None if bias is None else bias.to(device_or_dtype),
        )

    def normalize(self) -> "Vectors":
        r"""Unit vectors without biases, whose scores are cosines, in
        :obj:`float32` at least; vectors of zeros stay.
        """
        user, item = self.user.to(self.dtype), self.item.to(self.dtype)
        return Vectors(normalize(user), normalize(item))

    @property
    def as_vectors(self) -> "Vectors":
        """They themselves."""
        return self

    def vectors_of(self, query: Query) -> Tensor:
        """The vectors of users.

        Raises:
            ValueError: If the query is of more than users.
        """
        if query.user is None or query.items is not None:
            raise ValueError(
                "Expected users alone (got items that somebody has taken); fold them "
                "in with 'ltgnn_pyg.scorers.FoldIn', as 'model.scorer(graph)' does"
            )
        return self.user[query.user]

    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        r"""Scores all items for some users, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.

        Raises:
            ValueError: If the query is of more than users.

        *Cost:* :math:`O(B I D)`.
        """
        return self.score_rows(self.vectors_of(query), out)

    def score_rows(self, row: Tensor, out: Tensor | None = None) -> Tensor:
        """Scores all items for the vectors of users.

        Args:
            row (torch.Tensor): The vectors :obj:`[B, D]`.
            out (torch.Tensor, optional): See :meth:`score`. (default: :obj:`None`)
        """
        row, item = row.to(self.dtype), self.item.to(self.dtype)
        if self.item_bias is None:
            return torch.mm(row, item.t(), out=out)
        return torch.addmm(self.item_bias.to(self.dtype), row, item.t(), out=out)
