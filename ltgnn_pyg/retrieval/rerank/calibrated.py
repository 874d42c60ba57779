from typing import SupportsIndex

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg.retrieval.rerank.candidates import Candidates
from ltgnn_pyg.retrieval.rerank.greedy import (
    Add,
    check_lam,
    check_rows,
    greedy,
    row_of,
)

ALPHA = 0.01  #: The paper's: how much of p is in q, so that no share of it is zero.


@torch.no_grad()
def calibrated(
    candidates: Candidates,
    item_category: Tensor,
    seen: tuple[Tensor, Tensor],
    *,
    k: SupportsIndex,
    lam: float,
) -> Candidates:
    r"""Lists whose categories have the shares that they have in what a user has taken,
    of `"Calibrated Recommendations" <https://doi.org/10.1145/3240323.3240372>`_ (Steck,
    RecSys 2018): next comes

    .. math::
        \underset{i \notin S}{\mathrm{arg\,max}} \; \lambda
        \sum_{j \in S \cup \{i\}} \tilde{s}_j - (1 - \lambda) \,
        \mathrm{KL} \left( p(\cdot | u) \, \| \, (1 - \alpha) \,
        q(\cdot | S \cup \{i\}) + \alpha \, p(\cdot | u) \right)

    where :math:`p(g | u)` is the mean share of category :math:`g` over the items with
    categories that the user has taken, :math:`q(g | S)` that over the list,
    :math:`\alpha = 0.01`, and :math:`\tilde{s}` the scores of the list scaled to
    :math:`[0, 1]`.
    :math:`\lambda` weighs the score as it does in
    :func:`~ltgnn_pyg.retrieval.rerank.mmr`; that of the paper is :math:`1 - \lambda`.
    The list of a user who has taken nothing of a category is by score.

    Args:
        candidates (Candidates): The candidates, some hundreds for a list of twenty.
        item_category (torch.Tensor): The categories of each item, as 0 and 1 or as
            weights, which are scaled to shares; zeros if an item has none.
        seen (tuple): What each user has taken, :obj:`(rowptr, col)` over users and
            items, as the :obj:`exclude` of :func:`~ltgnn_pyg.scorers.top_k`.
        k (int): The length of the lists.
        lam (float): The weight of the score :math:`\lambda`. At 1 the order stays.

    Returns:
        The lists :obj:`[Q, k]` in the order of choice, with the scores they came with.

    Shapes:
        :obj:`item_category` :math:`(I, G)`, :obj:`seen` :math:`(U + 1), (E)`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit.

    *Cost:* :math:`O(k Q N G)`, and :math:`O(G)` for each item that a user has taken.
    """
    check_rows("item_category", item_category)
    if item_category.numel() > 0 and item_category.min() < 0:
        raise ValueError(
            "Expected 'item_category' with weights that are not negative (got "
            f"{float(item_category.min()):.4g}); pass 0 where an item has none"
        )
    check_lam(lam)
    candidates.check(item_category.size(0))
    user, (rowptr, col) = candidates.user, seen
    if user.numel() > 0 and (user.min() < 0 or user.max() >= rowptr.numel() - 1):
        raise ValueError(
            f"Expected users in [0, {rowptr.numel() - 1}), those of 'seen' (got "
            f"{int(user.min())} to {int(user.max())}); pass (rowptr, col) of all users"
        )

    def share(item: Tensor, dtype: torch.dtype) -> Tensor:
        return normalize(item_category[item].to(dtype), p=1.0, dim=-1)

    def start(part: Candidates) -> tuple[Tensor, Add]:
        relevance = part.relevance()
        row = share(part.item.clamp(min=0), relevance.dtype)
        of_user, taken = _taken(part.user, rowptr, col)
        p = row.new_zeros(row.size(0), row.size(2))
        p = normalize(p.index_add_(0, of_user, share(taken, row.dtype)), p=1.0)
        total, num = torch.zeros_like(p), 0

        def worth() -> Tensor:
            q = (total.unsqueeze(1) + row) / (num + 1)
            q = (1.0 - ALPHA) * q + ALPHA * p.unsqueeze(1)
            # The divergence but for what is the same for all, sum p log p:
            divergence = -torch.xlogy(p.unsqueeze(1), q).sum(-1)
            return lam * relevance - (1.0 - lam) * divergence

        def add(pick: Tensor) -> Tensor:
            nonlocal total, num
            total, num = total + row_of(row, pick).squeeze(1), num + 1
            return worth()

        return worth(), add

    return greedy(candidates, k, start, item_category.size(1))


def _taken(user: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """The items that users have taken: places in :obj:`user`, and items."""
    count = rowptr[user + 1] - rowptr[user]
    row = torch.arange(user.numel(), device=user.device).repeat_interleave(count)
    offset = (rowptr[user] - count.cumsum(0) + count)[row]
    return row, col[offset + torch.arange(row.numel(), device=user.device)]
