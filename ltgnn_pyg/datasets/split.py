from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric.data import Data

from ltgnn_pyg.datasets.interactions import Interactions, align_ids

TRAIN, VAL, TEST = 0, 1, 2


@dataclass(eq=False)
class Split:
    r"""The interactions of each part, as node pairs.

    :obj:`train` holds exactly the edges of the graph that is returned beside the
    split. :obj:`val` and :obj:`test` keep pairs whose user or item has no
    training edge.

    Args:
        train (torch.Tensor): The pairs to train on.
        val (torch.Tensor): The pairs to choose a model by; may be empty.
        test (torch.Tensor): The pairs to report on.

    Shapes:
        - **train**, **val**, **test**: :math:`(2, *)`: users, then items with
          the offset :math:`U`
    """

    train: Tensor
    val: Tensor
    test: Tensor


def split_given(
    train: Interactions,
    test: Interactions,
    val_ratio: float = 0.0,
    seed: int | None = 0,
    duplicates: str = "error",
) -> tuple[Data, Split]:
    r"""Keeps a published split into training and test interactions.

    Of a user's :math:`d` training interactions,
    :math:`\min(\lfloor \text{val\_ratio} \cdot d + 1/2 \rfloor, d - 1)` move to
    validation, so that each user keeps a training edge: random ones, or the last
    ones.

    Args:
        train (Interactions): The training interactions.
        test (Interactions): The test interactions. Raw ids are united by
            :func:`align_ids`.
        val_ratio (float, optional): The share of each user's training
            interactions to validate on. (default: :obj:`0.0`)
        seed (int, optional): The seed of the validation part. :obj:`None` takes the
            last interactions of each user, in the order of :obj:`train`: closer to
            the test part where the files are in order of time. (default: :obj:`0`)
        duplicates (str, optional): If :obj:`"error"`, a repeated pair is an
            error; if :obj:`"drop"`, its first occurrence stays, hence a test pair
            that repeats a training pair leaves the test part.
            (default: :obj:`"error"`)

    Raises:
        ValueError: If a pair is repeated, a share is out of range, or no
            training interaction is left.

    *Cost:* :math:`O(E \log E)`.
    """
    if duplicates not in ("error", "drop"):
        raise ValueError(
            f"expected duplicates='error' or 'drop', got {duplicates!r}; choose one"
        )
    _check_ratio(val_ratio=val_ratio)
    train, test = align_ids(train, test)
    both = replace(
        train,
        user=torch.cat([train.user, test.user]),
        item=torch.cat([train.item, test.item]),
        rating=None,
        time=None,
    )
    part = torch.full_like(both.user, TEST)
    part[: len(train)] = TRAIN
    if duplicates == "drop":
        keep = ~both.repeated()
        both, part = both[keep], part[keep]
    if val_ratio > 0:
        user = both.user[part == TRAIN]
        rank, degree = rank_within_user(user, both.num_users, seed)
        part[: user.numel()][rank < _share(degree, val_ratio)[user]] = VAL
    return _cut(both, part)


def split_ratio(
    interactions: Interactions,
    test_ratio: float = 0.2,
    val_ratio: float = 0.1,
    seed: int | None = 0,
) -> tuple[Data, Split]:
    r"""Splits each user's interactions at random, or in their order.

    Of a user's :math:`d` interactions, :math:`\lfloor r d + 1/2 \rfloor` go to
    each part of share :math:`r`, first to test, then to validation, as long as
    one is left to train on.

    Args:
        interactions (Interactions): The interactions.
        test_ratio (float, optional): The share of each user's interactions to
            test on. (default: :obj:`0.2`)
        val_ratio (float, optional): The share of each user's interactions to
            validate on. (default: :obj:`0.1`)
        seed (int, optional): The seed. :obj:`None` tests on the last of each user and
            validates on those before: by :obj:`interactions.time`, if there are times,
            or else in the order of the interactions. (default: :obj:`0`)

    Raises:
        ValueError: If a pair is repeated or a share is out of range.

    *Cost:* :math:`O(E \log E)`.
    """
    _check_ratio(test_ratio=test_ratio, val_ratio=val_ratio)
    user, time = interactions.user, interactions.time if seed is None else None
    rank, degree = rank_within_user(user, interactions.num_users, seed, time)
    num_test = _share(degree, test_ratio)
    return _cut_by_rank(
        interactions, rank, num_test, num_test + _share(degree, val_ratio, num_test)
    )


