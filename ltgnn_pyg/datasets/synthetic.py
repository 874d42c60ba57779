from __future__ import annotations

import numpy as np
import torch

from ltgnn_pyg.datasets.interactions import Interactions

_CHUNK = 1 << 22
_EMPTY = np.empty(0, np.int64)


def synthetic_interactions(
    num_users: int = 12_000,
    num_items: int = 8_000,
    num_interactions: int = 200_000,
    *,
    num_factors: int | None = None,
    exponent: float = 1.0,
    noise: float = 0.1,
    seed: int = 0,
) -> Interactions:
    r"""Draws interactions with power-law degrees and planted latent factors.

    Pairs are drawn from

    .. math::
        p(u, i) = \pi_u \Big[ (1 - \epsilon) \sum_{f=1}^{F} \theta_{uf}\,
        \phi_{fi} + \epsilon\, \rho_i \Big]

    where activity :math:`\pi` and popularity :math:`\rho` fall with the rank
    :math:`r` as :math:`(r + n/100)^{-s}`, :math:`\theta_u` mixes three random
    factors with :math:`\mathrm{Dirichlet}(1)` weights, and :math:`\phi_f` is
    popularity within the items of factor :math:`f`. Repeated draws are drawn anew.

    By default there are far more factors than a model has columns, so that the leading
    singular vectors of the graph miss most of them and training finds them.

    Args:
        num_users (int, optional): The number of users :math:`U`.
            (default: :obj:`12_000`)
        num_items (int, optional): The number of items :math:`I`.
            (default: :obj:`8_000`)
        num_interactions (int, optional): The number of distinct pairs :math:`E`.
            From :math:`\max(U, I)` on, no user and no item is without one.
            (default: :obj:`200_000`)
        num_factors (int, optional): The number of factors :math:`F`. If :obj:`None`,
            :math:`U I / E`, rounded: a factor has as many items as a user has
            interactions on average. (default: :obj:`None`)
        exponent (float, optional): The exponent :math:`s`; at :obj:`0` all are
            alike. (default: :obj:`1.0`)
        noise (float, optional): The share :math:`\epsilon` of draws that ignore
            the factors. (default: :obj:`0.1`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Shapes:
        - **output:** :class:`Interactions` of :math:`E` pairs, sorted by user and
          item

    Raises:
        ValueError: If a number is out of range.

    *Cost:* :math:`O(E \log E + U + I)` time, :math:`O(E + U + I)` memory.
    """
    num_pairs = num_users * num_items
    if not 1 <= num_interactions <= num_pairs:
        raise ValueError(
            f"Expected 1 <= num_interactions <= num_users * num_items = {num_pairs} "
            f"(got {num_interactions}); draw fewer"
        )
    if num_factors is None:
        num_factors = max(1, round(num_pairs / num_interactions))
    if num_factors < 1 or exponent < 0 or not 0 <= noise <= 1:
        raise ValueError(
            f"Expected num_factors >= 1, exponent >= 0 and 0 <= noise <= 1 (got "
            f"{num_factors}, {exponent} and {noise}); stay within"
        )
    rng = np.random.default_rng(seed)
    model = _FactorModel(num_users, num_items, num_factors, exponent, noise, rng)
    key = model.cover() if num_interactions >= max(num_users, num_items) else _EMPTY
    stalled = False  # the factors are drawn out: the rest is uniform
    while need := num_interactions - len(key):
        if stalled and num_pairs <= 4 * num_interactions:
            free = np.ones(num_pairs, bool)
            free[key] = False
            fresh = np.sort(rng.permutation(np.flatnonzero(free))[:need])
        else:
            fresh = np.empty(need, np.int64)
            for chunk in np.split(fresh, range(_CHUNK, need, _CHUNK)):
                chunk[:] = (
                    rng.integers(num_pairs, size=len(chunk))
                    if stalled
                    else model.draw(len(chunk))
                )
            fresh.sort()
            fresh = fresh[np.r_[True, fresh[1:] != fresh[:-1]]]
        place = np.searchsorted(key, fresh)
        new = np.append(key, -1)[place] != fresh
        key = np.insert(key, place[new], fresh[new])
        stalled = stalled or 8 * int(new.sum()) < need
    user, item = np.divmod(key, num_items)
    return Interactions(
        torch.from_numpy(user), torch.from_numpy(item), num_users, num_items
    )


class _FactorModel:
    # The distribution p(u, i), and pairs drawn from it as keys u * num_items + i.
    def __init__(
        self,
        num_users: int,
        num_items: int,
        num_factors: int,
        exponent: float,
        noise: float,
        rng: np.random.Generator,
    ) -> None:
        self.num_items, self.noise, self.rng = num_items, noise, rng
        self.activity = _power_law(num_users, exponent, rng)
        popularity = _power_law(num_items, exponent, rng)
        self.num_factors = min(num_factors, num_items)
        self.factor = rng.integers(self.num_factors, size=(num_users, 3))
        self.mixture = rng.dirichlet(np.ones(3), num_users).cumsum(1)[:, :2]
        # The items of factor 0, 1, ..., and all items as one factor more.
        factor = rng.permutation(num_items) % self.num_factors
        by_factor = np.argsort(factor, kind="stable")
        self.item = np.r_[by_factor, np.arange(num_items)]
        self.cdf = np.r_[0.0, np.cumsum(popularity[self.item])]
        size = np.bincount(factor, minlength=self.num_factors)
        self.ptr = np.r_[0, np.cumsum(size), 2 * num_items]

    def cover(self) -> np.ndarray:
        # Each user and each item at least once, like factors together.
        num_users = len(self.factor)
        k = np.arange(max(num_users, self.num_items))
        user = np.argsort(self.factor[:, 0], kind="stable")
        user = user[k * num_users // len(k)]
        item = self.item[k * self.num_items // len(k)]
        return np.sort(user * self.num_items + item)

    def draw(self, size: int) -> np.ndarray:
        num_users = len(self.activity)
        user = np.repeat(
            np.arange(num_users), self.rng.multinomial(size, self.activity)
        )
        slot = (self.rng.random((size, 1)) > self.mixture[user]).sum(1)
        factor = self.factor[user, slot]
        factor[self.rng.random(size) < self.noise] = self.num_factors
        first, end = self.ptr[factor], self.ptr[factor + 1]
        low, high = self.cdf[first], self.cdf[end]
        point = low + self.rng.random(size) * (high - low)
        place = np.searchsorted(self.cdf, point, side="right") - 1
        return user * self.num_items + self.item[np.clip(place, first, end - 1)]


def _power_law(size: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    weight = (np.arange(1, size + 1) + size / 100) ** -exponent
    return rng.permutation(weight / weight.sum())
