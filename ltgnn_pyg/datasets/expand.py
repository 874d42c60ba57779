from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from ltgnn_pyg.datasets.interactions import Interactions

_BLOCK = 1 << 20  # Interactions in work at a time.
_WINDOW = 64  # Users of like degree that visitors are matched within.


def expand(
    interactions: Interactions,
    factor: float,
    *,
    num_users: int | None = None,
    num_items: int | None = None,
    travel: float = 0.2,
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
    degree of an item such that the interactions left are as many as asked for.

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
            :obj:`0` the copies are disjoint. (default: :obj:`0.2`)
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
    source = _Source(interactions)
    cities = _Cities(source, factor, num_users, num_items, travel, seed)
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


class _Source:
    # The rows of the users, sorted by item, and the users by degree.
    def __init__(self, interactions: Interactions) -> None:
        self.num_users, self.num_items = interactions.num_users, interactions.num_items
        user, item = interactions.user.cpu().numpy(), interactions.item.cpu().numpy()
        perm = np.lexsort((item, user))
        self.item = item[perm]
        self.degree = np.bincount(user, minlength=self.num_users)
        self.item_degree = np.bincount(item, minlength=self.num_items)
        self.ptr = np.cumsum(self.degree) - self.degree
        self.values = {}
        for name in ("rating", "time"):
            value = getattr(interactions, name)
            if value is not None:
                self.values[name] = value.cpu().numpy()[perm]


class _Cities:
    # Who and what is in each city, and the interactions of its users.
    def __init__(
        self,
        source: _Source,
        factor: float,
        num_users: int | None,
        num_items: int | None,
        travel: float,
        seed: int,
    ) -> None:
        self.source, self.travel, self.seed = source, travel, seed
        U, I = source.num_users, source.num_items
        users, chosen = [], []
        if num_users is None and num_items is None:
            for city in range(math.ceil(factor)):
                share = min(factor - city, 1.0)
                items = _by_degree(source.item_degree, 1.0, self._rng(1, city))
                mass = source.item_degree[items].cumsum() / len(source.item)
                if city > 0:  # Those who travel from the last city find everything.
                    mass = mass + travel * (1 - mass)
                kept = np.arange(1, I + 1) / I * mass  # With so many of both sides.
                num = min(int(np.searchsorted(kept, share)) + 1, I)
                users.append(max(1, round(U * num / I)))
                chosen.append(items[:num])
        else:
            num_users = round(factor * U) if num_users is None else num_users
            num_items = round(factor * I) if num_items is None else num_items
            num = max(-(-num_users // U), -(-num_items // I))
            mass = factor * U / num_users
            if num > 1 and travel > 0:  # As mass + travel * mass * (1 - mass) is left.
                root = math.sqrt(max(0.0, (1 + travel) ** 2 - 4 * travel * mass))
                mass = (1 + travel - root) / (2 * travel)
            for city in range(num):
                users.append(num_users // num + (city < num_users % num))
                size = num_items // num + (city < num_items % num)
                chosen.append(self._catalogue(city, size, mass))
        self.num = len(users)
        self.user_ptr = np.r_[0, np.cumsum(users)]
        self.ptr = np.r_[0, np.cumsum([len(items) for items in chosen])]
        # The number of each item in each city, -1 if it is not there.
        self.index = np.full((self.num, I), -1, np.int32)
        weight = np.empty(self.num)
        for city, items in enumerate(chosen):
            self.index[city, np.sort(items)] = np.arange(len(items))
            mass = source.item_degree[items].sum() / len(source.item)
            weight[city] = mass * users[city] / U / (city + 1)
        self.weight = weight
        self.capacity = sum(
            int(source.degree[self._users(city)].sum()) for city in range(self.num)
        )
        # Users in the order of their degree, in windows of like ones.
        num = max(1, U // _WINDOW)
        perm = self._rng(0).permutation(U)
        self.by_degree = perm[np.argsort(source.degree[perm], kind="stable")]
        self.rank = np.empty(U, np.int64)
        self.rank[self.by_degree] = np.arange(U)
        self.window_ptr = np.arange(num + 1) * U // num

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([*stream, self.seed])

    def _users(self, city: int) -> np.ndarray:
        num = self.user_ptr[city + 1] - self.user_ptr[city]
        perm = self._rng(2, city).permutation(self.source.num_users)
        return np.sort(perm[:num])

    def _catalogue(self, city: int, num: int, mass: float) -> np.ndarray:
        # The power of the degree at which the items chosen have the mass asked for.
        degree = self.source.item_degree
        low, high = 0.0, 64.0
        for _ in range(40):
            middle = (low + high) / 2
            items = _by_degree(degree, middle, self._rng(1, city))[:num]
            short = degree[items].sum() < mass * degree.sum()
            low, high = (middle, high) if short else (low, middle)
        got = degree[items].sum() / degree.sum()
        if abs(got - mass) > 0.02 * mass + 1 / num:
            way = "more users, more items" if got < mass else "fewer users, fewer items"
            raise ValueError(
                f"Expected num_users and num_items that leave a user "
                f"{mass:.3f} of the interactions of the source (got at "
                f"{'most' if got < mass else 'least'} {got:.3f} with {num} of "
                f"{len(degree)} items a city); ask for {way} or another factor"
            )
        return items

    def blocks(self, city: int) -> Iterator[dict[str, np.ndarray]]:
        # Whole rows, sorted and without repeated pairs. Random numbers are drawn in
        # the order of the interactions, so that blocks of any size are the same.
        source, rng = self.source, self._rng(3, city)
        users = self._users(city)
        degree = source.degree[users]
        ptr = np.r_[0, degree.cumsum()]
        cuts = np.searchsorted(ptr, np.arange(_BLOCK, ptr[-1], _BLOCK))
        cuts = np.unique(np.r_[0, cuts, len(users)])
        for first, last in pairwise(cuts):
            row = np.repeat(np.arange(first, last), degree[first:last])
            place = np.arange(ptr[first], ptr[last]) - ptr[row]
            edge = source.ptr[users[row]] + place
            home, drawn = np.full(len(row), city), edge.copy()
            chance = rng.random((len(row), 2))
            away = (chance[:, 0] < self.travel).nonzero()[0]
            if self.num > 1 and len(away):
                home[away], drawn[away] = self._visit(
                    city, users[row[away]], edge[away], place[away], chance[away]
                )
            index = self.index[home, source.item[drawn]]
            key = (self.user_ptr[city] + row) * self.ptr[-1] + self.ptr[home] + index
            perm = (index >= 0).nonzero()[0]
            perm = perm[np.argsort(key[perm], kind="stable")]
            key = key[perm]
            new = np.r_[True, key[1:] != key[:-1]][: len(key)]
            perm, key = perm[new], key[new]
            user, item = np.divmod(key, self.ptr[-1])
            block = {"user": user, "item": item}
            for name, value in source.values.items():
                # A rating is of the item that was drawn, a time of the visitor.
                block[name] = value[(drawn if name == "rating" else edge)[perm]]
            yield block

    def _visit(
        self,
        city: int,
        user: np.ndarray,
        edge: np.ndarray,
        place: np.ndarray,
        chance: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        # Where each interaction goes, and which one of the source it is there.
        others = np.delete(np.arange(self.num), city)
        cdf = np.cumsum(self.weight[others])
        slot = np.searchsorted(cdf, chance[:, 0] / self.travel * cdf[-1], side="right")
        where = others[np.minimum(slot, len(others) - 1)]
        # The user of the same window, so many places on as hashed for both cities.
        rank, num = self.rank[user], len(self.window_ptr) - 1
        window = np.searchsorted(self.window_ptr, rank, side="right") - 1
        start = self.window_ptr[window]
        size = self.window_ptr[window + 1] - start
        pair = (city * self.num + where) * num + window
        shift = (_hash(pair, self.seed) % size.astype(np.uint64)).astype(np.int64)
        like = self.by_degree[start + (rank - start + shift) % size]
        # Its row is cut into as many strata as the visitor's, one for each place.
        degree = self.source.degree
        slot = ((place + chance[:, 1]) * degree[like] / degree[user]).astype(np.int64)
        drawn = self.source.ptr[like] + np.minimum(slot, degree[like] - 1)
        drawn = np.where(degree[like] > 0, drawn, edge)
        there = (degree[like] > 0) & (self.index[where, self.source.item[drawn]] >= 0)
        return np.where(there, where, city), np.where(there, drawn, edge)


def _by_degree(
    degree: np.ndarray, power: float, rng: np.random.Generator
) -> np.ndarray:
    # All items in the order of a race that degree^power runs: without replacement.
    time = np.log(rng.exponential(size=len(degree)))
    return np.argsort(time - power * np.log(np.maximum(degree, 1e-9)), kind="stable")


def _hash(key: np.ndarray, seed: int) -> np.ndarray:
    # The finaliser of splitmix64.
    z = key.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


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
