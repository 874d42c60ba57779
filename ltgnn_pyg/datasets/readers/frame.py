r"""A frame in memory: of pandas, polars, Arrow, or with one of two protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pyarrow.interchange import from_dataframe

from ltgnn_pyg.datasets.readers.column_names import choose_columns
from ltgnn_pyg.datasets.readers.column_values import plain, unit_of
from ltgnn_pyg.datasets.readers.source import Source

_STEP = 1 << 20  # Rows of a batch.


class Frame(Source):
    r"""A table with named columns.

    Args:
        frame (Any): What :func:`pyarrow.table` takes (a table of Arrow, a
            :class:`pandas.DataFrame`, a dictionary of arrays, anything with
            :obj:`__arrow_c_stream__`), or has :obj:`__dataframe__`.
        asked (Mapping[str, str]): The column of each key, or :obj:`None`.

    Raises:
        ValueError: If the frame cannot be turned into a table of Arrow, for one as a
            column is of mixed types.

    *Cost:* linear in the columns that are used; none is copied that Arrow can share.
    """

    def __init__(self, frame: Any, asked: Mapping[str, str | None]) -> None:
        self.name, table = "frame", _table(frame)
        self.columns = choose_columns(self.name, [*table.column_names], asked)
        self._table = table.select(list(self.columns.values()))
        if "time" in self.columns:
            self.time_unit = unit_of(self._table[self.columns["time"]].type)

    def batches(self) -> Iterator[dict[str, pa.Array]]:
        r"""The columns of all rows by key, a batch at a time."""
        for batch in self._table.to_batches(_STEP):
            yield {key: plain(batch[name]) for key, name in self.columns.items()}

    def place(self, row: int) -> str:
        r"""The place of a row."""
        return f"frame, row {row + 1}"


def _table(frame: Any) -> pa.Table:
    if not hasattr(frame, "__arrow_c_stream__") and hasattr(frame, "__dataframe__"):
        return from_dataframe(frame)
    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _mixed(frame, error) from None


def _mixed(frame: Any, error: Exception) -> ValueError:
    # A column of Python objects that are not all alike, as pandas allows.
    for name in getattr(frame, "columns", ()):
        try:
            pa.array(frame[name], from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            kinds = [type(value) for value in frame[name]]
            row = next((r for r, k in enumerate(kinds) if k is not kinds[0]), 0)
            return ValueError(
                f"frame, row {row + 1}: Expected values of one type in column {name!r} "
                f"(got {kinds[row].__name__} after {kinds[0].__name__}); convert the "
                f"column or leave it out"
            )
    text = " ".join(str(error).split())[:200]
    return ValueError(
        f"Expected a frame: a table of Arrow, pandas or polars, or another with "
        f"__arrow_c_stream__ or __dataframe__ (got {type(frame).__name__}: {text}); "
        f"convert it"
    )
