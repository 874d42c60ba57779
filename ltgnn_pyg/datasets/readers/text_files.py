r"""Files of text in named columns: CSV, TSV and RecBole."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import ConvertOptions, ReadOptions, read_csv

from ltgnn_pyg.datasets.readers.column_names import (
    IDS,
    USUAL,
    check_same,
    choose_columns,
)
from ltgnn_pyg.datasets.readers.column_text import (
    ID,
    Misfit,
    Quotes,
    count_quotes,
    read_header,
    show,
    stream_text,
)
from ltgnn_pyg.datasets.readers.column_values import unit_of, zone
from ltgnn_pyg.datasets.readers.raw_file import records, whole_gzip
from ltgnn_pyg.datasets.readers.source import Restart, Source, Unreadable

SEPARATOR = {"csv": ",", "tsv": "\t", "recbole": "\t"}
# The types of a column of numbers in text, from narrow to wide, as pyarrow tries them.
_MOMENTS = (
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
)
_NUMBERS = (pa.int64(), pa.bool_(), pa.float64(), pa.string())
_TIMES = (pa.int64(), pa.bool_(), *_MOMENTS, pa.float64(), pa.string())


@dataclass(frozen=True)
class _File:
    path: str
    names: list[str]
    skip: int  # Lines of the header.
    quotes: Quotes


class TextFiles(Source):
    r"""Files of one format and with the same columns, one after the other.

    Args:
        paths (Sequence[str]): The files.
        format (str): :obj:`"csv"`, :obj:`"tsv"` or :obj:`"recbole"`.
        asked (Mapping[str, str]): The column of each key, or :obj:`None`.
        sep (str, optional): The separator of columns. (default: :obj:`None`)
        names (Sequence[str], optional): The names of all columns, if the files have
            no line of them. (default: :obj:`None`)

    *Cost:* linear in the files, and the memory of a few batches. What a column of
    numbers holds is found by trial: a surprise late in the files starts them anew.
    """

    def __init__(
        self,
        paths: Sequence[str],
        format: str,
        asked: Mapping[str, str | None],
        sep: str | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.name = paths[0]
        self.sep, self.headed = sep or SEPARATOR[format], names is None
        self._files: list[_File] = []
        for path in paths:
            with whole_gzip(path):
                if names is None:
                    found, skip = read_header(path, self.sep, format == "recbole")
                else:
                    found, skip = list(names), 0
                columns = choose_columns(path, found, asked)
                self.columns = columns if not self._files else self.columns
                check_same(path, columns, paths[0], self.columns)
                self._files.append(_File(path, found, skip, count_quotes(path, skip)))
                if names is not None:
                    self._check_no_header(path, found)
        self._starts: list[int] = []  # The first row of each file.
        self._type = {key: 0 for key in self.columns if key not in IDS}

    @property
    def time_unit(self) -> str | None:  # type: ignore[override]
        r"""The unit of times, known once all are read."""
        return unit_of(_TIMES[self._type["time"]]) if "time" in self.columns else None

    def batches(self) -> Iterator[dict[str, pa.Array]]:
        r"""The columns of all rows by key, a batch at a time."""
        self._starts, num = [], 0
        for file in self._files:
            self._starts.append(num)
            try:
                with whole_gzip(file.path):
                    for batch in self._stream(file, self.columns):
                        yield {k: batch[name] for k, name in self.columns.items()}
                        num += batch.num_rows
            except Misfit as misfit:
                name, value = misfit.args
                key = next(k for k in self.columns if self.columns[k] == name)
                self._widen(key, value)
                raise Restart from None

    def place(self, row: int) -> str:
        r"""The file and line of a row."""
        number = bisect_right(self._starts, row) - 1
        path = self._files[number].path
        record = row - self._starts[number] + int(self.headed)
        line, _, _ = next(islice(records(path, self.sep), record, None))
        return f"{path}, line {line}"

    def first_error(self) -> ValueError:
        r"""The error that the first line holds names."""
        return self._header_error(self._files[0].path)

    def _stream(
        self, file: _File, columns: Mapping[str, str], text: bool = False
    ) -> Iterator[pa.RecordBatch]:
        types = {
            name: ID if key in IDS else pa.binary() if text else self._data_type(key)
            for key, name in columns.items()
        }
        yield from stream_text(
            file.path, file.names, columns, self.sep, file.skip, types, file.quotes
        )

    def _data_type(self, key: str) -> pa.DataType:
        return (_TIMES if key == "time" else _NUMBERS)[self._type[key]]

    def _widen(self, key: str, value: str) -> None:
        # The next type, by the order of pyarrow's own trials, that takes the field.
        before = self._data_type(key)
        text = pa.py_buffer('"{}"\n'.format(value.replace('"', '""')).encode())
        while self._data_type(key) != pa.string():
            self._type[key] += 1
            types = ConvertOptions(column_types={"value": self._data_type(key)})
            how = ReadOptions(column_names=["value"])
            try:
                read_csv(text, how, convert_options=types)
            except pa.ArrowInvalid:
                continue
            break
        after = self._data_type(key)
        alike = after in _MOMENTS and zone(before) == zone(after)
        if before in _MOMENTS and not alike:
            expected = "a time as the others are, all with a zone or all without,"
        elif after == pa.string():
            expected = "a number"
        else:
            return
        row, got = self._find(key, value)
        raise Unreadable(key, row, expected, got)

    def _find(self, key: str, value: str) -> tuple[int, str]:
        # The first field of a column that reads like this, or does without its blanks.
        raw = pa.scalar(value.encode(), pa.binary())
        for exact in (True, False):
            start = 0
            for file in self._files:
                columns = {key: self.columns[key]}
                for (column,) in self._stream(file, columns, text=True):
                    if exact:
                        row = pc.index(column, raw).as_py()
                    else:
                        fields = column.fill_null(b"").to_pylist()
                        texts = [
                            each.decode(errors="replace").strip() for each in fields
                        ]
                        row = texts.index(value) if value in texts else -1
                    if row >= 0:
                        return start + row, repr(value)
                    start += len(column)
        return 0, repr(value)

    def _check_no_header(self, path: str, names: list[str]) -> None:
        # A line of names where the caller says that there is none.
        _, _, first = next(records(path, self.sep), (0, 0, []))
        for key, name in self.columns.items():
            place = names.index(name)
            if place < len(first):
                cell = first[place].strip().split(":")[0].casefold()
                if cell in (name.casefold(), *USUAL[key]):
                    raise self._header_error(path)

    def _header_error(self, path: str) -> ValueError:
        line, _, first = next(records(path, self.sep))
        return ValueError(
            f"{path}, line {line}: Expected an interaction, as names= are for a file "
            f"without a line of them (got {show(self.sep.join(first))}); leave names "
            f"out, or remove the line"
        )
