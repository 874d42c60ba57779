import torch
from torch import Tensor

from ltgnn_pyg.retrieval.rerank.candidates import Candidates


@torch.no_grad()
def boost(candidates: Candidates, bonus: Tensor) -> Candidates:
    r"""Lifts items, *e.g.*, new ones, or pushes them down

    .. math::
        s_{ui} \leftarrow s_{ui} + \beta_i \, (\max_j s_{uj} - \min_j s_{uj})

    by a share of the range of the scores in the list, and ranks anew: a bonus of 0.1 is
    a tenth of the way from the last candidate to the first.

    Args:
        candidates (Candidates): The candidates.
        bonus (torch.Tensor): The bonus of each item :math:`\beta_i`, 0 for none.

    Shapes:
        :obj:`bonus` :math:`(I)`, of a floating-point type

    Raises:
        ValueError: If shapes, types or ranges do not fit, or a bonus is not finite.

    *Cost:* :math:`O(Q N \log N)`.
    """
    if bonus.dim() != 1 or not bonus.is_floating_point() or not bonus.isfinite().all():
        raise ValueError(
            "Expected 'bonus' [I], finite and of a floating-point type (got "
            f"{list(bonus.size())} of {bonus.dtype}); multiply a mask by a number"
        )
    candidates.check(bonus.numel())
    user, score, item = candidates
    empty = item < 0
    spread = score.amax(1, keepdim=True)
    spread = spread - score.masked_fill(empty, torch.inf).amin(1, keepdim=True)
    score = score + bonus[item.clamp(min=0)].to(score.dtype) * spread
    score = score.masked_fill(empty, -torch.inf)
    score, order = score.sort(dim=1, descending=True, stable=True)
    return Candidates(user, score, item.gather(1, order))
