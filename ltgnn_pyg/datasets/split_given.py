from __future__ import annotations

import torch

from ltgnn_pyg.datasets.align_ids import align_ids
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.order import choose_order
from ltgnn_pyg.datasets.split import (
    Split,
    check_distinct,
    check_left,
    check_ratio,
    rank,
    share,
)


def split_given(
    train: Interactions,
    test: Interactions,
    val_ratio: float = 0.0,
    order: str | None = None,
    seed: int = 0,
    duplicates: str = "error",
) -> Split:
    r"""Keeps a published split into training and test interactions.

    Of a user's :math:`d` training interactions,
    :math:`\min(\lfloor \text{val\_ratio} \cdot d + 1/2 \rfloor, d - 1)` move to
    validation, so that each user keeps a training edge: the last ones, or random ones.

    Args:
        train (Interactions): The training interactions.
        test (Interactions): The test interactions. Raw ids are united by
            :func:`align_ids`.
        val_ratio (float, optional): The share of each user's training
            interactions to validate on. (default: :obj:`0.0`)
        order (str, optional): :obj:`"time"` validates on the last of each user by
            :obj:`train.time` (of the same time, the later line is the later),
            :obj:`"lines"` on the last lines, :obj:`"random"` on random ones. If
            :obj:`None`, by time if there are times, else at random: lines are never
            taken for an order of time unasked. (default: :obj:`None`)
        seed (int, optional): The seed of a random validation part.
            (default: :obj:`0`)
        duplicates (str, optional): If :obj:`"error"`, a repeated pair is an
            error; if :obj:`"drop"`, its first occurrence stays, hence a test pair
            that repeats a training pair leaves the test part.
            (default: :obj:`"error"`)

    Raises:
        ValueError: If a pair is repeated, a share is out of range, no training
            interaction is left, or the training interactions are not of that order:
            without times, or with each user's lines sorted by item.

    *Cost:* :math:`O(E \log E)`.
    """
    if duplicates not in ("error", "drop"):
        raise ValueError(
            f"Expected duplicates='error' or 'drop' (got {duplicates!r}); choose one"
        )
    check_ratio(val_ratio=val_ratio)
    train, test = align_ids(train, test)
    order = choose_order(train, order)
    repeated = _pairs(train, test).repeated()
    if duplicates == "drop" and bool(repeated.any()):
        keep = ~repeated
        train, test = train[keep[: len(train)]], test[keep[len(train) :]]
    else:
        check_distinct(_pairs(train, test), repeated)
    place, degree = rank(train, order, seed)
    held = place < share(degree, val_ratio)[train.user]
    check_left(int((~held).sum()), len(train) + len(test))
    return Split(train[~held], train[held], test, order)


def _pairs(train: Interactions, test: Interactions) -> Interactions:
    return Interactions(
        torch.cat([train.user, test.user]),
        torch.cat([train.item, test.item]),
        train.num_users,
        train.num_items,
    )
