r"""Files as they come: their kind, their bytes, unpacked, and their records."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import BinaryIO, cast

_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"
_REFUSED = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"BZh91AY&SY": "a bzip2 file; unpack it first",
    b"\xfd7zXZ\0": "an xz file; unpack it first",
    b"7z\xbc\xaf'\x1c": "a 7z archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstandard file; unpack it first",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


def is_parquet(path: str) -> bool:
    r"""True if the file starts as Parquet does."""
    return _start(path).startswith(_PARQUET)


def is_gzip(path: str) -> bool:
    r"""True if the file starts as gzip does."""
    return _start(path).startswith(_GZIP)


def open_raw(path: str) -> BinaryIO:
    r"""Opens a file of text to read its bytes, unpacked if it is gzipped.

    Raises:
        ValueError: If it is another archive, or not text.
    """
    start = _start(path)
    for magic, what in _REFUSED.items():
        if start.startswith(magic):
            what, way_out = what.split("; ")
            raise ValueError(
                f"{path}: Expected UTF-8 text, gzip or Parquet (got {what}); {way_out}"
            )
    return cast(BinaryIO, gzip.open(path) if is_gzip(path) else open(path, "rb"))


@contextmanager
def whole_gzip(path: str) -> Iterator[None]:
    r"""Turns what unpacking raises into an error that names the file."""
    try:
        yield
    except (EOFError, zlib.error, OSError) as error:
        if not is_gzip(path):
            raise
        raise ValueError(
            f"{path}: Expected a whole gzip file (got {error!r}); fetch it again"
        ) from None


def records(
    path: str, sep: str, mark: str = ""
) -> Iterator[tuple[int, int, list[str]]]:
    r"""The records of a text of columns, each with its first and its last line.

    One at a time, for the header and for errors. Bytes that are not UTF-8 become
    surrogates. A :obj:`mark` is one line more at the end.
    """
    with (
        open_raw(path) as file,
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text,
    ):
        reader, line = (
            csv.reader(chain(text, [] if mark is None else [mark]), delimiter=sep),
            1,
        )
        try:
            for record in reader:
                if record:
                    yield line, reader.line_num, record
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {line}: Expected fields separated by {sep!r} (got a "
                f"record that cannot be read: {error}); mend its quotes"
            ) from None


def _start(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(10)
