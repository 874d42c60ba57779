r"""Parts whose ids are mapped already: arrays of numpy, or Parquet of another job."""

from __future__ import annotations

import json
import mmap
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ltgnn_pyg.datasets.column_formats import choose_columns, parquet_error
from ltgnn_pyg.datasets.column_values import Wrong, filled, to_number
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.text_formats import Locate

SIZES = "sizes.json"
_PARQUET = (".parquet", ".pq")
_STEP = 1 << 20  # Rows that are converted at a time.


def read_mapped(
    path: str,
    asked: Mapping[str, str | None],
    num_users: int | None = None,
    num_items: int | None = None,
) -> tuple[Interactions, Locate]:
    r"""Reads a folder of mapped parts; the numbers of users and items are given, or
    stand in :obj:`sizes.json`, or are those of the raw ids.

    *Cost:* :math:`O(E)`. Arrays of the right type are mapped into memory and take
    none until they are used; others and Parquet take 8 bytes for each number.
    """
    names = sorted(os.listdir(path))
    ids = {key: _read_ids(path, f"{key}_ids", names) for key in ("user", "item")}
    parts = [
        name
        for name in names
        if name.endswith(_PARQUET) and name[0] not in "._" and not _is_ids(name)
    ]
    has_arrays = "user.npy" in names or "item.npy" in names
    if has_arrays == bool(parts):
        raise ValueError(
            f"{path}: Expected a folder with either 'user.npy' and 'item.npy' or "
            f"Parquet files (got {'both' if parts else names[:5]}); pass the folder "
            f"that holds the parts themselves"
        )
    given = {"user": num_users, "item": num_items}
    sizes = _read_sizes(path) if SIZES in names else {}
    nums = {key: _number(path, key, given[key], sizes, ids[key]) for key in given}
    fields: dict[str, Any]
    arrays: list[np.ndarray] = []
    if has_arrays:
        if any(asked.values()):
            raise ValueError(
                f"{path}: Expected no column names for arrays, whose files bear them "
                f"(got {[name for name in asked.values() if name]}); leave them out"
            )
        found = [k for k in asked if k in ("user", "item") or f"{k}.npy" in names]
        arrays = [_read_array(os.path.join(path, f"{k}.npy"), k) for k in found]
        fields = dict(zip(found, map(torch.from_numpy, arrays), strict=True))
    else:
        fields = _read_parts([os.path.join(path, name) for name in parts], asked)
    num = sizes.get("num_interactions", len(fields["user"]))
    if len(fields["user"]) != num:
        raise ValueError(
            f"{path}: Expected {num} interactions, as {SIZES} says (got "
            f"{len(fields['user'])}); fetch the parts again"
        )
    try:
        out = Interactions(
            **fields,
            num_users=nums["user"],
            num_items=nums["item"],
            user_ids=ids["user"],
            item_ids=ids["item"],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for value in arrays:
        _release(value)  # The check has read all pages.
    return out, lambda row: f"row {row + 1}"


def _is_ids(name: str) -> bool:
    return name.rsplit(".", 1)[0] in ("user_ids", "item_ids")


def _read_ids(path: str, stem: str, names: list[str]) -> np.ndarray | None:
    if f"{stem}.parquet" in names:
        file = os.path.join(path, f"{stem}.parquet")
        try:
            column = pq.read_table(file).column(0)
        except (pa.ArrowException, OSError, IndexError) as error:
            raise parquet_error(file, error) from None
        if column.null_count:
            raise ValueError(
                f"{file}: Expected raw ids (got {column.null_count} empty ones); give "
                f"one per {stem.removesuffix('_ids')}, in the order of their numbers"
            )
        return column.to_numpy()
    if f"{stem}.npy" in names:
        return _load(os.path.join(path, f"{stem}.npy"))
    return None


def _read_sizes(path: str) -> dict[str, int]:
    file = os.path.join(path, SIZES)
    keys = {"num_users", "num_items", "num_interactions"}
    try:
        with open(file, encoding="utf-8") as text:
            sizes = json.load(text)
        whole = isinstance(sizes, dict) and sizes.keys() <= keys
        if whole and all(type(size) is int and size >= 0 for size in sizes.values()):
            return sizes
    except ValueError:
        sizes = "text that is no JSON"
    raise ValueError(
        f"{file}: Expected integers 'num_users', 'num_items' and, if you like, "
        f"'num_interactions' (got {sizes}); write the file again"
    )


def _number(
    path: str,
    key: str,
    given: int | None,
    sizes: Mapping[str, int],
    ids: np.ndarray | None,
) -> int:
    name = f"num_{key}s"
    said: dict[str, int] = {} if given is None else {"the argument": given}
    if name in sizes:
        said[SIZES] = sizes[name]
    if ids is not None:
        said[f"{key}_ids"] = len(ids)
    if not said:
        raise ValueError(
            f"{path}: Expected the number of {key}s of mapped parts (got none); if "
            f"{key}s are numbered 0, 1, 2, ... already, pass {name}= or write it into "
            f"{SIZES}, else map the files with map_interactions"
        )
    if len(set(said.values())) > 1:
        raise ValueError(
            f"{path}: Expected one number of {key}s (got {said}); mend the wrong one"
        )
    return next(iter(said.values()))


def _load(path: str) -> np.ndarray:
    try:
        # Mapped; what is written to it stays in memory, the file is as it was.
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(
            f"{path}: Expected a file of this name (got none); write the folder again"
        ) from None
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: Expected a whole array of numbers or text (got {error}); write "
            f"it again with numpy.save"
        ) from None


