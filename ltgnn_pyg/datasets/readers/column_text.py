r"""Text of columns, RFC 4180 or with another separator, read by pyarrow."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

from ltgnn_pyg.datasets.readers.raw_file import is_gzip, open_raw, records

_NULL = ["", "nan", "NaN", "null", "NULL"]
ID = pa.dictionary(pa.int32(), pa.string())
_BLOCKS = (1 << 22, 1 << 26, 1 << 30)  # A record must be within two of them.
_MISFIT = re.compile(
    r"In CSV column #(\d+): .*conversion error to .*: "
    r"(?:invalid value|expected \w+ zone offset in) '(.*)'(?:$|\. If these)",
    re.S,
)


class Misfit(Exception):
    r"""A field that is none of the type of its column: the column's name, the field."""


def read_header(path: str, sep: str, typed: bool) -> tuple[list[str], int]:
    r"""The names of the columns and the number of lines that they take up."""
    lines = records(path, sep)
    _, last, names = next(lines, (1, 1, []))
    names = [_readable(name) for name in names]
    line = sep.join(names)
    check_not_json(path, line)
    if len(names) < 2:
        other = max(",\t;| ", key=line.count)
        below = sep.join(next(lines, (1, 1, names))[2])
        if other in line and below.count(other) == line.count(other):
            hint = f"pass sep={other!r}"
        elif sep in below:
            hint = "remove the line, which is no such header"
        else:
            hint = "name the columns there"
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


def check_not_json(path: str, line: str) -> None:
    r"""Refuses a file whose first line is a record of JSON."""
    if re.match(r'\s*\[?\s*\{\s*"', line):
        raise ValueError(
            f"{path}, line 1: Expected columns of text or Parquet (got a record of "
            f"JSON); pass a table, such as pyarrow.json.read_json(path) or "
            f"pandas.read_json(path, lines=True), to Interactions.from_frame"
        )


@dataclass(frozen=True)
class Quotes:
    r"""The quotes below the header of a file, and about how many lines there are."""

    num: int
    num_lines: int


def count_quotes(path: str, skip: int) -> Quotes:
    r"""Counts the quotes of a file, whose records may then span lines.

    *Cost:* one read of the file.
    """
    num = num_lines = 0
    with open_raw(path) as file:
        if skip == 1:  # Writers quote names without any quotes below.
            line = file.readline()
            num += line.count(b'"') if b"\r" in line.rstrip(b"\r\n") else 0
        while block := file.read(1 << 20):
            num += block.count(b'"')
            num_lines += block.count(b"\n")
    return Quotes(num, num_lines + 1)


def stream_text(
    path: str,
    names: list[str],
    columns: Mapping[str, str],
    sep: str,
    skip: int,
    types: Mapping[str, pa.DataType],
    quotes: Quotes,
) -> Iterator[pa.RecordBatch]:
    r"""Reads columns a batch at a time, each by its type of :obj:`types`.

    Line breaks within quotes are part of a field.

    Raises:
        Misfit: If a field is none of the type of its column.

    *Cost:* linear in the file, and the memory of a few batches.
    """
    done = 0
    for block_size in _BLOCKS:  # Records too long for one are read by the next.
        how = _options(names, columns, sep, skip, quotes, types, block_size)
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
            if misfit and types[names[int(misfit[1])]] != ID:
                raise Misfit(names[int(misfit[1])], misfit[2]) from None
            raise _text_error(path, names, columns, sep, error) from None
    # Quotes that are never closed would swallow the rest of the file in silence.
    if quotes.num % 2:
        _check_closed(path, sep)
    if quotes.num and sep == "\t" and quotes.num_lines > done + 1:
        _check_not_swallowed(path, sep, len(names))


def _input(path: str) -> pa.NativeFile:
    return pa.input_stream(path, compression="gzip" if is_gzip(path) else None)


def _options(
    names: list[str],
    columns: Mapping[str, str],
    sep: str,
    skip: int,
    quotes: Quotes,
    types: Mapping[str, pa.DataType],
    block_size: int,
) -> tuple[ReadOptions, ParseOptions, ConvertOptions]:
    return (
        ReadOptions(column_names=names, skip_rows=skip, block_size=block_size),
        ParseOptions(delimiter=sep, newlines_in_values=quotes.num > 0),
        ConvertOptions(
            include_columns=list(columns.values()),
            column_types=types,
            null_values=_NULL,
            strings_can_be_null=True,
        ),
    )


def _check_closed(path: str, sep: str) -> None:
    (line, _, record), *_ = deque(records(path, sep, mark=f"{sep}\n"), maxlen=1)
    if record != ["", ""]:  # The mark is within quotes.
        raise ValueError(
            f"{path}, line {line}: Expected quotes that are closed (got "
            f"{show(sep.join(record))}... to the end of the file); mend the quotes"
        )


def _check_not_swallowed(path: str, sep: str, width: int) -> None:
    # Each of the lines between two quotes is a record of its own.
    for line, last, record in records(path, sep):
        inner = sep.join(record).splitlines()
        if last > line and all(each.count(sep) + 1 == width for each in inner):
            raise ValueError(
                f"{path}, line {line}: Expected quotes around whole fields (got one "
                f"that is closed on line {last}, with whole records between them); "
                f"remove the quotes"
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
