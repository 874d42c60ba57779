from collections.abc import Callable
from operator import index as as_int
from typing import SupportsIndex

import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

from ltgnn_pyg.retrieval.rerank.candidates import Candidates

CHUNK_BYTES = 2**23  #: The rows of a chunk of lists: they stay in the cache.

Add = Callable[[Tensor], Tensor]


def greedy(
    candidates: Candidates,
    k: SupportsIndex,
    start: Callable[[Candidates], tuple[Tensor, Add]],
    dim: int,
) -> Candidates:
    r"""Chooses :math:`k` items for each list one by one, always the one that is worth
    the most beside those chosen before.

    Lists are taken a chunk at a time. One with fewer candidates is filled up, as by
    :func:`~ltgnn_pyg.scorers.top_k`.

    Args:
        candidates (Candidates): The candidates.
        k (int): The length of the lists.
        start (Callable): Of a chunk of candidates, what each is worth at first
            :obj:`[B, N]`, and a function of the places of the items that were chosen
            next :obj:`[B, 1]`, which returns what each is worth after that.
        dim (int): The numbers that :obj:`start` holds for each candidate.

    *Cost:* That of :math:`k` calls, and :math:`O(k Q N)`.
    """
    k = as_int(k)
    if k < 1:
        raise ValueError(f"Expected 'k' >= 1 (got {k}); pass the length of the lists")
    num_lists, num = candidates.item.size()
    order = candidates.item.new_full((num_lists, k), -1)
    step = max(CHUNK_BYTES // (4 * max(num * dim, 1)), 1)
    for first in range(0, num_lists, step):
        part = Candidates(*(each[first : first + step] for each in candidates))
        worth, add = start(part)
        closed = part.item < 0
        for rank in range(min(k, num)):
            pick = worth.masked_fill(closed, -torch.inf).argmax(1, keepdim=True)
            found = pick.masked_fill(closed.gather(1, pick), -1)
            order[first : first + step, rank] = found.squeeze(1)
            closed.scatter_(1, pick, True)
            if rank + 1 < min(k, num):
                worth = add(pick)
    return candidates.take(order)


def unit_rows(item_vector: Tensor, part: Candidates) -> Tensor:
    """The rows of candidates at length one, in the type of their scores, rows of zeros
    as they are, :obj:`[B, N, D]`.
    """
    dtype = torch.promote_types(part.score.dtype, torch.float32)
    row = embedding(part.item.clamp(min=0), item_vector)  # Faster than an index.
    return normalize(row.to(dtype), dim=-1)


def row_of(row: Tensor, pick: Tensor) -> Tensor:
    """The rows at some places, :obj:`[B, 1, D]`."""
    return row.gather(1, pick.unsqueeze(-1).expand(-1, -1, row.size(-1)))


def check_rows(name: str, row: Tensor) -> None:
    """Checks a table of items."""
    if row.dim() != 2 or not row.is_floating_point():
        raise ValueError(
            f"Expected '{name}' [I, D] of a floating-point type (got "
            f"{list(row.size())} of {row.dtype}); pass a row for each item"
        )


def check_lam(lam: float) -> None:
    """Checks a weight of the score."""
    if not 0.0 <= lam <= 1.0:
        raise ValueError(f"Expected 'lam' in [0, 1] (got {lam}); 1 keeps the order")
