r"""Raw ids to 0, 1, 2, ... in sorted runs on the disk, which are merged at last."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from ltgnn_pyg.datasets.readers.array_file import ArrayFile
from ltgnn_pyg.datasets.readers.column_values import number_ids

_STEP = 1 << 20  # Rows that are written at a time.
_RUN, _RANGE = 1 << 25, 1 << 26  # The most bytes: more would be slower to sort.


@dataclass
class _Run:
    # Distinct ids, sorted, in a file, and the place in it of each row's id in another.
    ids: str
    index: str

    def read(self) -> tuple[pa.Array, np.ndarray]:
        with pa.memory_map(self.ids) as file:
            column = pa.ipc.open_file(file).read_all().column(0)
        return column.chunk(0), np.load(self.index, mmap_mode="r")


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
        runs = [run.read() for run in self._runs]
        if not integers:
            runs = [
                self._as_strings(number, *run)
                if pa.types.is_integer(run[0].type)
                else run
                for number, run in enumerate(runs)
            ]
        ranks = [
            self._rank_file(number, len(ids)) for number, (ids, _) in enumerate(runs)
        ]
        path = os.path.join(self._folder, f"{self._key}_ids.parquet")
        schema = pa.schema([("id", runs[0][0].type)])
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
        with ArrayFile(
            os.path.join(self._folder, f"{self._key}.npy"), np.int64
        ) as file:
            for (_, index), to in zip(runs, ranks, strict=True):
                for start in range(0, len(index), _STEP):
                    file.write(to[index[start : start + _STEP]])

    def _flush(self) -> None:
        if not self._pending:
            return
        index, ids = number_ids(self._pending)
        self._pending, self._num_bytes = [], 0
        stem = os.path.join(self._work, f"{self._key}{len(self._runs)}")
        run = _Run(f"{stem}.arrow", f"{stem}.npy")
        _write_ids(run.ids, ids)
        with ArrayFile(run.index, np.int32) as file:
            file.write(index.astype(np.int32))
        self._runs.append(run)

    def _as_strings(
        self, number: int, ids: pa.Array, index: np.ndarray
    ) -> tuple[pa.Array, np.ndarray]:
        # A run of integers once it is known that not all ids are.
        column = pa.DictionaryArray.from_arrays(index, ids.cast(pa.string()))
        new, ids = number_ids([column])
        run = _Run(*(f"{path}.text" for path in vars(self._runs[number]).values()))
        _write_ids(run.ids, ids)
        with ArrayFile(run.index, np.int32) as file:
            file.write(new.astype(np.int32))
        return run.read()

    def _rank_file(self, number: int, num: int) -> np.ndarray:
        path = os.path.join(self._work, f"{self._key}{number}.rank")
        return np.lib.format.open_memmap(path, "w+", np.int64, (num,))

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


def _write_ids(path: str, ids: pa.Array) -> None:
    schema = pa.schema([("id", ids.type)])
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, schema) as out:
        out.write_batch(pa.record_batch([ids], schema=schema))
