from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.frame import Frame
from ltgnn_pyg.datasets.readers.memory_sink import MemorySink
from ltgnn_pyg.datasets.readers.read_source import (
    check_options,
    needed_keys,
    read_source,
)


def read_frame(
    frame: Any,
    asked: Mapping[str, str | None],
    min_rating: float | None,
    duplicates: str,
) -> Interactions:
    r"""Reads a frame; see :meth:`Interactions.from_frame`."""
    check_options(duplicates)
    source, needed = Frame(frame, asked), needed_keys(asked, False, min_rating)
    out, _ = read_source(source, MemorySink, needed, min_rating, duplicates)
    return out
