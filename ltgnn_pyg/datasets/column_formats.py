r"""The formats of named columns, read by pyarrow: CSV, TSV, RecBole, Parquet."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import read_schema, read_table

from ltgnn_pyg.datasets.column_text import read_header, read_text, show
from ltgnn_pyg.datasets.column_values import (
    INTEGER,
    Wrong,
    filled,
    to_index,
    to_number,
)
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.raw_file import records
from ltgnn_pyg.datasets.text_formats import Locate

_NAMES = {
    "user": ("user_id", "user", "userid"),
    "item": ("item_id", "item", "itemid"),
    "rating": ("rating",),
    "time": ("timestamp", "time"),
}
SEPARATOR = {"csv": ",", "tsv": "\t", "recbole": "\t"}


def read_columns(
    path: str,
    format: str,
    asked: Mapping[str, str | None],
    needed: Collection[str],
    sep: str | None,
    names: Sequence[str] | None = None,
) -> tuple[Interactions, Locate]:
    r"""Reads the columns that are asked for, or else bear a usual name.

    A rating or time that is not :obj:`needed` and cannot be read is left out, with a
    warning.

    *Cost:* :math:`O(E)` and a sort of the distinct ids.
    """
    sep = sep or SEPARATOR.get(format, "")
    headed = names is None
    if format == "parquet":
        columns, table = _read_parquet(path, asked)
    else:
        skip = 0
        if names is None:
            names, skip = read_header(path, sep, typed=format == "recbole")
        columns = choose_columns(path, list(names), asked)
        if not headed:
            check_no_header(path, sep, names, columns)
        table = read_text(path, list(names), columns, sep, skip)

    def locate(row: int) -> str:
        if format == "parquet":
            return f"row {row + 1}"
        line, _, _ = next(islice(records(path, sep), row + int(headed), None))
        return f"line {line}"

    if table.num_rows == 0:
        raise ValueError(
            f"{path}: Expected interactions (got column names alone); fetch it again"
        )
    fields: dict[str, Any] = {}
    for key, name in columns.items():
        try:
            column = filled(table[name])
            if key in ("user", "item"):
                fields[key], ids = to_index(column)
                fields[f"{key}_ids"], fields[f"num_{key}s"] = ids, len(ids)
            else:
                fields[key] = to_number(column, single=key == "rating")
        except Wrong as wrong:
            row, expected, got = wrong.args
            place = f"{path}, {locate(row)}"
            if key not in needed:
                warnings.warn(
                    f"{place}: left the column {name!r} out for {got} where {expected} "
                    f"must stand; pass {key}={name!r} to have this refused",
                    stacklevel=4,
                )
                continue
            raise ValueError(
                f"{place}: Expected {expected} in column {name!r} (got {got}); mend or "
                f"remove the {locate(row).split()[0]}"
            ) from None
    if not headed and first_is_odd(fields):
        raise header_error(path, sep)
    del table, column
    pa.default_memory_pool().release_unused()
    return Interactions(**fields), locate


def _read_parquet(
    path: str, asked: Mapping[str, str | None]
) -> tuple[dict[str, str], pa.Table]:
    try:
        names = read_schema(path).names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise parquet_error(path, error) from None
    columns = choose_columns(path, names, asked)
    try:
        table = read_table(path, columns=list(columns.values()))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise parquet_error(path, error) from None
    return columns, table


def parquet_error(path: str, error: Exception) -> ValueError:
    r"""Says that a Parquet file cannot be read."""
    text = " ".join(str(error).split())[:200]
    return ValueError(
        f"{path}: Expected a whole Parquet file (got {text!r}); write or fetch it again"
    )


def choose_columns(
    path: str, names: list[str], asked: Mapping[str, str | None]
) -> dict[str, str]:
    r"""The column of each key: the one that is asked for, or else of a usual name."""
    usual = {name.lower(): name for name in reversed(names)}
    columns: dict[str, str] = {}
    for key, name in asked.items():
        if name is None:
            name = next((usual[n] for n in _NAMES[key] if n in usual), None)
            if name is not None and name in asked.values():
                name = None  # It is asked for as another.
        elif name not in names:
            raise ValueError(
                f"{path}: Expected a column {name!r} (got the columns {names}); pass "
                f"{key}= one of them"
            )
        if name is None:
            if key in ("user", "item"):
                hint = " or, if these are data, names= of all columns"
                raise ValueError(
                    f"{path}: Expected a column named one of {list(_NAMES[key])} (got "
                    f"the columns {names}); pass {key}= one of them"
                    f"{hint if any(n.isdigit() for n in names) else ''}"
                )
            continue
        other = next((k for k, n in columns.items() if n == name), None)
        if other is not None:
            raise ValueError(
                f"{path}: Expected a column each for {other} and {key} (got {name!r} "
                f"for both); pass another of {names}"
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{path}: Expected one column {name!r} (got {names.count(name)}); "
                f"rename the others"
            )
        columns[key] = name
    return columns


def check_no_header(
    path: str, sep: str, names: Sequence[str], columns: Mapping[str, str]
) -> None:
    r"""Refuses a line of names where :obj:`names` say that there is none."""
    _, _, first = next(records(path, sep), (0, 0, []))
    for key, name in columns.items():
        place = list(names).index(name)
        if place < len(first):
            cell = first[place].strip().split(":")[0].casefold()
            if cell in (name.casefold(), *_NAMES[key]):
                raise header_error(path, sep)


def header_error(path: str, sep: str) -> ValueError:
    r"""Says that the first line holds names."""
    line, _, first = next(records(path, sep))
    return ValueError(
        f"{path}, line {line}: Expected an interaction, as names= are for a file "
        f"without a line of them (got {show(sep.join(first))}); leave names out, or "
        f"remove the line"
    )


def first_is_odd(fields: Mapping[str, Any]) -> bool:
    r"""Whether the first field of a column of integers alone is none: most likely it is
    a name.
    """
    num_odd, num_others = 0, 0
    for key in ("user", "item"):
        index, ids = fields[key], fields[f"{key}_ids"]
        if len(ids) < 2 or ids.dtype != object:
            continue
        is_integer = pc.match_substring_regex(pa.array(ids, pa.string()), INTEGER)
        odd = pc.index(is_integer, False).as_py()
        if (
            pc.sum(is_integer).as_py() == len(ids) - 1
            and int(index[0]) == odd
            and int((index == odd).sum()) == 1
        ):
            num_odd, num_others = num_odd + 1, max(num_others, len(ids) - 1)
    return num_odd == 2 or num_others >= 10
