r"""Rows that are written to the files of a folder, under a limit of memory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.array_file import ArrayFile
from ltgnn_pyg.datasets.readers.column_names import IDS, KEYS
from ltgnn_pyg.datasets.readers.external_ids import ExternalIds
from ltgnn_pyg.datasets.readers.mapped_folder import SIZES, read_mapped
from ltgnn_pyg.datasets.readers.sink import Sink
from ltgnn_pyg.datasets.replace_file import replace_file, replace_text

_STEP = 1 << 20  # Rows that are copied at a time.
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class FolderSink(Sink):
    r"""Writes arrays to a folder inside the one that is asked for, and moves them up
    when all are whole.

    Args:
        folder (str): The folder.
        memory_limit (str): The memory that ids may take, such as :obj:`"500MB"`.

    *Cost:* see :class:`ExternalIds`; the pages that are written.
    """

    def __init__(self, folder: str, memory_limit: str) -> None:
        self._folder, self._limit = folder, _num_bytes(memory_limit)
        self._temp = TemporaryDirectory(prefix="_", dir=folder)
        self._done = os.path.join(self._temp.name, "done")
        os.mkdir(self._done)
        self._ids: dict[str, ExternalIds] = {}
        self._arrays: dict[str, ArrayFile] = {}
        self._sizes: dict[str, Any] = {}

    def add(self, fields: Mapping[str, Any]) -> None:
        r"""Takes a batch."""
        for key, column in fields.items():
            if key in IDS:
                if key not in self._ids:
                    self._ids[key] = ExternalIds(
                        self._temp.name, self._done, key, self._limit // 2
                    )
                self._ids[key].add(column)
            else:
                if key not in self._arrays:
                    to = self._temp.name if key == "row" else self._done
                    path = os.path.join(to, f"{key}.npy")
                    self._arrays[key] = ArrayFile(path, column.dtype)
                self._arrays[key].write(column)

    def finish(
        self, integers: Mapping[str, bool], time_unit: str | None
    ) -> Interactions:
        r"""The interactions of all batches, mapped."""
        for file in self._arrays.values():
            file.close()
        for key, ids in self._ids.items():
            ids.finish(integers[key])
        if time_unit is not None:
            self._sizes = {"time_unit": time_unit}
            replace_text(Path(self._done, SIZES), json.dumps(self._sizes))
        return self._open()

    def row(self, place: int) -> int:
        r"""The place in the source of an interaction."""
        path = os.path.join(self._temp.name, "row.npy")
        return (
            int(np.load(path, mmap_mode="r")[place]) if "row" in self._arrays else place
        )

    def keep(self, keep: np.ndarray, weight: np.ndarray | None) -> Interactions:
        r"""The interactions of a mask alone, with weights if there are new ones."""
        if weight is not None:
            np.save(os.path.join(self._done, "weight.npy"), weight)
        for key in KEYS:
            path = Path(self._done, f"{key}.npy")
            if path.exists():
                replace_file(path, partial(_write_kept, path, keep))
        return self._open()

    def publish(self, out: Interactions) -> None:
        r"""Moves the files to the folder, the sizes last of all."""
        for name in set(os.listdir(self._done)) - {SIZES}:
            move = partial(os.replace, os.path.join(self._done, name))
            replace_file(Path(self._folder, name), move)
        sizes = {"num_users": out.num_users, "num_items": out.num_items}
        sizes |= {"num_interactions": len(out), **self._sizes}
        replace_text(Path(self._folder, SIZES), json.dumps(sizes) + "\n")

    def close(self) -> None:
        r"""Removes what is left of the work."""
        for file in self._arrays.values():
            file.close()
        self._temp.cleanup()

    def _open(self) -> Interactions:
        out, _ = read_mapped(self._done, dict.fromkeys(KEYS))
        return out


def _write_kept(path: Path, keep: np.ndarray, to: Path) -> None:
    value = np.load(path, mmap_mode="r")
    with ArrayFile(os.fspath(to), value.dtype) as out:
        for start in range(0, len(value), _STEP):
            rows = slice(start, start + _STEP)
            out.write(value[rows][keep[rows]])


def _num_bytes(size: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B\s*", size, re.IGNORECASE)
    if not found:
        raise ValueError(
            f"Expected memory_limit as a size (got {size!r}); pass one such as '1GB'"
        )
    number, unit, binary = found.groups()
    scale = _UNITS[unit.upper()]
    if binary:
        scale = 1 << 10 * list(_UNITS).index(unit.upper())
    return int(float(number) * scale)
