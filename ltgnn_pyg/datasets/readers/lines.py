r"""Blocks of whole lines of a file of bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ltgnn_pyg.datasets.readers.raw_file import open_raw


def blocks(path: str, size: int = 1 << 24) -> Iterator[tuple[int, bytes]]:
    r"""Whole lines, about :obj:`size` bytes at a time, with the first one's number."""
    line = 1
    with open_raw(path) as file:
        while block := file.read(size):
            block += file.readline()
            yield line, block
            line += block.count(b"\n")


def line_of(first_line: int, block: bytes, found: re.Match[bytes]) -> str:
    r"""The line of what was found in a block, for a message."""
    number = first_line + block.count(b"\n", 0, found.start())
    return f"line {number}"


def show_bytes(text: bytes) -> str:
    r"""The start of a text, for a message."""
    return repr(text[:60].decode(errors="replace"))
