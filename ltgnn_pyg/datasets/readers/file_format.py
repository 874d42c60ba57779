r"""The format of a file: the one that is asked for, or what its name and start tell."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ltgnn_pyg.datasets.readers.column_text import check_not_json
from ltgnn_pyg.datasets.readers.libfm_files import LibFMFiles
from ltgnn_pyg.datasets.readers.parquet_files import ParquetFiles
from ltgnn_pyg.datasets.readers.raw_file import is_parquet, open_raw, whole_gzip
from ltgnn_pyg.datasets.readers.source import Source
from ltgnn_pyg.datasets.readers.text_files import TextFiles

_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".inter": "recbole",
    ".libfm": "libfm",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_FIRST_LINE = {
    "lightgcn": rb"\d+( \d+)* *$",
    "libfm": rb"\S+ \d+:\S+ \d+:",
    "recbole": rb"\w+:\w+\t",
    "tsv": rb"[^\t,]+\t",
    "csv": rb"[^\t,]+,",
}
_FORMATS = ("lightgcn", "csv", "tsv", "recbole", "libfm", "parquet")


def told_format(
    paths: Sequence[str],
    format: str | None,
    sep: str | None,
    names: Sequence[str] | None,
) -> str:
    r"""The format of files that are not empty, checked against the other arguments."""
    for path in paths:
        if os.path.getsize(path) == 0:
            raise none_error(path, "an empty file")
    with whole_gzip(paths[0]):
        format = format or _guess(paths[0], columns=bool(sep or names))
    if format not in _FORMATS:
        raise ValueError(
            f"Expected format to be one of {_FORMATS} (got {format!r}); choose one"
        )
    if names is not None and format not in ("csv", "tsv"):
        raise ValueError(
            f"Expected no names for format={format!r}, whose files hold them or need "
            f"none (got {names}); pass format='csv' or leave them out"
        )
    return format


def open_source(
    paths: Sequence[str],
    format: str,
    asked: Mapping[str, str | None],
    sep: str | None,
    names: Sequence[str] | None,
) -> Source:
    r"""The source of files of a format that has columns."""
    if format == "parquet":
        return ParquetFiles(paths, asked)
    if format == "libfm":
        return LibFMFiles(paths)
    return TextFiles(paths, format, asked, sep, names)


def none_error(path: str, what: str) -> ValueError:
    r"""The error that a file holds no interactions."""
    return ValueError(f"{path}: Expected interactions (got {what}); fetch it again")


def _guess(path: str, columns: bool) -> str:
    if is_parquet(path):
        return "parquet"
    stem = path[:-3] if path.lower().endswith(".gz") else path
    suffix = os.path.splitext(stem)[1].lower()
    if suffix in _SUFFIX:
        return _SUFFIX[suffix]
    if columns:
        return "csv"
    with open_raw(path) as file:
        line = file.readline(1 << 16).rstrip(b"\r\n")
    check_not_json(path, line.decode(errors="replace"))
    for format, pattern in _FIRST_LINE.items():
        if re.match(pattern, line):
            return format
    raise ValueError(
        f"{path}: Expected a suffix of {sorted(_SUFFIX)} or a first line that tells "
        f"the format (got {line[:60].decode(errors='replace')!r}); pass format= one of "
        f"{_FORMATS}"
    )
