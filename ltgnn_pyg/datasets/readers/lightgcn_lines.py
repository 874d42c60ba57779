r"""LightGCN's text: a user, then its items, on each line."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.lines import blocks, line_of, show_bytes

Locate = Callable[[int], str]  # position of an interaction -> its place in the file

_HUGE = re.compile(rb"[0-9]{19,}")


def read_lightgcn(path: str, sure: bool = True) -> tuple[Interactions, Locate]:
    r"""Reads lines of :obj:`user item item ...`; the raw ids are the indices.

    Unless the format is :obj:`sure`, a file is refused that may as well hold columns,
    such as :obj:`user item rating`: nearly all of its lines have the same number of
    ids, three or more.

    *Cost:* :math:`O(\text{bytes})` time, :math:`O(E)` memory.
    """
    users, items, lines, degrees = [], [], [], []
    for first_line, block in blocks(path):
        wrong = re.search(rb"[^0-9\s]", block)
        if wrong:
            token = re.findall(rb"[0-9]*[^0-9\s]\S*", block)[0]
            raise ValueError(
                f"{path}, {line_of(first_line, block, wrong)}: Expected non-negative "
                f"integers 'user item item ...' with blanks between (got "
                f"{show_bytes(token)}); mend the line or pass another format"
            )
        byte = np.frombuffer(block, np.uint8)
        start = byte >= ord("0")  # of a digit: all other bytes are blank
        start[1:] &= ~start[:-1]
        line_start = np.flatnonzero(byte[:-1] == ord("\n")) + 1
        num_ids = np.add.reduceat(start, np.r_[0, line_start], dtype=np.int64)
        ids = np.fromstring(block, np.int64, sep=" ")[: num_ids.sum()]
        if ids.max(initial=0) >= 10**18 and (huge := _HUGE.search(block)):
            raise ValueError(
                f"{path}, {line_of(first_line, block, huge)}: Expected ids of at most "
                f"18 digits (got {show_bytes(huge[0])}); number users and items 0, 1, "
                f"2, ..."
            )
        used = np.flatnonzero(num_ids)
        is_user = np.zeros(len(ids), bool)
        is_user[(np.cumsum(num_ids) - num_ids)[used]] = True
        users.append(ids[is_user])
        items.append(ids[~is_user])
        lines.append(first_line + used)
        degrees.append(num_ids[used] - 1)
    user, item, degree = _cat(users), _cat(items), _cat(degrees)
    if not sure:
        _check_not_columns(path, degree)
    line, end = _cat(lines), np.cumsum(degree)

    def locate(edge: int) -> str:
        return f"line {line[np.searchsorted(end, edge, side='right')]}"

    for name, ids in (("user", user), ("item", item)):
        if ids.max(initial=-1) >= max(2**20, 100 * len(item)):
            worst = int(ids.argmax())
            place = f"line {line[worst]}" if name == "user" else locate(worst)
            raise ValueError(
                f"{path}, {place}: Expected {name}s numbered 0, 1, 2, ..., with few "
                f"gaps (got {name} {ids[worst]} in {len(item)} interactions, which "
                f"would make a table of that many rows); map the ids, as reading a "
                f"line per interaction with format='csv' does"
            )
    return (
        Interactions(
            torch.from_numpy(np.repeat(user, degree)),
            torch.from_numpy(item),
            num_users=1 + int(user.max(initial=-1)),
            num_items=1 + int(item.max(initial=-1)),
        ),
        locate,
    )


def _check_not_columns(path: str, degree: np.ndarray) -> None:
    count = np.bincount(degree)
    width, num_lines = int(count.argmax()) + 1, len(degree)
    if width >= 3 and count.max() >= 0.9 * num_lines:
        names = (["'user_id'", "'item_id'", "'rating'", "'timestamp'"] + ["'-'"] * 9)[
            : min(width, 9)
        ]
        raise ValueError(
            f"{path}: Expected a format that can be told from the file (got "
            f"{count.max()} of {num_lines} lines with {width} integers, which may be "
            f"LightGCN text, 'user item item ...', or columns, 'user item rating "
            f"...'); pass format='lightgcn', or format='csv', sep=' ', "
            f"names=[{', '.join(names)}]"
        )


def _cat(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
