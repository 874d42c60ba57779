r"""A source of interactions: named columns, read a batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pyarrow as pa


class Restart(Exception):
    r"""The source has changed its mind about a column: it must be read anew."""


class Unreadable(Exception):
    r"""A column cannot be read: its key, the row, what was expected, what was got."""


class Source(ABC):
    r"""Files or a frame, read in batches of plain columns of Arrow.

    Attributes:
        name (str): The name of the first file, for a message.
        columns (dict[str, str]): The name of the column of each key.
        time_unit (str, optional): The unit of times that are moments or dates.
        headed (bool): :obj:`True` if the names of columns come from the data, and not
            from the caller.
        needed (frozenset[str]): The keys of columns that are in every record.
    """

    name: str
    columns: dict[str, str]
    time_unit: str | None = None
    headed: bool = True
    needed: frozenset[str] = frozenset()

    @abstractmethod
    def batches(self) -> Iterator[dict[str, pa.Array]]:
        r"""The columns of all rows by key, a batch at a time.

        Raises:
            Restart: If a field late in the files has shown what its column holds.
            Unreadable: If a column is none that can be read.
        """

    @abstractmethod
    def place(self, row: int) -> str:
        r"""The file and line of a row, for a message."""

    def first_error(self) -> ValueError:
        r"""The error that the first record holds names, if it was not headed."""
        raise AssertionError
