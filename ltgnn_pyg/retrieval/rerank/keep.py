import torch
from torch import Tensor

from ltgnn_pyg.retrieval.rerank.candidates import Candidates


@torch.no_grad()
def keep(candidates: Candidates, mask: Tensor) -> Candidates:
    r"""Leaves out the items that are not to be shown, *e.g.*, those out of stock.

    The others keep their order and move up; ask for as many candidates as can be
    missed.

    Args:
        candidates (Candidates): The candidates.
        mask (torch.Tensor): Whether to keep an item.

    Shapes:
        :obj:`mask` :math:`(I)`, of type :obj:`bool`

    Raises:
        ValueError: If shapes, types or ranges do not fit.

    *Cost:* :math:`O(Q N \log N)`.
    """
    if mask.dim() != 1 or mask.dtype != torch.bool:
        raise ValueError(
            f"Expected 'mask' [I] of type bool (got {list(mask.size())} of "
            f"{mask.dtype}); pass whether to keep each item"
        )
    candidates.check(mask.numel())
    item = candidates.item
    out = (item < 0) | ~mask[item.clamp(min=0)]
    out, order = out.to(torch.uint8).sort(dim=1, stable=True)
    return candidates.take(order.masked_fill(out > 0, -1))
