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
        frame (Any): A frame that :func:`pyarrow.table` takes (a table of Arrow, a
            :class:`pandas.DataFrame`, a dictionary of arrays, anything with
            :obj:`__arrow_c_stream__`), or has :obj:`__dataframe__`.
        asked (Mapping[str, str]): The column of each key, or :obj:`None`.

    Raises:
        ValueError: If the frame cannot be turned into a table of Arrow, for one as a
            column is of mixed types.

    *Cost:* linear in the columns that are used; none is copied that Arrow can share.
    """

    def __init__(self, frame: Any, asked: Mapping[str, str | None]) -> None:
        self.name, table = "frame", _table(frame, asked)
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


def _table(frame: Any, asked: Mapping[str, str | None]) -> pa.Table:
    try:
        return pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # A column of Python objects that are not all alike, as pandas allows.
        columns = choose_columns("frame", list(frame), asked)
        return pa.table({name: _array(name, frame[name]) for name in columns.values()})
    except (TypeError, ValueError) as error:
        try:
            return from_dataframe(frame)
        except (AttributeError, TypeError, ValueError):
            text = " ".join(str(error).split())[:200]
            raise ValueError(
                f"Expected a frame: a table of Arrow, pandas or polars, or another "
                f"with __arrow_c_stream__ or __dataframe__ (got "
                f"{type(frame).__name__}: {text}); convert it"
            ) from None


def _array(name: str, values: Any) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        filled = [
            (row, type(value))
            for row, value in enumerate(values, 1)
            if value is not None and value == value
        ]
        row, kind = next((x for x in filled if x[1] is not filled[0][1]), filled[0])
        got = f"{kind.__name__} after {filled[0][1].__name__}"
        if row == filled[0][0]:
            got = " ".join(str(error).split())[:200]
        raise ValueError(
            f"frame, row {row}: Expected values of one type in column {name!r} (got "
            f"{got}); convert the column or leave it out"
        ) from None
