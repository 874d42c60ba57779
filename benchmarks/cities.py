r"""The users and items of each city of an expanded set, and their visits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ltgnn_pyg.datasets import Interactions

_BLOCK = 1 << 20  # Interactions in work at a time.
_WINDOW = 64  # Users of like degree that visitors are matched within.


class Rows:
    r"""The rows of the users of a set, sorted by item."""

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


class Cities:
    r"""Copies of a set, each with users and a catalogue, and their interactions.

    See :func:`expand`, whose arguments these are.
    """

    def __init__(
        self,
        source: Rows,
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
                items = _first(self._race(city), source.item_degree, 1.0)
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
        degree, time = self.source.item_degree, self._race(city)
        low, high = 0.0, 64.0
        for _ in range(30):
            power = (low + high) / 2
            items = _first(time, degree, power)[:num]
            short = degree[items].sum() < mass * degree.sum()
            low, high = (power, high) if short else (low, power)
        got = degree[items].sum() / degree.sum()
        if abs(got - mass) > 0.02 * mass + degree.max() / degree.sum():
            least, way = ("most", "more") if got < mass else ("least", "fewer")
            raise ValueError(
                f"Expected num_users and num_items that leave a user {mass:.3f} of the "
                f"interactions of the source (got at {least} {got:.3f} with {num} of "
                f"{len(degree)} items a city); ask for {way} users, {way} items or "
                f"another factor"
            )
        return items

    def _race(self, city: int) -> np.ndarray:
        return np.log(self._rng(1, city).exponential(size=self.source.num_items))

    def blocks(self, city: int) -> Iterator[dict[str, np.ndarray]]:
        r"""The interactions of a city's users, sorted, none repeated: whole rows."""
        # Random numbers are drawn in the order of the interactions, so that they are
        # the same in blocks of any size.
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


def _first(time: np.ndarray, degree: np.ndarray, power: float) -> np.ndarray:
    # All items in the order of a race with speeds degree^power: drawn one by one with
    # probabilities in proportion to that, without replacement.
    return np.argsort(time - power * np.log(np.maximum(degree, 1e-9)), kind="stable")


def _hash(key: np.ndarray, seed: int) -> np.ndarray:
    # The finaliser of splitmix64.
    z = key.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
