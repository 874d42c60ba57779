r"""Columns of Arrow to tensors: ids to indices, numbers to numbers, none guessed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

INTEGER = "^(0|-?[1-9][0-9]*)$"
NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"


class Wrong(Exception):
    r"""A value that cannot stand: its row, what was expected, what was got."""


def filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    r"""The column, if none of its fields is empty."""
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise Wrong(row, "a value", "an empty or NaN field")
    return column


def to_index(column: pa.ChunkedArray) -> tuple[Tensor, np.ndarray]:
    r"""The index of each raw id, and the ids in sorted order.

    Integers below :math:`2^{63}` count as numbers, all else as strings.

    *Cost:* :math:`O(E)` and a sort of the distinct ids.
    """
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    ids = column.chunk(0).dictionary
    if pa.types.is_integer(ids.type):
        ids = ids.cast(pa.string())
    elif not pa.types.is_string(ids.type) and not pa.types.is_large_string(ids.type):
        raise Wrong(0, "integer or string ids", ids.type)
    indices = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    try:
        ids.validate(full=True)
    except pa.ArrowInvalid:
        raise _not_utf8(ids, indices) from None
    if pc.all(pc.match_substring_regex(ids, INTEGER)).as_py():
        try:
            ids = ids.cast(pa.int64())
        except pa.ArrowInvalid:  # Beyond int64; as strings they stay what they are.
            pass
    perm = pc.array_sort_indices(ids).to_numpy()
    rank = np.empty(len(ids), np.int64)
    rank[perm] = np.arange(len(ids))
    index = rank[indices]
    ids = ids.take(pa.array(perm)).to_numpy(zero_copy_only=False)
    if ids.dtype == np.int64 and ids[0] < 0:
        raise Wrong(int(index.argmin()), "ids >= 0", ids[0])
    return torch.from_numpy(index), ids


def to_id(column: pa.ChunkedArray, type: pa.DataType) -> pa.ChunkedArray:
    r"""The raw ids as they are, of :obj:`int64` or as strings, whichever is asked."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kinds = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise Wrong(0, "integer or string ids", column.type)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        ids = column.combine_chunks()
        raise _not_utf8(ids, np.arange(len(ids))) from None
    return column.cast(type)


def _not_utf8(ids: pa.Array, indices: np.ndarray) -> Wrong:
    for place, text in enumerate(ids.cast(pa.large_binary())):
        try:
            text.as_py().decode()
        except UnicodeDecodeError:
            row = int(np.flatnonzero(indices == place)[0])
            return Wrong(row, "UTF-8 text", repr(text.as_py()[:60]))
    raise AssertionError


def to_number(column: pa.ChunkedArray, single: bool) -> Tensor:
    r"""The column as numbers: integers, or floats of double or single precision."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        row = pc.index(pc.match_substring_regex(column, NUMBER), False).as_py()
        raise Wrong(max(row, 0), "a number", repr(column[max(row, 0)].as_py()))
    if pa.types.is_integer(column.type):
        if column.type == pa.uint64() and pc.max(column).as_py() >= 2**63:
            row = pc.index(
                pc.greater_equal(column, pa.scalar(2**63, pa.uint64())), True
            )
            raise Wrong(row.as_py(), "numbers < 2**63", column[row.as_py()])
        value = column.to_numpy().astype(np.int64)
    elif pa.types.is_floating(column.type):
        value = column.to_numpy().astype(np.float64)
    else:
        raise Wrong(0, "a number", column.type)
    with np.errstate(over="ignore"):
        out = torch.from_numpy(value.astype(np.float32) if single else value)
    if not bool(out.isfinite().all()):
        row = int((~out.isfinite()).nonzero()[0])
        kind = (
            "a finite float32 number" if np.isfinite(value[row]) else "a finite number"
        )
        raise Wrong(row, kind, column[row])
    return out
