r"""Raw ids to 0, 1, 2, ... in sorted runs on the disk, which are merged at last."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from ltgnn_pyg.datasets.readers.array_file import ArrayFile
from ltgnn_pyg.datasets.readers.column_values import number_ids

_STEP = 1 << 20  # Rows that are written at a time.
_RUN, _RANGE = 1 << 25, 1 << 26  # The most bytes: more would be slower to sort.


class _Run:
    # Distinct ids, sorted, in a file, and the place in it of each row's id in another.
    def __init__(self, stem: str, column: list[pa.DictionaryArray]) -> None:
        self._stem = stem
        index, ids = number_ids(column)
        schema = pa.schema([("id", ids.type)])
        with pa.OSFile(f"{stem}.ids", "wb") as to, pa.ipc.new_file(to, schema) as out:
            out.write_batch(pa.record_batch([ids], schema=schema))
        np.save(f"{stem}.npy", index.astype(np.int32))

    def read(self) -> tuple[pa.Array, np.ndarray]:
        with pa.memory_map(f"{self._stem}.ids") as file:
            column = pa.ipc.open_file(file).read_all().column(0)
        return column.chunk(0), np.load(f"{self._stem}.npy", mmap_mode="r")

    def as_strings(self) -> _Run:
        # As it must be once it is known that not all ids are integers.
        ids, index = self.read()
        if pa.types.is_string(ids.type):
            return self
        column = pa.DictionaryArray.from_arrays(index, ids.cast(pa.string()))
        return _Run(f"{self._stem}.text", [column])

    def rank(self, num: int) -> np.ndarray:
        # A number for each of the distinct ids, in a file.
        path = f"{self._stem}.rank"
        return np.lib.format.open_memmap(path, "w+", np.int64, (num,))


class ExternalIds:
    r"""Numbers one column of ids in the sorted order of the distinct ones.

    Batches are gathered to runs, each with its distinct ids sorted. At last the runs
    are merged, a range of ids at a time, so that what is in memory stays within the
    limit.

    Args:
        work (str): The folder for runs.
        folder (str): The folder that :obj:`{key}.npy` and :obj:`{key}_ids.parquet`
            go to.
        key (str): The name of the column.
        limit (int): The bytes that ids may take in memory.

    *Cost:* a sort of each run's distinct ids and one of all of them; two writes of
    the rows.
    """

    def __init__(self, work: str, folder: str, key: str, limit: int) -> None:
        self._work, self._folder, self._key, self._limit = work, folder, key, limit
        self._pending: list[pa.DictionaryArray] = []
        self._num_bytes = 0
        self._runs: list[_Run] = []

    def add(self, column: pa.DictionaryArray) -> None:
        r"""Takes the ids of a batch."""
        self._pending.append(column)
        self._num_bytes += column.dictionary.nbytes + column.indices.nbytes
        if self._num_bytes >= min(self._limit // 8, _RUN):
            self._flush()

    def finish(self, integers: bool) -> None:
        r"""Writes the numbers of all rows, and the ids."""
        self._flush()
        if not integers:
            self._runs = [run.as_strings() for run in self._runs]
        runs = [run.read() for run in self._runs]
        ranks = [
            run.rank(len(ids)) for run, (ids, _) in zip(self._runs, runs, strict=True)
        ]
        stem = os.path.join(self._folder, self._key)
        path, schema = f"{stem}_ids.parquet", pa.schema([("id", runs[0][0].type)])
        offset = 0
        with ParquetWriter(path, schema) as out:
            for bounds in self._ranges([ids for ids, _ in runs]):
                parts = [
                    ids.slice(start, stop - start).dictionary_encode()
                    for (ids, _), (start, stop) in zip(runs, bounds, strict=True)
                ]
                rank, ids = number_ids(parts)
                out.write_table(pa.table([ids], schema=schema))
                first = 0
                for to, (start, stop) in zip(ranks, bounds, strict=True):
                    to[start:stop] = rank[first : first + stop - start] + offset
                    first += stop - start
                offset += len(ids)
        with ArrayFile(f"{stem}.npy", np.int64) as file:
            for (_, index), to in zip(runs, ranks, strict=True):
                for start in range(0, len(index), _STEP):
                    file.write(to[index[start : start + _STEP]])

    def _flush(self) -> None:
        if self._pending:
            stem = os.path.join(self._work, f"{self._key}{len(self._runs)}")
            self._runs.append(_Run(stem, self._pending))
            self._pending, self._num_bytes = [], 0

    def _ranges(self, runs: list[pa.Array]) -> Iterator[list[tuple[int, int]]]:
        # The places in each run of ids of a range, for ranges that fit into memory.
        num_bytes = sum(ids.nbytes for ids in runs)
        num = -(-num_bytes // min(max(self._limit // 4, 1), _RANGE))
        sample: list[Any] = []
        for ids in runs:
            step = max(len(ids) // (8 * num), 1)
            sample += ids.take(pa.array(range(0, len(ids), step))).to_pylist()
        sample.sort()
        step = max(len(sample) // num, 1)
        starts = [0] * len(runs)
        for split in sample[step::step] if num > 1 else ():
            stops = [bisect_left(_Values(ids), split) for ids in runs]
            if stops != starts:
                yield list(zip(starts, stops, strict=True))
            starts = stops
        yield [(start, len(ids)) for start, ids in zip(starts, runs, strict=True)]


class _Values(Sequence[Any]):
    # The values of an array of Arrow, one at a time.
    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, at: Any) -> Any:
        return self._array[at].as_py()
