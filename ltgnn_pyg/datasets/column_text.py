r"""Text of columns, RFC 4180 or with another separator, read by pyarrow."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from ltgnn_pyg.datasets.raw_file import is_gzip, open_raw, records

_NULL = ["", "nan", "NaN", "null", "NULL"]
_ID = pa.dictionary(pa.int32(), pa.string())
_BLOCKS = (1 << 20, 1 << 25, 1 << 30)  # A record must be within two of them.


def read_header(path: str, sep: str, typed: bool) -> tuple[list[str], int]:
    r"""The names of the columns and the number of lines that they take up."""
    _, last, names = next(records(path, sep), (1, 1, []))
    names = [_readable(name) for name in names]
    line = sep.join(names)
    if len(names) < 2:
        other = max(",\t;| ", key=line.count)
        hint = f"pass sep={other!r}" if other in line else "name the columns there"
        raise ValueError(
            f"{path}, line 1: Expected column names separated by {sep!r} (got "
            f"{show(line)}); {hint}"
        )
    if typed and not all(":" in name for name in names):
        raise ValueError(
            f"{path}, line 1: Expected a RecBole header of 'name:type' (got "
            f"{show(line)}); pass format='tsv'"
        )
    return [name.split(":")[0] for name in names] if typed else names, last


def read_text(
    path: str, names: list[str], columns: Mapping[str, str], sep: str, skip: int
) -> pa.Table:
    r"""Reads the columns of users and items as strings, others by what they hold.

    Line breaks within quotes are part of a field.

    *Cost:* linear in the file. Files with quotes or gzipped go through one thread
    that finds where records end.
    """
    quoted = is_gzip(path) or _holds_quotes(path, skip)

    def read(block_size: int) -> pa.Table:
        with open_raw(path) as file:
            return read_csv(
                pa.PythonFile(_Marked(file, sep * (len(names) - 1)), "r")
                if quoted
                else pa.input_stream(path, compression=None),
                ReadOptions(column_names=names, skip_rows=skip, block_size=block_size),
                ParseOptions(delimiter=sep, newlines_in_values=quoted),
                ConvertOptions(
                    include_columns=list(columns.values()),
                    column_types={columns["user"]: _ID, columns["item"]: _ID},
                    null_values=_NULL,
                    strings_can_be_null=True,
                ),
            )

    def read_blocks() -> pa.Table:
        for block_size in _BLOCKS[:-1]:
            try:
                return read(block_size)
            except pa.ArrowInvalid as error:
                if "straddl" not in str(error):
                    raise
        return read(_BLOCKS[-1])

    try:
        table = read_blocks()
    except pa.ArrowInvalid as error:
        raise _text_error(path, names, columns, sep, error) from None
    if not quoted:
        return table
    last = table.slice(table.num_rows - 1)
    if not all(column.null_count for column in last.columns[:2]):
        raise _unclosed_error(path, sep)  # The mark is within quotes.
    return table.slice(0, table.num_rows - 1)


class _Marked:
    # A file with a record of empty fields more: its last, unless quotes are open.
    closed = False

    def __init__(self, file: BinaryIO, mark: str) -> None:
        self.file, self.mark = file, f"\n{mark}\n".encode()

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        if not block:
            block, self.mark = self.mark, b""
        return block

    def close(self) -> None:
        self.closed = True


def _holds_quotes(path: str, skip: int) -> bool:
    # A header of one line may be quoted, as writers do, without any quotes below.
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        start = text.find(b"\n") + 1 if skip == 1 else 0
        return text.find(b'"', start) >= 0


def _unclosed_error(path: str, sep: str) -> ValueError:
    (line, _, record), *_ = deque(records(path, sep), maxlen=1)
    return ValueError(
        f"{path}, line {line}: Expected quotes that are closed (got "
        f"{show(sep.join(record))}... to the end of the file); mend the quotes"
    )


def _text_error(
    path: str, names: list[str], columns: Mapping[str, str], sep: str, error: Exception
) -> ValueError:
    places = [(names.index(name), name) for name in columns.values()]
    for line, last, record in records(path, sep):
        if len(record) != len(names):
            to = "" if last == line else f" up to line {last}"
            return ValueError(
                f"{path}, line {line}: Expected {len(names)} fields separated by "
                f"{sep!r} (got {len(record)} in {show(sep.join(record))}{to}); mend "
                f"the line or pass sep="
            )
        for place, name in places:
            try:
                record[place].encode()
            except UnicodeEncodeError:
                return ValueError(
                    f"{path}, line {line}: Expected UTF-8 text in column {name!r} (got "
                    f"{show(record[place])}); save the file as UTF-8"
                )
    return ValueError(f"{path}: Expected records of columns (got {error}); mend it")


def _readable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")


def show(text: str) -> str:
    r"""The start of a text that was read with surrogates, for a message."""
    return repr(_readable(text[:60]))
