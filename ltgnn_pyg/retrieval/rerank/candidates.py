from typing import NamedTuple

import torch
from torch import Tensor


class Candidates(NamedTuple):
    r"""The items that may come into the list of each user, and their scores

    as :func:`~ltgnn_pyg.scorers.top_k` returns them: the best first, short rows
    filled up with score :obj:`-inf` and item :obj:`-1`. A step of re-ranking takes
    candidates, and returns candidates; so it may be any function of the user's own.

    .. code-block:: python

        candidates = Candidates(user, *top_k(vectors, k=200, user=user, exclude=known))

    Args:
        user (torch.Tensor): The users, counted from 0.
        score (torch.Tensor): The scores of the items.
        item (torch.Tensor): The items, counted from 0.

    Shapes:
        :obj:`user` :math:`(Q)`, :obj:`score` and :obj:`item` :math:`(Q, N)`,
        :math:`N \ge 1`
    """

    user: Tensor
    score: Tensor
    item: Tensor

    def check(self, num_items: int) -> None:
        """Checks shapes, and that there are as many items; every step here asks it.

        Args:
            num_items (int): The number of items :math:`I`.

        Raises:
            ValueError: If shapes, types or ranges do not fit.

        *Cost:* :math:`O(Q N)`.
        """
        user, score, item = self
        flat = score.dim() != 2 or score.size(1) == 0
        if flat or score.size() != item.size() or user.dim() != 1:
            raise ValueError(
                "Expected 'user' [Q], 'score' and 'item' [Q, N], N >= 1 (got "
                f"{list(user.size())}, {list(score.size())} and {list(item.size())}); "
                "pass Candidates(user, *top_k(...))"
            )
        if user.numel() != score.size(0):
            raise ValueError(
                f"Expected a user for each of {score.size(0)} lists (got "
                f"{user.numel()}); pass those that were asked for, in their order"
            )
        if item.dtype != torch.long or not score.is_floating_point():
            raise ValueError(
                "Expected 'score' of a floating-point type and 'item' of type int64 "
                f"(got {score.dtype} and {item.dtype}); 'score' goes before 'item'"
            )
        if item.numel() > 0 and (item.min() < -1 or item.max() >= num_items):
            raise ValueError(
                f"Expected items in [0, {num_items}), or -1 where there is none (got "
                f"{int(item.min())} to {int(item.max())}); pass a row for each item"
            )

    def relevance(self) -> Tensor:
        r"""The scores scaled to :math:`[0, 1]` in each list, 0 where there is no item;
        in :obj:`float32` at least.

        *Cost:* :math:`O(Q N)`.
        """
        score = self.score.to(torch.promote_types(self.score.dtype, torch.float32))
        empty = self.item < 0
        low = score.masked_fill(empty, torch.inf).amin(1, keepdim=True)
        high = score.masked_fill(empty, -torch.inf).amax(1, keepdim=True)
        spread = torch.where(high > low, high - low, 1.0)
        return ((score - low) / spread).masked_fill(empty, 0.0)

    def take(self, order: Tensor) -> "Candidates":
        r"""The candidates in another order, or some of them.

        Args:
            order (torch.Tensor): Places in each list, :obj:`-1` for none.

        Shapes:
            :obj:`order` :math:`(Q, k)`

        *Cost:* :math:`O(Q k)`.
        """
        none, at = order < 0, order.clamp(min=0)
        score = self.score.gather(1, at).masked_fill(none, -torch.inf)
        return Candidates(
            self.user, score, self.item.gather(1, at).masked_fill(none, -1)
        )
