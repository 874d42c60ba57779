r"""The formats of named columns, read by pyarrow: CSV, TSV, RecBole, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv
from pyarrow.parquet import read_schema, read_table
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.text_formats import Locate, line_number

_NAMES = {
    "user": ("user_id", "user", "userid"),
    "item": ("item_id", "item", "itemid"),
    "rating": ("rating",),
    "time": ("timestamp", "time"),
}
_SEP = {"csv": ",", "tsv": "\t", "recbole": "\t"}
_NULL = ["", "nan", "NaN", "null", "NULL"]
_ID = pa.dictionary(pa.int32(), pa.string())
_INTEGER = "^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"


class _Wrong(Exception):
    # A value that cannot stand: its row, what was expected, what was got.
    pass


def read_columns(
    path: str,
    format: str,
    asked: Mapping[str, str | None],
    sep: str | None,
    names: Sequence[str] | None = None,
) -> tuple[Interactions, Locate]:
    r"""Reads the columns that are asked for, or else bear a usual name.

    *Cost:* :math:`O(E)` and a sort of the distinct ids.
    """
    sep = sep or _SEP.get(format, "")
    skip = int(names is None)  # Lines of names to skip.
    if format == "parquet":
        columns = _choose(path, read_schema(path).names, asked)
        table = read_table(path, columns=list(columns.values()))
    else:
        typed = format == "recbole"
        names = _header(path, sep, typed) if names is None else list(names)
        columns = _choose(path, names, asked)
        table = _read_text(path, names, columns, sep, skip)

    def locate(row: int) -> str:
        if format == "parquet":
            return f"row {row + 1}"
        return f"line {line_number(path, row + skip)}"

    if table.num_rows == 0:
        raise ValueError(f"{path}: expected interactions, got column names alone")
    fields: dict[str, Any] = {}
    for key, name in columns.items():
        try:
            column = table[name]
            if column.null_count:
                row = pc.index(pc.is_null(column), True).as_py()
                raise _Wrong(row, "a value", "an empty or NaN field")
            if key in ("user", "item"):
                fields[key], ids = _index(column)
                fields[f"{key}_ids"], fields[f"num_{key}s"] = ids, len(ids)
            elif key == "rating":
                fields[key] = _number(column).float()
            else:
                fields[key] = _number(column)
        except _Wrong as wrong:
            row, expected, got = wrong.args
            raise ValueError(
                f"{path}, {locate(row)}: expected {expected} in column {name!r}, got "
                f"{got}; mend or remove the {locate(row).split()[0]}"
            ) from None
    del table, column
    pa.default_memory_pool().release_unused()
    return Interactions(**fields), locate


def _header(path: str, sep: str, typed: bool) -> list[str]:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        line = file.readline().rstrip("\r\n")
    names = next(csv.reader([line], delimiter=sep), [])
    if len(names) < 2:
        other = max(",\t;| ", key=line.count)
        hint = f"pass sep={other!r}" if other in line else "name the columns there"
        raise ValueError(
            f"{path}, line 1: expected column names separated by {sep!r}, got "
            f"{line[:60]!r}; {hint}"
        )
    if typed and not all(":" in name for name in names):
        raise ValueError(
            f"{path}, line 1: expected a RecBole header of 'name:type', got "
            f"{line[:60]!r}; pass format='tsv'"
        )
    return [name.split(":")[0] for name in names] if typed else names


def _choose(
    path: str, names: list[str], asked: Mapping[str, str | None]
) -> dict[str, str]:
    usual = {name.lower(): name for name in reversed(names)}
    columns = {}
    for key, name in asked.items():
        if name is None:
            name = next((usual[n] for n in _NAMES[key] if n in usual), None)
        elif name not in names:
            raise ValueError(
                f"{path}: expected a column {name!r}, got the columns {names}; pass "
                f"{key}= one of them"
            )
        if name is not None:
            columns[key] = name
        elif key in ("user", "item"):
            raise ValueError(
                f"{path}: expected a column named one of {list(_NAMES[key])}, got the "
                f"columns {names}; pass {key}= one of them"
            )
    return columns


def _read_text(
    path: str, names: list[str], columns: Mapping[str, str], sep: str, skip: int
) -> pa.Table:
    ragged = []

    def invalid(row: Any) -> str:
        ragged.append(row)
        return "error"

    def read(use_threads: bool) -> pa.Table:
        return read_csv(
            path,
            ReadOptions(column_names=names, skip_rows=skip, use_threads=use_threads),
            ParseOptions(delimiter=sep, invalid_row_handler=invalid),
            ConvertOptions(
                include_columns=list(columns.values()),
                column_types={columns["user"]: _ID, columns["item"]: _ID},
                null_values=_NULL,
                strings_can_be_null=True,
            ),
        )

    try:
        try:
            return read(use_threads=True)
        except pa.ArrowInvalid:  # once more: the single thread knows the row
            return read(use_threads=False)
    except pa.ArrowInvalid as error:
        if not ragged:
            raise ValueError(f"{path}: {error}") from None
        row = ragged[-1]
        raise ValueError(
            f"{path}, line {line_number(path, row.number - 1)}: expected "
            f"{row.expected_columns} fields separated by {sep!r}, got "
            f"{row.actual_columns} in {row.text[:60]!r}; mend the line or pass sep="
        ) from None


def _index(column: pa.ChunkedArray) -> tuple[Tensor, np.ndarray]:
    # Ids in sorted order: integers as numbers, all else as strings.
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    ids = column.chunk(0).dictionary
    if pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type):
        if pc.all(pc.match_substring_regex(ids, _INTEGER)).as_py():
            ids = ids.cast(pa.int64())
    elif not pa.types.is_integer(ids.type):
        raise _Wrong(0, "integer or string ids", ids.type)
    perm = pc.array_sort_indices(ids).to_numpy()
    rank = np.empty(len(ids), np.int64)
    rank[perm] = np.arange(len(ids))
    index = rank[np.concatenate([c.indices.to_numpy() for c in column.chunks])]
    ids = ids.take(pa.array(perm)).to_numpy(zero_copy_only=False)
    if ids[0].__class__ is not str and ids[0] < 0:
        raise _Wrong(int(index.argmin()), "ids >= 0", ids[0])
    return torch.from_numpy(index), ids


def _number(column: pa.ChunkedArray) -> Tensor:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_string(column.type):
        row = pc.index(pc.match_substring_regex(column, _NUMBER), False).as_py()
        raise _Wrong(max(row, 0), "a number", repr(column[max(row, 0)].as_py()))
    if pa.types.is_integer(column.type):
        return torch.from_numpy(column.to_numpy().astype(np.int64))
    if not pa.types.is_floating(column.type):
        raise _Wrong(0, "a number", column.type)
    row = pc.index(pc.is_finite(column), False).as_py()
    if row >= 0:
        raise _Wrong(row, "a finite number", column[row])
    return torch.from_numpy(column.to_numpy().astype(np.float64))
