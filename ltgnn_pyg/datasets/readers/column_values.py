r"""Columns of Arrow to ids and numbers, none guessed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

INTEGER = "^(0|-?[1-9][0-9]*)$"


class Wrong(Exception):
    r"""A value that cannot stand: its row, what was expected, what was got. Without a
    row it is the whole column.
    """


def plain(column: pa.Array) -> pa.Array:
    r"""The values of a column that may be a dictionary; text of one type."""
    if pa.types.is_dictionary(column.type):
        values = plain(column.dictionary)
        column = pa.DictionaryArray.from_arrays(column.indices, values)
        return column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column


def filled(column: pa.Array) -> pa.Array:
    r"""The column, if none of its fields is empty."""
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise Wrong(row, "a value", "an empty or NaN field")
    return column


def to_id(column: pa.Array) -> pa.DictionaryArray:
    r"""The raw ids as a dictionary of integers or of strings, each in it once.

    Args:
        column (pyarrow.Array): The ids, or what :func:`read_csv` made of them: a
            dictionary of text already.
    """
    if pa.types.is_dictionary(column.type):
        return column
    if not pa.types.is_integer(column.type) and not pa.types.is_string(column.type):
        raise Wrong(None, "integer or string ids", column.type)
    column = column.dictionary_encode()
    ids = column.dictionary
    try:
        ids.validate(full=True)
    except pa.ArrowInvalid:
        raise _not_utf8(ids, column.indices.to_numpy()) from None
    if pa.types.is_integer(ids.type):
        ids = ids.cast(pa.string() if ids.type == pa.uint64() else pa.int64())
    return pa.DictionaryArray.from_arrays(column.indices, ids)


def as_integers(ids: pa.Array) -> pa.Array | None:
    r"""Raw ids of a dictionary as numbers, if all are integers below :math:`2^{63}`."""
    if pa.types.is_integer(ids.type):
        return ids
    if not pc.all(pc.match_substring_regex(ids, INTEGER)).as_py():
        return pa.array([], pa.int64()) if len(ids) == 0 else None
    try:
        return ids.cast(pa.int64())
    except pa.ArrowInvalid:  # Beyond int64; as strings they stay what they are.
        return None


def number_ids(chunks: list[pa.DictionaryArray]) -> tuple[np.ndarray, pa.Array]:
    r"""The number of each raw id in the sorted order of all, and the ids in it.

    If some dictionaries are of integers and some of strings, all count as strings.

    *Cost:* :math:`O(E)` and a sort of the distinct ids.
    """
    types = {chunk.type for chunk in chunks}
    if len(types) > 1:
        chunks = [as_strings(chunk) for chunk in chunks]
    column = pa.chunked_array(chunks).unify_dictionaries()
    ids = column.chunk(0).dictionary
    perm = pc.array_sort_indices(ids).to_numpy()
    rank = np.empty(len(ids), np.int64)
    rank[perm] = np.arange(len(ids))
    index = np.empty(len(column), np.int64)
    start = 0
    for chunk in column.chunks:
        index[start : start + len(chunk)] = rank[chunk.indices.to_numpy()]
        start += len(chunk)
    return index, ids.take(pa.array(perm))


def as_strings(column: pa.DictionaryArray) -> pa.DictionaryArray:
    r"""A dictionary of integers as one of strings."""
    ids = column.dictionary.cast(pa.string())
    return pa.DictionaryArray.from_arrays(column.indices, ids)


def _not_utf8(ids: pa.Array, indices: np.ndarray) -> Wrong:
    for place, text in enumerate(ids.cast(pa.large_binary())):
        try:
            text.as_py().decode()
        except UnicodeDecodeError:
            row = int(np.flatnonzero(indices == place)[0])
            return Wrong(row, "UTF-8 text", repr(text.as_py()[:60]))
    raise AssertionError


def to_float(column: pa.Array) -> np.ndarray:
    r"""The column as finite floats of single precision."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    value = to_number(column).astype(np.float64, copy=False)
    with np.errstate(over="ignore"):
        out = value.astype(np.float32)
    _check_finite(out, value)
    return out


def to_weight(column: pa.Array) -> np.ndarray:
    r"""The column as finite floats of single precision, all above zero."""
    out = to_float(column)
    if not (out > 0).all():
        row = int((out <= 0).argmax())
        raise Wrong(row, "a weight > 0", column[row])
    return out


def to_time(column: pa.Array, unit: str | None) -> np.ndarray:
    r"""The column as integers or finite floats: numbers as they are, moments and dates
    as the whole units since 1970.
    """
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        try:
            column = column.cast(pa.timestamp(unit, zone(column.type)))
        except pa.ArrowInvalid as error:
            raise Wrong(None, f"times that fit into int64 as {unit!r}", error) from None
        return column.cast(pa.int64()).to_numpy()
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    out = to_number(column)
    _check_finite(out, out)
    return out


def unit_of(type: pa.DataType) -> str | None:
    r"""The unit of moments and dates; none of numbers."""
    if pa.types.is_timestamp(type):
        return type.unit
    if pa.types.is_date(type):
        return "s"
    return None


def zone(type: pa.DataType) -> str | None:
    r"""The zone of moments, if they have one."""
    return type.tz if pa.types.is_timestamp(type) else None


def to_number(column: pa.Array) -> np.ndarray:
    r"""The column as numbers of double width, integers or floats as it has them."""
    if pa.types.is_integer(column.type):
        if column.type == pa.uint64() and (pc.max(column).as_py() or 0) >= 2**63:
            high = pc.greater_equal(column, pa.scalar(2**63, pa.uint64()))
            row = pc.index(high, True).as_py()
            raise Wrong(row, "numbers < 2**63", column[row])
        return column.to_numpy().astype(np.int64, copy=False)
    if pa.types.is_floating(column.type):
        return column.to_numpy().astype(np.float64, copy=False)
    row = 0 if pa.types.is_boolean(column.type) else None
    raise Wrong(row, "a number", column.type)


def _check_finite(out: np.ndarray, value: np.ndarray) -> None:
    if np.isfinite(out).all():
        return
    row = int((~np.isfinite(out)).argmax())
    kind = "a finite float32 number" if np.isfinite(value[row]) else "a finite number"
    raise Wrong(row, kind, value[row])
