r"""Files in libFM's format: a label, a user and an item on each line."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa

from ltgnn_pyg.datasets.readers.lines import blocks, line_of, show_bytes
from ltgnn_pyg.datasets.readers.raw_file import open_raw, whole_gzip
from ltgnn_pyg.datasets.readers.source import Source

_NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_LIBFM = rb"%b[ \t]+[0-9]{1,15}:%b[ \t]+[0-9]{1,15}:%b[ \t]*" % ((_NUMBER,) * 3)
_NOT_LIBFM = re.compile(rb"^(?!(?:%b)?\r?$).*" % _LIBFM, re.MULTILINE)


class LibFMFiles(Source):
    r"""Files of :obj:`label user:value item:value` on each line, one after the other.

    The label is the rating.

    *Cost:* linear in the files, and the memory of a block of lines.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths, self.name = paths, paths[0]
        self.columns = {"user": "user", "item": "item", "rating": "label"}
        self.needed = frozenset(self.columns)
        self._starts: list[int] = []  # The first row of each file.

    def batches(self) -> Iterator[dict[str, pa.Array]]:
        r"""Users, items and ratings, a block of lines at a time."""
        self._starts, num = [], 0
        for path in self._paths:
            self._starts.append(num)
            with whole_gzip(path):
                for first_line, block in blocks(path):
                    wrong = _NOT_LIBFM.search(block)
                    if wrong:
                        raise ValueError(
                            f"{path}, {line_of(first_line, block, wrong)}: Expected "
                            f"'label user:value item:value' with non-negative integer "
                            f"ids of at most 15 digits (got {show_bytes(wrong[0])}); "
                            f"mend the line or pass another format"
                        )
                    if block.isspace():
                        continue
                    text = block.replace(b":", b" ")
                    value = np.fromstring(text, sep=" ").reshape(-1, 5)
                    user, item = value[:, [1, 3]].T.astype(np.int64)
                    label = np.ascontiguousarray(value[:, 0])
                    yield {
                        key: pa.array(column)
                        for key, column in zip(
                            self.columns, (user, item, label), strict=True
                        )
                    }
                    num += len(value)

    def place(self, row: int) -> str:
        r"""The file and line of a row."""
        number = bisect_right(self._starts, row) - 1
        path = self._paths[number]
        with open_raw(path) as file:
            lines = (n for n, line in enumerate(file, 1) if line.strip())
            line = next(islice(lines, row - self._starts[number], None))
        return f"{path}, line {line}"
