from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.order import ORDERS, choose_order, rank_within_user

TRAIN, VAL, TEST = 0, 1, 2


@dataclass(eq=False)
class Split:
    r"""Interactions to train on, to choose by and to report on.

    The graph to train on is :obj:`Graph.from_interactions(split.train)`. :obj:`val` and
    :obj:`test` keep interactions whose user or item has no training edge. All parts
    have the same users and items, and keep raw ids, ratings, times and the order of
    their lines.

    Args:
        train (Interactions): The interactions to train on.
        val (Interactions): The interactions to choose a model by; may be empty.
        test (Interactions): The interactions to report on.
        order (str, optional): The way held-out interactions were chosen: the last of
            each user by :obj:`"time"` or by :obj:`"lines"`, or :obj:`"random"` ones.
            (default: :obj:`"random"`)
        disliked (Interactions, optional): Explicit negatives, such as of
            :meth:`Interactions.split_by_rating`: they are in no part, and no list shows
            them. (default: :obj:`None`)

    Raises:
        ValueError: If the parts differ in their users or items, or :obj:`order` is
            none of these.
    """

    train: Interactions
    val: Interactions
    test: Interactions
    order: str = "random"
    disliked: Interactions | None = None

    def __post_init__(self) -> None:
        parts = [self.train, self.val, self.test]
        if self.disliked is not None:
            parts.append(self.disliked)
        sizes = [(part.num_users, part.num_items) for part in parts]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"Expected parts with the same users and items (got {sizes}); use "
                f"split_given, or pass them through align_ids"
            )
        if self.order not in ORDERS:
            raise ValueError(
                f"Expected order to be one of {ORDERS} (got {self.order!r}); choose one"
            )

    @property
    def known(self) -> Interactions:
        r"""All but the test part: the training interactions, then the validation's.

        *Cost:* :math:`O(E + U + I)`.
        """
        return Interactions.cat(self.train, self.val)

    @property
    def train_seen(self) -> Interactions:
        r"""The pairs that no list of the validation part shows: those of training, and
        those disliked.

        *Cost:* :math:`O(E + U + I)`.
        """
        return self._with_disliked(self.train)

    @property
    def seen(self) -> Interactions:
        r"""The pairs that no list shows in the end: those :attr:`known`, and those
        disliked.

        *Cost:* :math:`O(E + U + I)`.
        """
        return self._with_disliked(self.known)

    def _with_disliked(self, part: Interactions) -> Interactions:
        if self.disliked is None:
            return part
        return Interactions.cat(part, self.disliked)


def split_ratio(
    interactions: Interactions,
    test_ratio: float = 0.2,
    val_ratio: float = 0.1,
    order: str | None = None,
    seed: int = 0,
) -> Split:
    r"""Splits each user's interactions in their order, or at random.

    Of a user's :math:`d` interactions, :math:`\lfloor r d + 1/2 \rfloor` go to
    each part of share :math:`r`, first to test, then to validation, as long as
    one is left to train on.

    Args:
        interactions (Interactions): The interactions.
        test_ratio (float, optional): The share of each user's interactions to
            test on. (default: :obj:`0.2`)
        val_ratio (float, optional): The share of each user's interactions to
            validate on. (default: :obj:`0.1`)
        order (str, optional): :obj:`"time"` tests on the last of each user and
            validates on those before by :obj:`interactions.time` (of the same time,
            the later line is the later), :obj:`"lines"` by the order of lines,
            :obj:`"random"` at random. If :obj:`None`, by time if there are times, else
            at random: lines are never taken for an order of time unasked.
            (default: :obj:`None`)
        seed (int, optional): The seed of a random split. (default: :obj:`0`)

    Raises:
        ValueError: If a pair is repeated, a share is out of range, or the
            interactions are not of that order: without times, or with each user's
            lines sorted by item.

    *Cost:* :math:`O(E \log E)`.
    """
    check_ratio(test_ratio=test_ratio, val_ratio=val_ratio)
    order = choose_order(interactions, order)
    place, degree = rank(interactions, order, seed)
    num_test = share(degree, test_ratio)
    num_held = num_test + share(degree, val_ratio, num_test)
    return _cut_by_rank(interactions, place, num_test, num_held, order)


