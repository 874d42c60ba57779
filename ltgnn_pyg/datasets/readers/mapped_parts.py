r"""Parquet files of another job, whose ids are numbers already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ltgnn_pyg.datasets.readers.column_names import IDS, choose_columns
from ltgnn_pyg.datasets.readers.column_values import (
    Wrong,
    filled,
    plain,
    to_float,
    to_number,
    to_time,
    unit_of,
)
from ltgnn_pyg.datasets.readers.mapped_arrays import dtype_of
from ltgnn_pyg.datasets.readers.parquet_files import parquet_error

_STEP = 1 << 20  # Rows that are converted at a time.


def read_parts(paths: list[str], asked: Mapping[str, str | None]) -> dict[str, Any]:
    r"""Reads the columns of all files, by key; :obj:`time_unit` beside them.

    *Cost:* linear in the files; 8 bytes of memory for each number.
    """
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
    for key in types.keys() & set(IDS):
        if not pa.types.is_integer(types[key]):
            raise ValueError(
                f"{paths[0]}: Expected {key}s that are mapped to integers (got "
                f"{types[key]}); map the files with map_interactions"
            )
    num = sum(file.metadata.num_rows for file, _ in files)
    out: dict[str, np.ndarray] = {
        key: np.empty(num, dtype_of(key, _is_float(type)))
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
    unit = unit_of(types["time"]) if "time" in types else None
    return {"time_unit": unit, **{k: torch.from_numpy(v) for k, v in out.items()}}


def _is_float(type: pa.DataType) -> bool:
    return not pa.types.is_integer(type) and unit_of(type) is None


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
        column = plain(filled(batch[name]))
        if key == "time":
            return to_time(column, unit_of(column.type))
        return to_number(column) if key in IDS else to_float(column)
    except Wrong as wrong:
        row, expected, got = wrong.args
        raise ValueError(
            f"{path}, row {first + row + 1}: Expected {expected} in column {name!r} "
            f"(got {got}); mend or remove the row"
        ) from None


def _show(types: Mapping[str, pa.DataType]) -> str:
    return ", ".join(f"{key} {type}" for key, type in types.items())
