r"""Parquet files of named columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from ltgnn_pyg.datasets.check_fields import UNITS
from ltgnn_pyg.datasets.readers.column_names import check_same, choose_columns
from ltgnn_pyg.datasets.readers.column_values import plain, unit_of, zone
from ltgnn_pyg.datasets.readers.source import Source

_STEP = 1 << 18  # Rows of a batch.


class ParquetFiles(Source):
    r"""Parquet files with the same columns, one after the other.

    Moments and dates become whole numbers of the finest unit among the files.

    Args:
        paths (Sequence[str]): The files.
        asked (Mapping[str, str]): The column of each key, or :obj:`None`.

    *Cost:* linear in the files, and the memory of a few batches.
    """

    def __init__(self, paths: Sequence[str], asked: Mapping[str, str | None]) -> None:
        self.name, self._paths, self._starts = paths[0], paths, [0]
        types: list[pa.DataType] = []
        for path in paths:
            try:
                with ParquetFile(path) as file:
                    schema, num = file.schema_arrow, file.metadata.num_rows
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise parquet_error(path, error) from None
            columns = choose_columns(path, list(schema.names), asked)
            self.columns = columns if path == paths[0] else self.columns
            check_same(path, columns, paths[0], self.columns)
            self._starts.append(self._starts[-1] + num)
            if "time" in columns:
                types.append(schema.field(columns["time"]).type)
                _check_times(path, types)
        units = [unit for unit in map(unit_of, types) if unit is not None]
        self.time_unit = max(units, key=UNITS.index, default=None)

    def batches(self) -> Iterator[dict[str, pa.Array]]:
        r"""The columns of all rows by key, a batch at a time."""
        for path in self._paths:
            try:
                with ParquetFile(path, buffer_size=1 << 20) as file:
                    for batch in file.iter_batches(
                        _STEP, columns=[*self.columns.values()]
                    ):
                        yield {k: plain(batch[n]) for k, n in self.columns.items()}
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise parquet_error(path, error) from None

    def place(self, row: int) -> str:
        r"""The file of a row, and its place in it."""
        number = bisect_right(self._starts, row, hi=len(self._paths)) - 1
        return f"{self._paths[number]}, row {row - self._starts[number] + 1}"


def parquet_error(path: str, error: Exception) -> ValueError:
    r"""The error that a Parquet file cannot be read."""
    text = " ".join(str(error).split())[:200]
    return ValueError(
        f"{path}: Expected a whole Parquet file (got {text!r}); write or fetch it again"
    )


def _check_times(path: str, types: list[pa.DataType]) -> None:
    # Integers, floats, or moments with or without a zone: the same in all files.
    kinds = [
        (pa.types.is_integer(type), unit_of(type) is None, zone(type) is None)
        for type in (types[0], types[-1])
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{path}: Expected times of one type in all files (got {types[-1]}, "
            f"before {types[0]}); convert the files"
        )
