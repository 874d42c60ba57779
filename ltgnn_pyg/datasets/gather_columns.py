r"""Files of named columns, larger than memory, into one checked Parquet file."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import ConvertOptions, ReadOptions, read_csv
from pyarrow.parquet import ParquetFile, ParquetWriter, read_schema

from ltgnn_pyg.datasets.column_formats import (
    SEPARATOR,
    check_no_header,
    choose_columns,
    parquet_error,
)
from ltgnn_pyg.datasets.column_text import Misfit, read_header, stream_text
from ltgnn_pyg.datasets.column_values import (
    INTEGER,
    NUMBER,
    Wrong,
    filled,
    to_id,
    to_number,
)
from ltgnn_pyg.datasets.raw_file import records, whole_gzip

# What a column of numbers may hold in text, from narrow to wide, as pyarrow has it.
_TYPES = (
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)


def _wider(type: int, value: str) -> int:
    # The next type, by the order of pyarrow's own trials, that takes the field.
    text = pa.py_buffer('"{}"\n'.format(value.replace('"', '""')).encode())
    for wider in range(type + 1, len(_TYPES)):
        types = ConvertOptions(column_types={"value": _TYPES[wider]})
        try:
            read_csv(text, ReadOptions(column_names=["value"]), convert_options=types)
        except pa.ArrowInvalid:
            continue
        return wider
    return len(_TYPES) - 1


class _LeftOut(Exception):
    r"""A column of numbers cannot be read and is not needed."""


@dataclass
class GatherColumns:
    r"""Reads files as :func:`~ltgnn_pyg.datasets.column_formats.read_columns` does,
    one after the other and a batch at a time, into one Parquet file.

    Its columns are :obj:`user` and :obj:`item`, raw ids that are :obj:`int64` or
    strings, and :obj:`rating` and :obj:`time`, if there are any. Nothing is mapped.

    Args:
        paths (Sequence[str]): The files, all of one format and with the same columns.
        format (str): :obj:`"csv"`, :obj:`"tsv"`, :obj:`"recbole"` or
            :obj:`"parquet"`.
        asked (Mapping[str, str]): The column of each key, or :obj:`None`.
        needed (Collection[str]): The keys that must be readable.
        sep (str, optional): The separator of columns. (default: :obj:`None`)
        names (Sequence[str], optional): The names of all columns, if the files have
            no line of them. (default: :obj:`None`)
        min_rating (float, optional): Drops interactions rated lower.
            (default: :obj:`None`)

    *Cost:* linear in the files, and the memory of a few batches. What a column of
    numbers holds is found by trial: a surprise late in the files starts them anew.
    """

    paths: Sequence[str]
    format: str
    asked: Mapping[str, str | None]
    needed: Collection[str]
    sep: str | None = None
    names: Sequence[str] | None = None
    min_rating: float | None = None
    num_rows: int = field(init=False, default=0)
    #: Whether the ids that :obj:`min_rating` dropped were all integers.
    dropped_integers: dict[str, bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sep = self.sep or SEPARATOR.get(self.format, "")
        self._type = {"rating": 0, "time": 0}
        self._left_out: set[str] = set()
        self._starts: list[int] = []  # The first row of each file.
        self._columns: list[dict[str, str]] = []
        self._skips: list[tuple[list[str], int]] = []
        for path in self.paths:
            with whole_gzip(path):
                self._columns.append(self._find_columns(path))
        self._ids = {key: self._id_type(key) for key in ("user", "item")}
        if self.min_rating is not None and "rating" not in self._columns[0]:
            raise ValueError(
                f"{self.paths[0]}: Expected ratings to compare with min_rating (got "
                f"none); pass rating= the name of their column"
            )

    def write(self, out: str) -> None:
        r"""Writes the Parquet file."""
        while True:
            try:
                return self._write(out)
            except (Misfit, _LeftOut):
                continue  # With one type wider, or one column less.

    def place(self, raw: str, row: int) -> str:
        r"""The file and line of a row of the Parquet file :obj:`raw`."""
        path, place = self._source(raw, row)
        return f"{path}, {place}"

    def wrong(
        self, raw: str, key: str, row: int, expected: str, got: object
    ) -> ValueError:
        r"""What to raise for a raw id of that row."""
        path, place = self._source(raw, row)
        name = self._columns[0][key]
        return ValueError(
            f"{path}, {place}: Expected {expected} in column {name!r} (got {got}); "
            f"mend or remove the {place.split()[0]}"
        )

    def _source(self, raw: str, row: int) -> tuple[str, str]:
        if self.min_rating is not None:  # Rows are missing.
            for batch in ParquetFile(raw).iter_batches(columns=["row"]):
                if row < len(batch):
                    row = batch[0][row].as_py()
                    break
                row -= len(batch)
        number = bisect_right(self._starts, row) - 1
        path = self.paths[number]
        return path, self._place(path, row - self._starts[number])

    def _find_columns(self, path: str) -> dict[str, str]:
        if self.format == "parquet":
            try:
                names = list(read_schema(path).names)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise parquet_error(path, error) from None
            skip = 0
        elif self.names is None:
            typed = self.format == "recbole"
            names, skip = read_header(path, self.sep or "", typed)
        else:
            names, skip = list(self.names), 0
        columns = choose_columns(path, names, self.asked)
        if self.names is not None:
            check_no_header(path, self.sep or "", names, columns)
        if self._columns and columns != self._columns[0]:
            raise ValueError(
                f"{path}: Expected the same columns in all files (got {columns} and, "
                f"in {self.paths[0]}, {self._columns[0]}); name them with user=, "
                f"item=, rating= and time=, or read the files apart"
            )
        self._skips.append((names, skip))
        return columns

    def _id_type(self, key: str) -> pa.DataType:
        if self.format != "parquet":
            return pa.string()
        for path, columns in zip(self.paths, self._columns, strict=True):
            type = read_schema(path).field(columns[key]).type
            if not pa.types.is_integer(type) or type == pa.uint64():
                return pa.string()
        return pa.int64()

    def _write(self, out: str) -> None:
        self._starts, self.num_rows = [], 0
        self.dropped_integers = {"user": True, "item": True}
        num_read, most, writer = 0, -np.inf, None
        try:
            for path, columns, (names, skip) in zip(
                self.paths, self._columns, self._skips, strict=True
            ):
                self._starts.append(num_read)
                columns = {k: v for k, v in columns.items() if k not in self._left_out}
                for batch in self._batches(path, columns, names, skip):
                    fields = self._checked(path, num_read, columns, batch)
                    if self.min_rating is not None:
                        most = max(most, float(pc.max(fields["rating"]).as_py()))
                        fields = self._high(fields, num_read)
                    table = pa.table(fields)
                    num_read += batch.num_rows
                    self.num_rows += table.num_rows
                    if writer is None:
                        writer = ParquetWriter(out, table.schema, compression="lz4")
                    if table.schema != writer.schema:
                        raise ValueError(
                            f"{path}: Expected times of one type in all files (got "
                            f"{table.schema.field('time').type}, before "
                            f"{writer.schema.field('time').type}); convert the files"
                        )
                    writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
        if num_read == 0:
            raise ValueError(
                f"{self.paths[0]}: Expected interactions (got column names alone); "
                f"fetch it again"
            )
        if self.num_rows == 0:
            raise ValueError(
                f"{self.paths[0]}: Expected ratings >= {self.min_rating} (got at most "
                f"{most}); lower min_rating"
            )

    def _batches(
        self, path: str, columns: Mapping[str, str], names: list[str], skip: int
    ) -> Iterator[pa.RecordBatch]:
        if self.format == "parquet":
            try:
                with ParquetFile(path, buffer_size=1 << 20) as file:
                    yield from file.iter_batches(1 << 20, columns=[*columns.values()])
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise parquet_error(path, error) from None
            return
        types = {
            name: _TYPES[self._type[key]] if key in self._type else pa.string()
            for key, name in columns.items()
        }
        try:
            with whole_gzip(path):
                yield from stream_text(
                    path, names, columns, self.sep or "", skip, types
                )
        except Misfit as misfit:
            name, value = misfit.args
            key = next(k for k in columns if columns[k] == name)
            self._type[key] = _wider(self._type[key], value)
            if _TYPES[self._type[key]] == pa.string():
                path, row, got = self._first_text(key, name)
                self._refuse(key, name, path, row, "a number", got)
            raise

    def _first_text(self, key: str, name: str) -> tuple[str, int, str]:
        # The first field that is no number as columns in memory have it.
        for path, (names, skip) in zip(self.paths, self._skips, strict=True):
            row, types = 0, {name: pa.binary()}
            stream = stream_text(path, names, {key: name}, self.sep or "", skip, types)
            for (column,) in stream:
                odd = pc.index(pc.match_substring_regex(column, NUMBER), False).as_py()
                if odd >= 0:
                    got = column[odd].as_py()
                    try:
                        return path, row + odd, repr(got.decode())
                    except UnicodeDecodeError:
                        return path, row + odd, repr(got)
                row += len(column)
        return self.paths[0], 0, "text"

    def _refuse(
        self, key: str, name: str, path: str, row: int, expected: str, got: object
    ) -> NoReturn:
        place = self._place(path, row)
        if key not in self.needed:
            warnings.warn(
                f"{path}, {place}: left the column {name!r} out for {got} where "
                f"{expected} must stand; pass {key}={name!r} to have this refused",
                stacklevel=7,
            )
            self._left_out.add(key)
            raise _LeftOut from None
        raise ValueError(
            f"{path}, {place}: Expected {expected} in column {name!r} (got {got}); "
            f"mend or remove the {place.split()[0]}"
        ) from None

    def _checked(
        self, path: str, start: int, columns: Mapping[str, str], batch: pa.RecordBatch
    ) -> dict[str, pa.ChunkedArray]:
        fields: dict[str, pa.ChunkedArray] = {}
        for key, name in columns.items():
            try:
                column = filled(pa.chunked_array([batch[name]]))
                if key in self._ids:
                    fields[key] = to_id(column, self._ids[key])
                else:
                    value = to_number(column, single=key == "rating").numpy()
                    fields[key] = pa.chunked_array([value])
            except Wrong as wrong:
                row, expected, got = wrong.args
                row += start - self._starts[-1]
                self._refuse(key, name, path, row, expected, got)
        return fields

    def _high(
        self, fields: dict[str, pa.ChunkedArray], start: int
    ) -> dict[str, pa.ChunkedArray]:
        rating = fields["rating"]
        high = pc.greater_equal(rating, pa.scalar(self.min_rating, pa.float32()))
        for key, type in self._ids.items():
            if type == pa.string() and self.dropped_integers[key]:
                low = fields[key].filter(pc.invert(high))
                good = pc.match_substring_regex(low, INTEGER)
                self.dropped_integers[key] = pc.all(good).as_py() is not False
        fields["row"] = pa.chunked_array([np.arange(start, start + len(rating))])
        return {key: column.filter(high) for key, column in fields.items()}

    def _place(self, path: str, row: int) -> str:
        if self.format == "parquet":
            return f"row {row + 1}"
        headed = int(self.names is None)
        line, _, _ = next(islice(records(path, self.sep or ""), row + headed, None))
        return f"line {line}"
