r"""Arrays of numpy, mapped into memory."""

from __future__ import annotations

import mmap
import sys

import numpy as np

from ltgnn_pyg.datasets.readers.column_names import IDS

_STEP = 1 << 20  # Rows that are converted at a time.


def load_array(path: str) -> np.ndarray:
    r"""Maps an array; what is written to it stays in memory, the file is as it was."""
    try:
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


def read_column(path: str, key: str) -> np.ndarray:
    r"""The array of a key, of the type that interactions have."""
    value = load_array(path)
    if value.ndim != 1 or value.dtype.kind not in ("iu" if key in IDS else "iuf"):
        what = "integers" if key in IDS else "numbers"
        raise ValueError(
            f"{path}: Expected {what} of one dimension (got {value.dtype} "
            f"{list(value.shape)}); write it again"
        )
    dtype = dtype_of(key, value.dtype.kind == "f")
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


def release(value: np.ndarray) -> None:
    r"""Gives up the pages of an array that are in memory; none was written to."""
    if isinstance(value, np.memmap) and sys.platform != "win32":
        value._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def dtype_of(key: str, is_float: bool) -> type:
    r"""The type that the numbers of a key have in interactions."""
    if key in ("rating", "weight"):
        return np.float32
    return np.float64 if is_float else np.int64