def split_leave_one_out(
    interactions: Interactions,
    val: bool = True,
    seed: int = 0,
) -> tuple[Data, Split]:
    r"""Tests on the last interaction of each user and validates on the one
    before.

    The last by :obj:`interactions.time`, ties broken at random; a random one if
    there are no times. A user of one interaction only trains on it; of two, has
    none to validate on.

    Args:
        interactions (Interactions): The interactions.
        val (bool, optional): If :obj:`False`, validation is empty.
            (default: :obj:`True`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Raises:
        ValueError: If a pair is repeated.

    *Cost:* :math:`O(E \log E)`.
    """
    rank, degree = rank_within_user(
        interactions.user, interactions.num_users, seed, interactions.time
    )
    num_test = (degree - 1).clamp(0, 1)
    num_held = (degree - 1).clamp(0, 2) if val else num_test
    return _cut_by_rank(interactions, rank, num_test, num_held)


def split_temporal(
    interactions: Interactions,
    test_ratio: float = 0.1,
    val_ratio: float = 0.1,
) -> tuple[Data, Split]:
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
    _check_ratio(test_ratio=test_ratio, val_ratio=val_ratio)
    time = interactions.time
    if time is None:
        raise ValueError(
            "expected interactions with 'time', got none; name the column: "
            "read_interactions(..., time='timestamp')"
        )
    ordered, num = time.sort().values, len(interactions)
    part = torch.full_like(interactions.user, TRAIN)
    for label, share in ((VAL, test_ratio + val_ratio), (TEST, test_ratio)):
        start = num - int(share * num + 0.5)
        if start < num:
            part[time >= ordered[start]] = label
    return _cut(interactions, part)


def _cut_by_rank(
    interactions: Interactions, rank: Tensor, num_test: Tensor, num_held: Tensor
) -> tuple[Data, Split]:
    user = interactions.user
    part = torch.full_like(user, TRAIN)
    part[rank < num_held[user]] = VAL
    part[rank < num_test[user]] = TEST
    return _cut(interactions, part)


def _cut(interactions: Interactions, part: Tensor) -> tuple[Data, Split]:
    # Pairs are distinct and each has one part, so the graph, made of the training
    # part alone, cannot hold a pair of another part.
    repeated = interactions.repeated()
    if bool(repeated.any()):
        first = int(repeated.nonzero()[0])
        raise ValueError(
            f"expected distinct pairs, got {int(repeated.sum())} repeated, first "
            f"user {int(interactions.user[first])} with item "
            f"{int(interactions.item[first])}; pass duplicates='drop' to "
            f"read_interactions or split_given"
        )
    train, val, test = (interactions[part == label] for label in (TRAIN, VAL, TEST))
    if len(train) == 0:
        raise ValueError(
            f"expected interactions to train on, got 0 of {len(interactions)}; "
            f"hold out less"
        )
    split = Split(train.edge_label_index, val.edge_label_index, test.edge_label_index)
    return train.to_data(), split


def rank_within_user(
    user: Tensor, num_users: int, seed: int | None, time: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The place of each interaction among its user's, and the users' degrees.

    Latest first if there are times; ties, or all without times, shuffled by the seed,
    and without a seed last first.
    """
    if seed is None:
        perm = torch.arange(user.numel(), device=user.device).flip(0)
    else:
        generator = torch.Generator().manual_seed(seed)
        perm = torch.randperm(user.numel(), generator=generator).to(user.device)
    if time is not None:
        perm = perm[time[perm].sort(descending=True, stable=True).indices]
    perm = perm[user[perm].sort(stable=True).indices]
    degree = torch.bincount(user, minlength=num_users)
    rank = torch.empty_like(user)
    rank[perm] = torch.arange(user.numel(), device=user.device)
    return rank - (degree.cumsum(0) - degree)[user], degree


def _share(degree: Tensor, ratio: float, taken: Tensor | int = 0) -> Tensor:
    num = (ratio * degree.double() + 0.5).long()
    return torch.minimum(num, degree - 1 - taken).clamp(min=0)


def _check_ratio(**ratios: float) -> None:
    if min(ratios.values()) < 0 or sum(ratios.values()) >= 1:
        raise ValueError(
            f"expected shares >= 0 with a sum < 1, got {ratios}; leave a part to "
            f"train on"
        )
