from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions


def k_core(interactions: Interactions, k: int = 10) -> Interactions:
    r"""Keeps the :math:`k`-core of interactions, the usual filter of review data.

    Users and items with fewer than :math:`k` interactions are dropped, and then
    those with fewer than :math:`k` of what is left, until none is: the largest
    part in which every user and every item has at least :math:`k`, as in
    `"Network structure and minimum degree"
    <https://doi.org/10.1016/0378-8733(83)90028-X>`_. Users and items are numbered
    anew in their order; :obj:`user_ids` and :obj:`item_ids` hold what the raw ids
    were, or the indices where there were none.

    Args:
        interactions (Interactions): The interactions. Repeated pairs count as
            often as they stand there; :func:`read_interactions` leaves none.
        k (int, optional): The fewest interactions of a user or an item.
            (default: :obj:`10`)

    Shapes:
        - **output:** :class:`Interactions`, in the order they came in

    Raises:
        ValueError: If :math:`k < 1` or nothing is left.

    *Cost:* each round is linear in the interactions it still holds,
    :math:`O(E + U + I)`; a dozen rounds are common.
    """
    if k < 1:
        raise ValueError(f"Expected k >= 1 (got {k}); leave the filter out instead")
    user, item, index = interactions.user, interactions.item, None
    while True:
        keep = _frequent(user, k) & _frequent(item, k)
        if bool(keep.all()):
            break
        index = keep.nonzero().view(-1) if index is None else index[keep]
        user, item = user[keep], item[keep]
    if user.numel() == 0:
        raise ValueError(
            f"Expected users and items with at least {k} interactions each (got none "
            f"left of {len(interactions)}); lower k"
        )
    out = interactions if index is None else interactions[index]
    for name, old in (("user", user), ("item", item)):
        used = torch.bincount(old, minlength=getattr(out, f"num_{name}s")) > 0
        ids = getattr(out, f"{name}_ids")
        ids = np.arange(used.numel()) if ids is None else ids
        out = replace(
            out,
            **{
                name: (used.cumsum(0) - 1)[old],
                f"num_{name}s": int(used.sum()),
                f"{name}_ids": ids[used.cpu().numpy()],
            },
        )
    return out


def _frequent(index: Tensor, k: int) -> Tensor:
    return (torch.bincount(index) >= k)[index]
