"""A set of any size, made of a real one."""

from __future__ import annotations

import math

import numpy as np
import torch
from cities import Cities, Rows

from ltgnn_pyg.datasets import Interactions


def expand(
    interactions: Interactions,
    factor: float,
    *,
    num_users: int | None = None,
    num_items: int | None = None,
    travel: float = 0.1,
    seed: int = 0,
) -> Interactions:
    """A set of any size made of a real one: copies of it, tied together by travel, as
    docs/expansion.md says. With neither `num_users` nor `num_items` all cities are
    whole but for the last; else all are of one size. It is to be split at random: its
    order is by user and item, and copies of a user have their times in common.

    Args:
        interactions (Interactions): The source, of distinct pairs.
        factor (float): The number of interactions over that of the source.
        num_users (int, optional): The number of users; `factor` times the source's if
            only `num_items` is given.
        num_items (int, optional): The number of items, likewise.
        travel (float): The share of interactions in other cities; at 0 the copies are
            disjoint.
        seed (int): The seed.

    Cost: O(E log E) time for the E interactions made, in blocks of a million; 16 bytes
    of memory for each of them, and 4 for each item of each city.
    """
    _check(interactions, factor, travel, num_users, num_items)
    source = Rows(interactions)
    cities = Cities(source, factor, num_users, num_items, travel, seed)
    values = {"user": np.dtype(np.int64), "item": np.dtype(np.int64)}
    values |= {name: value.dtype for name, value in source.values.items()}
    # More than will be filled: what stays untouched takes no memory.
    out = {name: np.empty(cities.capacity, dtype) for name, dtype in values.items()}
    end = 0
    for city in range(cities.num):
        for block in cities.blocks(city):
            start, end = end, end + len(block["user"])
            for name, value in block.items():
                out[name][start:end] = value
    for value in out.values():
        value.resize(end, refcheck=False)
    size = {"num_users": int(cities.user_ptr[-1]), "num_items": int(cities.ptr[-1])}
    return Interactions(**{k: torch.from_numpy(v) for k, v in out.items()}, **size)


def _check(
    interactions: Interactions, factor: float, travel: float, *sizes: int | None
) -> None:
    least = min((size for size in sizes if size is not None), default=1)
    if not (0 < factor < math.inf and 0 <= travel <= 1 <= least):
        raise ValueError(
            f"Expected factor > 0, 0 <= travel <= 1 and sizes of at least 1 (got "
            f"{factor}, {travel} and {sizes})"
        )
    if len(interactions) == 0:
        raise ValueError("Expected interactions to copy (got none); read a set first")
    if num := int(interactions.repeated().sum()):
        raise ValueError(
            f"Expected distinct pairs (got {num} repeated); pass duplicates='drop' to "
            f"read_interactions"
        )