def split_leave_one_out(
    interactions: Interactions,
    val: bool = True,
    order: str | None = None,
    seed: int = 0,
) -> Split:
    r"""Tests on the last interaction of each user and validates on the one
    before.

    A user of one interaction only trains on it; of two, has none to validate on.

    Args:
        interactions (Interactions): The interactions.
        val (bool, optional): If :obj:`False`, validation is empty.
            (default: :obj:`True`)
        order (str, optional): The order of the last: :obj:`"time"`, :obj:`"lines"` or
            :obj:`"random"`, as in :func:`split_ratio`. (default: :obj:`None`)
        seed (int, optional): The seed of a random split. (default: :obj:`0`)

    Raises:
        ValueError: If a pair is repeated, or the interactions are not of that order:
            without times, or with each user's lines sorted by item.

    *Cost:* :math:`O(E \log E)`.
    """
    order = choose_order(interactions, order)
    place, degree = rank(interactions, order, seed)
    num_test = (degree - 1).clamp(0, 1)
    num_held = (degree - 1).clamp(0, 2) if val else num_test
    return _cut_by_rank(interactions, place, num_test, num_held, order)


def split_temporal(
    interactions: Interactions,
    test_ratio: float = 0.1,
    val_ratio: float = 0.1,
) -> Split:
    r"""Splits all interactions at two moments in time.

    Test starts at the time of the first of the last
    :math:`\lfloor \text{test\_ratio} \cdot E + 1/2 \rfloor` interactions,
    validation likewise before it. Interactions of the same time stay together, in
    the later part: no training interaction is as late as one that is held out.

    Args:
        interactions (Interactions): The interactions, with :obj:`time`.
        test_ratio (float, optional): The share of interactions to test on.
            (default: :obj:`0.1`)
        val_ratio (float, optional): The share of interactions to validate on.
            (default: :obj:`0.1`)

    Raises:
        ValueError: If there are no times, a pair is repeated, a share is out of
            range, or no training interaction is left.

    *Cost:* :math:`O(E \log E)`.
    """
    check_ratio(test_ratio=test_ratio, val_ratio=val_ratio)
    order = choose_order(interactions, "time")
    time, num = interactions.time, len(interactions)
    assert time is not None
    ordered = time.sort().values
    part = torch.full_like(interactions.user, TRAIN)
    for label, ratio in ((VAL, test_ratio + val_ratio), (TEST, test_ratio)):
        start = num - int(ratio * num + 0.5)
        if start < num:
            part[time >= ordered[start]] = label
    return _cut(interactions, part, order)


def rank(interactions: Interactions, order: str, seed: int) -> tuple[Tensor, Tensor]:
    r"""The place of each interaction among its user's, the latest first, and the users'
    degrees.
    """
    return rank_within_user(
        interactions.user,
        interactions.num_users,
        interactions.time if order == "time" else None,
        seed if order == "random" else None,
    )


def _cut_by_rank(
    interactions: Interactions,
    place: Tensor,
    num_test: Tensor,
    num_held: Tensor,
    order: str,
) -> Split:
    user = interactions.user
    part = torch.full_like(user, TRAIN)
    part[place < num_held[user]] = VAL
    part[place < num_test[user]] = TEST
    return _cut(interactions, part, order)


def _cut(interactions: Interactions, part: Tensor, order: str) -> Split:
    # Pairs (of one behaviour) are distinct and each has one part, so the graph, made of
    # the training part alone, cannot hold a pair of another part.
    check_distinct(interactions, interactions.repeated())
    train, val, test = (interactions[part == label] for label in (TRAIN, VAL, TEST))
    check_left(len(train), len(interactions))
    return Split(train, val, test, order)


def check_distinct(interactions: Interactions, repeated: Tensor) -> None:
    r"""Refuses repeated pairs."""
    if bool(repeated.any()):
        first = int(repeated.nonzero()[0])
        raise ValueError(
            f"Expected distinct pairs (got {int(repeated.sum())} repeated, first "
            f"user {int(interactions.user[first])} with item "
            f"{int(interactions.item[first])}); pass duplicates='drop' to "
            f"read_interactions or split_given"
        )


def check_left(num_train: int, num: int) -> None:
    r"""Refuses a split that leaves none to train on."""
    if num_train == 0:
        raise ValueError(
            f"Expected interactions to train on (got 0 of {num}); hold out less"
        )


def share(degree: Tensor, ratio: float, taken: Tensor | int = 0) -> Tensor:
    r"""The number of each user's interactions to hold out, so that one is left."""
    num = (ratio * degree.double() + 0.5).long()
    return torch.minimum(num, degree - 1 - taken).clamp(min=0)


def check_ratio(**ratios: float) -> None:
    r"""Refuses shares that leave nothing."""
    if min(ratios.values()) < 0 or sum(ratios.values()) >= 1:
        raise ValueError(
            f"Expected shares >= 0 with a sum < 1 (got {ratios}); leave a part to "
            f"train on"
        )
