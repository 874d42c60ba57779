r"""The formats that numpy parses: whitespace-separated, one record a line."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch

from ltgnn_pyg.datasets.interactions import Interactions

Locate = Callable[[int], str]  # position of an interaction -> its place in the file

_NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_LIBFM = rb"%b[ \t]+[0-9]{1,15}:%b[ \t]+[0-9]{1,15}:%b[ \t]*" % ((_NUMBER,) * 3)
_NOT_LIBFM = re.compile(rb"^(?!(?:%b)?\r?$).*" % _LIBFM, re.MULTILINE)


def read_lightgcn(path: str) -> tuple[Interactions, Locate]:
    r"""Reads lines of :obj:`user item item ...`; the raw ids are the indices.

    *Cost:* :math:`O(\text{bytes})` time, :math:`O(E)` memory.
    """
    users, items, degrees, num_users = [], [], [], 0
    for first_line, block in _blocks(path):
        wrong = re.search(rb"[^0-9\s]", block)
        if wrong:
            line = first_line + block.count(b"\n", 0, wrong.start())
            token = re.findall(rb"[0-9]*[^0-9\s]\S*", block)[0]
            raise ValueError(
                f"{path}, line {line}: expected non-negative integers 'user item "
                f"item ...' with blanks between, got {_show(token)}; mend the line "
                f"or pass another format"
            )
        byte = np.frombuffer(block, np.uint8)
        start = byte >= ord("0")  # of a digit: all other bytes are blank
        start[1:] &= ~start[:-1]
        line_start = np.flatnonzero(byte[:-1] == ord("\n")) + 1
        num_ids = np.add.reduceat(start, np.r_[0, line_start], dtype=np.int64)
        degree = np.maximum(num_ids - 1, 0)
        ids = np.fromstring(block, np.int64, sep=" ")[: num_ids.sum()]
        is_user = np.zeros(len(ids), bool)
        is_user[(np.cumsum(num_ids) - num_ids)[num_ids > 0]] = True
        users.append(np.repeat(ids[is_user], degree[num_ids > 0]))
        items.append(ids[~is_user])
        degrees.append(degree)
        num_users = max(num_users, 1 + int(ids[is_user].max(initial=-1)))
    user, item, end = _cat(users), _cat(items), np.cumsum(_cat(degrees))
    return (
        Interactions(
            torch.from_numpy(user),
            torch.from_numpy(item),
            num_users,
            num_items=1 + int(item.max(initial=-1)),
        ),
        lambda edge: f"line {1 + np.searchsorted(end, edge, side='right')}",
    )


def read_libfm(path: str) -> tuple[Interactions, Locate]:
    r"""Reads lines of :obj:`label user:value item:value`.

    *Cost:* :math:`O(\text{bytes})` time, a sort of :math:`E` ids twice.
    """
    blocks = []
    for first_line, block in _blocks(path):
        wrong = _NOT_LIBFM.search(block)
        if wrong:
            line = first_line + block.count(b"\n", 0, wrong.start())
            raise ValueError(
                f"{path}, line {line}: expected 'label user:value item:value' with "
                f"non-negative integer ids, got {_show(wrong[0])}; mend the line or "
                f"pass another format"
            )
        if not block.isspace():
            value = np.fromstring(block.replace(b":", b" "), sep=" ").reshape(-1, 5)
            blocks.append(value[:, [0, 1, 3]].T)
    rating, *ids = np.concatenate(blocks, axis=1) if blocks else np.empty((3, 0))
    (user_ids, user), (item_ids, item) = (
        np.unique(i.astype(np.int64), return_inverse=True) for i in ids
    )
    return (
        Interactions(
            torch.from_numpy(user),
            torch.from_numpy(item),
            len(user_ids),
            len(item_ids),
            user_ids,
            item_ids,
            rating=torch.from_numpy(rating).float(),
        ),
        lambda edge: f"line {line_number(path, edge)}",
    )


def line_number(path: str, index: int) -> int:
    r"""The number of the line that is the :obj:`index`-th to hold anything."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        line = next(islice(re.finditer(rb"[^\r\n]+", text), index, None))
        return text[: line.start()].count(b"\n") + 1


def _blocks(path: str, size: int = 1 << 24) -> Iterator[tuple[int, bytes]]:
    # Whole lines, about `size` bytes at a time, each with its first line's number.
    line = 1
    with open(path, "rb") as file:
        while block := file.read(size):
            block += file.readline()
            yield line, block
            line += block.count(b"\n")


def _cat(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _show(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace"))
