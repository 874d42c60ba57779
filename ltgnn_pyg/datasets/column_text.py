r"""Text of columns, RFC 4180 or with another separator, read by pyarrow."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv, read_csv

from ltgnn_pyg.datasets.raw_file import is_gzip, open_raw, records

_NULL = ["", "nan", "NaN", "null", "NULL"]
_ID = pa.dictionary(pa.int32(), pa.string())
_BLOCKS = (1 << 20, 1 << 25, 1 << 30)  # A record must be within two of them.
_MISFIT = re.compile(
    r"In CSV column #(\d+): .*conversion error to .*: invalid value '(.*)'$", re.S
)


class Misfit(Exception):
    r"""A field that is none of the type of its column: the column's name, the field."""


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

    *Cost:* linear in the file.
    """
    num_quotes = _count_quotes(path, skip)
    types = {columns["user"]: _ID, columns["item"]: _ID}

    def read_blocks() -> pa.Table:
        for block_size in _BLOCKS[:-1]:
            how = _options(names, columns, sep, skip, num_quotes, types, block_size)
            try:
                return read_csv(_input(path), *how)
            except pa.ArrowInvalid as error:
                if "straddl" not in str(error):
                    raise
        how = _options(names, columns, sep, skip, num_quotes, types, _BLOCKS[-1])
        return read_csv(_input(path), *how)

    try:
        table = read_blocks()
    except pa.ArrowInvalid as error:
        raise _text_error(path, names, columns, sep, error) from None
    # Quotes that are never closed would swallow the rest of the file in silence.
    if num_quotes % 2:
        _check_closed(path, sep)
    return table


def stream_text(
    path: str,
    names: list[str],
    columns: Mapping[str, str],
    sep: str,
    skip: int,
    types: Mapping[str, pa.DataType],
) -> Iterator[pa.RecordBatch]:
    r"""Reads the same a batch at a time, each column by its type of :obj:`types`.

    Raises:
        Misfit: If a field is none of the type of its column.

    *Cost:* linear in the file, and the memory of a few batches.
    """
    num_quotes, done = _count_quotes(path, skip), 0
    for block_size in _BLOCKS[1:]:  # Records too long for one are read by the next.
        how = _options(names, columns, sep, skip, num_quotes, types, block_size)
        row = 0
        try:
            for batch in open_csv(_input(path), *how):
                row += batch.num_rows
                if row > done:
                    yield batch.slice(max(batch.num_rows - (row - done), 0))
                    done = row
            break
        except pa.ArrowInvalid as error:
            if "straddl" in str(error) and block_size != _BLOCKS[-1]:
                continue
            misfit = _MISFIT.match(str(error))
            if misfit and types[names[int(misfit[1])]] != pa.string():
                raise Misfit(names[int(misfit[1])], misfit[2]) from None
            raise _text_error(path, names, columns, sep, error) from None
    if num_quotes % 2:
        _check_closed(path, sep)


def _input(path: str) -> pa.NativeFile:
    return pa.input_stream(path, compression="gzip" if is_gzip(path) else None)


def _options(
    names: list[str],
    columns: Mapping[str, str],
    sep: str,
    skip: int,
    num_quotes: int,
    types: Mapping[str, pa.DataType],
    block_size: int,
) -> tuple[ReadOptions, ParseOptions, ConvertOptions]:
    return (
        ReadOptions(column_names=names, skip_rows=skip, block_size=block_size),
        ParseOptions(delimiter=sep, newlines_in_values=num_quotes > 0),
        ConvertOptions(
            include_columns=list(columns.values()),
            column_types=types,
            null_values=_NULL,
            strings_can_be_null=True,
        ),
    )


def _count_quotes(path: str, skip: int) -> int:
    # A header of one line may be quoted, as writers do, without any quotes below.
    num = 0
    with open_raw(path) as file:
        if skip == 1:
            line = file.readline()
            num += line.count(b'"') if b"\r" in line.rstrip(b"\r\n") else 0
        while block := file.read(1 << 20):
            num += block.count(b'"')
    return num


def _check_closed(path: str, sep: str) -> None:
    (line, _, record), *_ = deque(records(path, sep, mark=f"{sep}\n"), maxlen=1)
    if record != ["", ""]:  # The mark is within quotes.
        raise ValueError(
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