def _read_array(path: str, key: str) -> np.ndarray:
    value = _load(path)
    if value.ndim != 1 or value.dtype.kind not in (
        "iu" if key in ("user", "item") else "iuf"
    ):
        what = "numbers" if key in ("rating", "time") else "integers"
        raise ValueError(
            f"{path}: Expected {what} of one dimension (got {value.dtype} "
            f"{list(value.shape)}); write it again"
        )
    dtype = _dtype(key, value.dtype.kind == "f")
    if value.dtype == dtype and value.flags.c_contiguous:
        return value
    out: np.ndarray = np.empty(len(value), dtype)
    for start in range(0, len(value), _STEP):
        chunk = value[start : start + _STEP]
        if value.dtype == np.uint64 and chunk.max() >= 2**63:
            raise ValueError(
                f"{path}: Expected integers < 2**63 (got {chunk.max()}); map the ids"
            )
        out[start : start + _STEP] = chunk
    return out


def _release(value: np.ndarray) -> None:
    # The pages of a mapped array that are in memory; nothing was written to them.
    if isinstance(value, np.memmap) and sys.platform != "win32":
        value._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _dtype(key: str, is_float: bool) -> type:
    if key == "rating":
        return np.float32
    return np.float64 if is_float else np.int64


def _read_parts(paths: list[str], asked: Mapping[str, str | None]) -> dict[str, Tensor]:
    files: list[tuple[pq.ParquetFile, dict[str, str]]] = []
    types: dict[str, pa.DataType] = {}
    for path in paths:
        try:
            file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise parquet_error(path, error) from None
        columns = choose_columns(path, file.schema_arrow.names, asked)
        own = {key: file.schema_arrow.field(columns[key]).type for key in columns}
        types = types or own
        if own != types:
            raise ValueError(
                f"{path}: Expected the columns and types of the parts before (got "
                f"{_show(own)}, before {_show(types)}); write all parts alike"
            )
        files.append((file, columns))
    for key in ("user", "item"):
        if not pa.types.is_integer(types[key]):
            raise ValueError(
                f"{paths[0]}: Expected {key}s that are mapped to integers (got "
                f"{types[key]}); map the files with map_interactions"
            )
    num = sum(file.metadata.num_rows for file, _ in files)
    out: dict[str, Any] = {
        key: np.empty(num, _dtype(key, pa.types.is_floating(type)))
        for key, type in types.items()
    }
    start = 0
    for path, (file, columns) in zip(paths, files, strict=True):
        row = start
        with file:
            for batch in _batches(path, file, columns):
                for key, name in columns.items():
                    stop = row + batch.num_rows
                    out[key][row:stop] = _values(path, batch, key, name, row - start)
                row = stop
        start = row
    return {key: torch.from_numpy(value) for key, value in out.items()}


def _batches(
    path: str, file: pq.ParquetFile, columns: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(_STEP, columns=list(columns.values()))
    except (pa.ArrowException, OSError) as error:
        raise parquet_error(path, error) from None


def _values(
    path: str, batch: pa.RecordBatch, key: str, name: str, first: int
) -> np.ndarray:
    try:
        column = filled(pa.chunked_array([batch[name]]))
        return to_number(column, single=key == "rating").numpy()
    except Wrong as wrong:
        row, expected, got = wrong.args
        raise ValueError(
            f"{path}, row {first + row + 1}: Expected {expected} in column {name!r} "
            f"(got {got}); mend or remove the row"
        ) from None


def _show(types: Mapping[str, pa.DataType]) -> str:
    return ", ".join(f"{key} {type}" for key, type in types.items())
