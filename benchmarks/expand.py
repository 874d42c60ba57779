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
    r"""A set of any size made of a real one: copies of it, tied together by travel.

    A randomised Kronecker expansion, in the spirit of `"Scalable Realistic
    Recommendation Datasets through Fractal Expansions"
    <https://arxiv.org/abs/1901.08910>`_, whose seed matrix is heavy on its diagonal.
    City :math:`b` holds a copy :math:`(b, u)` and :math:`(b, i)` of users and items.
    Of each interaction :math:`(u, i)` of the source, user :math:`(b, u)` has

    .. math::
        \begin{cases}
        (b, i) & \text{with probability } 1 - \text{travel} \\
        (c, j), \; j \in \mathcal{N}(\pi_{bc}(u)) & \text{otherwise}
        \end{cases}

    where another city :math:`c` is drawn with probability :math:`\propto 1 / (c + 1)`
    (and to its size), :math:`\pi_{bc}` is a random permutation of users of like degree,
    the same for all interactions, and :math:`j` a random item of that user's row. So
    degrees and local structure are those of the source, each copy differs by chance,
    and a visitor has one taste in each city. A pair that is drawn twice counts once.
    Who finds no such item in a city stays at home.

    With neither :obj:`num_users` nor :obj:`num_items`, all cities are whole but for
    the last, where :obj:`factor` is no whole number: it has a random share of users
    and a like share of items. With them, all cities are of one size: each has random
    users and a catalogue of its own, drawn with a probability that grows with the
    degree of an item such that the interactions left are as many as asked for. In a
    city with a part of the items, some users or items may be left without any.

    The whole is to be split at random: :obj:`split_ratio(out, order="random")`. Its
    order is by user and item, not of time; a :obj:`time` is that of the interaction
    it was made of, and the copies of a user have theirs in common. `docs/expansion.md`
    in the repository has what such a set can and cannot tell.

    Args:
        interactions (Interactions): The source, such as
            :obj:`Interactions.cat(dataset.train, dataset.test)` for both parts of a
            published set. Raw ids are left behind.
        factor (float): The number of interactions over that of the source.
        num_users (int, optional): The number of users. If :obj:`None` and
            :obj:`num_items` is given, :obj:`factor` times the source's.
            (default: :obj:`None`)
        num_items (int, optional): The number of items, likewise.
            (default: :obj:`None`)
        travel (float, optional): The share of interactions in other cities. At
            :obj:`0` the copies are disjoint. (default: :obj:`0.1`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Shapes:
        - **output:** :class:`Interactions` of about :obj:`factor` :math:`\cdot E`
          distinct pairs (within 2 %, for sources of some thousands), sorted by user
          and item

    Raises:
        ValueError: If a number is out of range, the source is empty or has repeated
            pairs, or no catalogue leaves that many interactions.

    *Cost:* :math:`O(E' \log E')` time for :math:`E'` interactions made, in blocks of a
    million; in memory 16 bytes for each of them, those of its time and rating, and
    4 for each item of each city.
    """
    _check(interactions, factor, travel, num_users=num_users, num_items=num_items)
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
    device = interactions.user.device
    tensors = {k: torch.from_numpy(value).to(device) for k, value in out.items()}
    return Interactions(
        tensors["user"],
        tensors["item"],
        int(cities.user_ptr[-1]),
        int(cities.ptr[-1]),
        rating=tensors.get("rating"),
        time=tensors.get("time"),
    )


def _check(
    interactions: Interactions, factor: float, travel: float, **sizes: int | None
) -> None:
    if not (0 < factor < math.inf and 0 <= travel <= 1):
        raise ValueError(
            f"Expected factor > 0 and 0 <= travel <= 1 (got {factor} and {travel}); "
            f"stay within"
        )
    for name, num in sizes.items():
        if num is not None and num < 1:
            raise ValueError(f"Expected {name} >= 1 (got {num}); ask for more")
    if len(interactions) == 0:
        raise ValueError("Expected interactions to copy (got none); read a set first")
    if num := int(interactions.repeated().sum()):
        raise ValueError(
            f"Expected distinct pairs (got {num} repeated); pass duplicates='drop' to "
            f"read_interactions"
        )
