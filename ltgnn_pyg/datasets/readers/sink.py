r"""The place that rows go to while they are read: memory, or files of a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from ltgnn_pyg.datasets.interactions import Interactions


class Sink(ABC):
    r"""Takes batches of columns, numbers their ids and makes interactions of them."""

    @abstractmethod
    def add(self, fields: Mapping[str, Any]) -> None:
        r"""Takes a batch.

        Args:
            fields (Mapping[str, Any]): Raw ids as a :class:`pyarrow.DictionaryArray`,
                numbers as a :class:`numpy.ndarray`; all batches have the same keys.
                :obj:`row` is the place of a row in the source, where some were left
                out.
        """

    @abstractmethod
    def finish(
        self, integers: Mapping[str, bool], time_unit: str | None
    ) -> Interactions:
        r"""The interactions of all batches.

        Args:
            integers (Mapping[str, bool]): :obj:`True` for ids that count as numbers,
                by key.
            time_unit (str, optional): The unit of times.
        """

    @abstractmethod
    def row(self, place: int) -> int:
        r"""The place in the source of an interaction."""

    @abstractmethod
    def keep(self, keep: np.ndarray, weight: np.ndarray | None) -> Interactions:
        r"""The interactions of a mask alone, with weights if there are new ones."""

    def close(self) -> None:  # noqa: B027
        r"""Gives up what was taken."""
