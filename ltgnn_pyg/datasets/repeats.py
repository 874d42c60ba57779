r"""Repeated pairs, by sorts of some millions of keys at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

_CHUNK = 1 << 23  # Interactions that are sorted at a time.

Key = Callable[[Tensor | slice], Tensor]


def mark_repeated(key: Key, user: Tensor, num_users: int) -> Tensor:
    r"""The mask of rows whose key occurs earlier.

    Args:
        key (callable): The keys of some rows, of one user each.
        user (torch.Tensor): The user of each row.
        num_users (int): The number of users.
    """
    mask = torch.zeros_like(user, dtype=torch.bool)
    for row in _ranges(user, num_users):
        keys, perm = key(row).sort(stable=True)
        repeated = torch.zeros_like(keys, dtype=torch.bool)
        repeated[perm[1:]] = keys[1:] == keys[:-1]
        mask[row] = repeated
    return mask


def sum_repeated(key: Key, user: Tensor, num_users: int, weight: Tensor) -> Tensor:
    r"""The sum of the weights of all rows of a key, at the first of them; others keep
    theirs. For the other arguments see :func:`mark_repeated`.
    """
    out = weight.clone()
    for row in _ranges(user, num_users):
        keys, perm = key(row).sort(stable=True)
        group = (keys.diff() != 0).long().cumsum(0)
        group = torch.cat([group.new_zeros(min(len(keys), 1)), group])
        first = torch.ones_like(keys, dtype=torch.bool)
        first[1:] = keys[1:] != keys[:-1]
        part = weight[row]
        total = part.new_zeros(int(first.sum())).index_add_(0, group, part[perm])
        part = part.clone()
        part[perm[first]] = total
        out[row] = part
    return out


def _ranges(user: Tensor, num_users: int) -> Iterator[Tensor | slice]:
    # The rows of a range of users, a range after the other.
    if user.numel() <= _CHUNK:
        yield slice(None)
        return
    end = torch.bincount(user, minlength=num_users).cumsum(0)
    step = torch.arange(0, user.numel(), _CHUNK, device=end.device)
    bounds = [*torch.searchsorted(end, step).unique().tolist(), num_users]
    for start, stop in pairwise(bounds):
        inside = (user >= start).logical_and_(user < stop)
        yield inside.nonzero().flatten()
