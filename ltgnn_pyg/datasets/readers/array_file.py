r"""A file of numpy that grows, whose length is known at last."""

from __future__ import annotations

from types import TracebackType

import numpy as np


class ArrayFile:
    r"""An array of one dimension, written a part at a time; a context manager.

    Args:
        path (str): The file, a :obj:`.npy`.
        dtype (type): The type of its values.

    *Cost:* one write of the values.
    """

    def __init__(self, path: str, dtype: type | np.dtype) -> None:
        self._file = open(path, "wb")
        self._dtype, self._num = np.dtype(dtype), 0
        self._write_header()

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, value: np.ndarray) -> None:
        r"""Appends values of the type of the array."""
        assert value.dtype == self._dtype
        value.tofile(self._file)
        self._num += len(value)

    def close(self) -> None:
        r"""Writes the length into the header, which numpy leaves room for."""
        if self._file.closed:
            return
        end = self._file.tell()
        self._file.seek(0)
        self._write_header()
        self._file.seek(end)
        self._file.close()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self._num,)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.flush()
