r"""The order of interactions: a check that it is one of time, and each place in it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions

ORDERS = ("time", "lines", "random")


def choose_order(
    interactions: Interactions, order: str | None = None, in_order: bool = False
) -> str:
    r"""The order by which held-out interactions are chosen, checked or picked.

    Args:
        interactions (Interactions): The interactions to choose from.
        order (str, optional): :obj:`"time"`, :obj:`"lines"` or :obj:`"random"`. If
            :obj:`None`: time if there are times, else the lines if they are known to
            be in order and are not sorted by item, else random.
            (default: :obj:`None`)
        in_order (bool, optional): If :obj:`True`, lines are known to be in order of
            time. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`order` is none of these, there are no times to go by, or
            the lines are sorted by item.

    *Cost:* :math:`O(E)` and a sort of :math:`E` users for lines, else :math:`O(E)`.
    """
    time = interactions.time
    if order is None:
        if time is not None and len(time) and bool(time.min() < time.max()):
            return "time"
        return "lines" if in_order and not sorted_lines(interactions) else "random"
    if order not in ORDERS:
        raise ValueError(
            f"Expected order to be one of {ORDERS} or None (got {order!r}); choose one"
        )
    if order == "time" and time is None:
        raise ValueError(
            "Expected interactions with 'time' for order='time' (got none); name the "
            "column: read_interactions(..., time='timestamp')"
        )
    if order == "lines":
        check_lines(interactions, "order='lines'", "pass order='random'")
    return order


def check_lines(interactions: Interactions, what: str, way_out: str) -> None:
    r"""Refuses lines that are sorted by item; see :func:`sorted_lines`."""
    if sorted_lines(interactions):
        raise ValueError(
            f"Expected lines in order of time for {what} (got each user's lines sorted "
            f"by item: the last are the highest ids, not the latest); {way_out}, or "
            f"give interactions their 'time'"
        )


def sorted_lines(interactions: Interactions, share: float = 0.95) -> bool:
    r"""True if each user's lines are sorted by item, up or down, and so tell no time.

    Looks at neighbouring lines of one user, both of items that came before in the
    file: were the numbers of items no matter, a next item would be the higher one
    half of the time. The first line of an item is left out, since the numbers may
    have been given in the order of the lines. Lines count as sorted if
    :obj:`share` of these pairs go one way and there are enough of them: disjoint
    ones among them would do so by chance less than once in :math:`10^{9}` files.

    Items may be sorted by index or by raw id; raw ids that are strings as such or by
    their length first, as :obj:`i9` before :obj:`i10`.

    *Cost:* one sort of :math:`E` users and two of :math:`I` raw ids.
    """
    user, item = interactions.user, interactions.item
    line = torch.arange(len(interactions), device=user.device)
    first = torch.full((interactions.num_items,), len(interactions), device=user.device)
    known = first.scatter_reduce(0, item, line, "amin")[item] < line
    perm = user.sort(stable=True).indices
    user, item, known = user[perm], item[perm], known[perm]
    pair = (user[1:] == user[:-1]) & known[1:] & known[:-1]
    # Every other pair of a run of neighbours: at least a half, none sharing a line.
    num_pairs, num_disjoint = int(pair.sum()), int(_every_other(pair).sum())
    if num_disjoint < 60:  # At most 6 of 60 coins tails: P < 1e-10, less for more.
        return False
    for rank in _ranks(interactions):
        rise = rank.to(item.device)[item].diff() > 0
        up = int((rise & pair).sum())
        if max(up, num_pairs - up) >= share * num_pairs:
            return True
    return False


def _every_other(mask: Tensor) -> Tensor:
    place = torch.arange(mask.numel(), device=mask.device)
    start = torch.where(mask, -1, place).cummax(0).values  # the last False before
    return mask & ((place - start) % 2 == 1)


def _ranks(interactions: Interactions) -> list[Tensor]:
    # The place of each item in every order that its lines may be sorted by.
    ids, ranks = interactions.item_ids, [torch.arange(interactions.num_items)]
    if ids is not None:
        perms = [np.argsort(ids, kind="stable")]
        if ids.dtype.kind not in "iu":
            text = ids.astype(str)
            perms.append(np.lexsort((text, np.char.str_len(text))))
        for perm in map(torch.from_numpy, perms):
            ranks.append(torch.empty_like(perm).scatter_(0, perm, ranks[0]))
    return ranks


def rank_within_user(
    user: Tensor,
    num_users: int = 0,
    time: Tensor | None = None,
    seed: int | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The place of each interaction among its user's, and the users' degrees.

    Latest first, by :obj:`time` if it is given; of the same time, and without times,
    the later line is the later. With a :obj:`seed`, at random.

    *Cost:* up to two sorts of :math:`E` keys.
    """
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        perm = torch.randperm(user.numel(), generator=generator).to(user.device)
    else:
        perm = torch.arange(user.numel(), device=user.device).flip(0)
        if time is not None:
            perm = perm[time[perm].sort(descending=True, stable=True).indices]
    perm = perm[user[perm].sort(stable=True).indices]
    degree = torch.bincount(user, minlength=num_users)
    rank = torch.empty_like(user)
    rank[perm] = torch.arange(user.numel(), device=user.device)
    return rank - (degree.cumsum(0) - degree)[user], degree
