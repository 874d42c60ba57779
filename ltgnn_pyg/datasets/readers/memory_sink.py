r"""Rows that are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.column_names import IDS
from ltgnn_pyg.datasets.readers.column_values import as_strings, number_ids
from ltgnn_pyg.datasets.readers.sink import Sink


class MemorySink(Sink):
    r"""Keeps batches in memory.

    *Cost:* a few dozen bytes an interaction, and a sort of the distinct ids.
    """

    def __init__(self) -> None:
        self._batches: dict[str, list[Any]] = {}
        self._rows: np.ndarray | None = None
        self._out: Interactions

    def add(self, fields: Mapping[str, Any]) -> None:
        r"""Takes a batch."""
        for key, column in fields.items():
            self._batches.setdefault(key, []).append(column)

    def finish(
        self, integers: Mapping[str, bool], time_unit: str | None
    ) -> Interactions:
        r"""The interactions of all batches."""
        fields: dict[str, Any] = {}
        for key in list(self._batches):
            chunks = self._batches.pop(key)
            if key not in IDS:
                fields[key] = np.concatenate(chunks)
                continue
            if not integers[key]:
                is_number = [pa.types.is_integer(x.type.value_type) for x in chunks]
                chunks = [
                    as_strings(chunk) if number else chunk
                    for chunk, number in zip(chunks, is_number, strict=True)
                ]
            fields[key], ids = number_ids(chunks)
            if key == "behavior":
                fields["behaviors"] = tuple(map(str, ids.to_pylist()))
            else:
                fields[f"{key}_ids"] = ids.to_numpy(zero_copy_only=False)
                fields[f"num_{key}s"] = len(ids)
        self._rows = fields.pop("row", None)
        pa.default_memory_pool().release_unused()
        for key, value in fields.items():
            if key in (*IDS, "rating", "time", "weight"):
                fields[key] = torch.from_numpy(value)
        self._out = Interactions(**fields, time_unit=time_unit)
        return self._out

    def row(self, place: int) -> int:
        r"""The place in the source of an interaction."""
        return place if self._rows is None else int(self._rows[place])

    def keep(self, keep: np.ndarray, weight: np.ndarray | None) -> Interactions:
        r"""The interactions of a mask alone, with weights if there are new ones."""
        out = self._out
        if weight is not None:
            out = replace(out, weight=torch.from_numpy(weight))
        return out[torch.from_numpy(keep)]
