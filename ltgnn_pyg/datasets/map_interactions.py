from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from functools import partial
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np
from pyarrow.parquet import ParquetFile

from ltgnn_pyg.datasets.column_formats import SEPARATOR, first_is_odd, header_error
from ltgnn_pyg.datasets.column_values import Wrong
from ltgnn_pyg.datasets.gather_columns import GatherColumns
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.mapped_parts import SIZES, read_mapped
from ltgnn_pyg.datasets.number_ids import number_ids
from ltgnn_pyg.datasets.raw_file import whole_gzip
from ltgnn_pyg.datasets.read_interactions import (
    check_names,
    check_options,
    duplicate_error,
    guess_format,
    none_error,
)

_FORMATS = ("csv", "tsv", "recbole", "parquet")
_KEYS = ("user", "item", "rating", "time")
_STEP = 1 << 20  # Rows that are copied at a time.


def map_interactions(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    format: str | None = None,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    sep: str | None = None,
    names: Sequence[str] | None = None,
    min_rating: float | None = None,
    duplicates: str = "error",
    memory_limit: str = "1GB",
) -> Interactions:
    r"""Maps the ids of files larger than memory, once, and keeps the result.

    Reads what :func:`read_interactions` reads, by the same rules, and gives the same
    :class:`Interactions`, but mapped to the files of a folder, which
    :func:`read_interactions` opens again in no time:

    .. code-block:: python

        interactions = map_interactions("events/*.csv", "mapped")
        interactions = read_interactions("mapped")  # From then on.

    Ids are numbered by `DuckDB <https://duckdb.org>`__, which spills to the disk what
    exceeds its :obj:`memory_limit`; :obj:`pip install ltgnn_pyg[large]` brings it.
    The folder then holds :obj:`user.npy`, :obj:`item.npy`, :obj:`rating.npy` and
    :obj:`time.npy`, if there are any, in the order of the files,
    :obj:`user_ids.parquet` and :obj:`item_ids.parquet`, and, last of all,
    :obj:`sizes.json`.

    Args:
        path (str or Sequence[str]): The file or files. A name may be a pattern, as
            :obj:`"events/*.csv"`, whose files are read in the order of their names.
        folder (str): Where the result goes: a folder that is empty or not yet there.
            What is spilled lies there, too, meanwhile.
        format (str, optional): :obj:`"csv"`, :obj:`"tsv"`, :obj:`"recbole"` or
            :obj:`"parquet"`. If :obj:`None`, as the first file tells.
            (default: :obj:`None`)
        user (str, optional): The column of users, see :func:`read_interactions`.
            (default: :obj:`None`)
        item (str, optional): The column of items. (default: :obj:`None`)
        rating (str, optional): The column of ratings. (default: :obj:`None`)
        time (str, optional): The column of times. (default: :obj:`None`)
        sep (str, optional): The separator of columns. (default: :obj:`None`)
        names (Sequence[str], optional): The names of all columns of text without a
            line of them. (default: :obj:`None`)
        min_rating (float, optional): Drops interactions rated lower, before ids are
            numbered. (default: :obj:`None`)
        duplicates (str, optional): If :obj:`"error"`, a repeated pair is an error; if
            :obj:`"drop"`, its first occurrence stays. (default: :obj:`"error"`)
        memory_limit (str, optional): The memory that DuckDB may take, such as
            :obj:`"500MB"`. The rest of the work holds blocks of rows, and pages of the
            mapped result, which the system takes back when it is short of them.
            (default: :obj:`"1GB"`)

    Shapes:
        - **output:** :class:`Interactions` of :math:`E` distinct pairs, in the order
          of the files

    Raises:
        ImportError: If DuckDB is not there.
        ValueError: If there is no such file, the folder is not empty,
            :obj:`memory_limit` is too little, or for what :func:`read_interactions`
            refuses. The folder then stays empty.

    *Cost:* linear in the files but for sorts of the distinct ids and of the pairs;
    disk for about the files once more, and 16 to 28 bytes an interaction to stay.
    """
    check_options(duplicates, sep)
    paths = _find(path)
    with whole_gzip(paths[0]):
        format = format or guess_format(paths[0], columns=bool(sep or names))
    if format not in _FORMATS:
        raise ValueError(
            f"Expected format to be one of {_FORMATS} (got {format!r}); other formats "
            f"are for read_interactions"
        )
    check_names(names, format)
    asked = {"user": user, "item": item, "rating": rating, "time": time}
    needed = {key for key in asked if asked[key] or names is not None}
    needed |= {"user", "item"} | ({"rating"} if min_rating is not None else set())
    columns = GatherColumns(paths, format, asked, needed, sep, names, min_rating)
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise ValueError(
            f"{folder}: Expected an empty folder (got {os.listdir(folder)[:5]}); name "
            f"another"
        )
    with TemporaryDirectory(prefix="_", dir=folder) as work:
        raw, done = os.path.join(work, "raw.parquet"), os.path.join(work, "done")
        os.mkdir(done)
        columns.write(raw)
        try:
            number_ids(raw, done, memory_limit, columns.dropped_integers)
        except Wrong as wrong:
            row, expected, got, key = wrong.args
            raise columns.wrong(raw, key, row, expected, got) from None
        numbers = _write_numbers(raw, done)
        out, _ = read_mapped(done, dict.fromkeys(_KEYS))
        if names is not None and first_is_odd(vars(out)):
            raise header_error(paths[0], sep or SEPARATOR[format])
        repeated = out.repeated()
        if bool(repeated.any()):
            if duplicates == "error":
                raise duplicate_error(out, repeated, partial(columns.place, raw))
            del out
            _keep(done, ["user", "item", *numbers], ~repeated.numpy())
            out, _ = read_mapped(done, dict.fromkeys(_KEYS))
        for name in os.listdir(done):
            os.replace(os.path.join(done, name), os.path.join(folder, name))
    sizes = {"num_users": out.num_users, "num_items": out.num_items}
    text = json.dumps({**sizes, "num_interactions": len(out)})
    with open(os.path.join(folder, f"{SIZES}.tmp"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.replace(os.path.join(folder, f"{SIZES}.tmp"), os.path.join(folder, SIZES))
    return out


def _find(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[str]:
    given = [path] if isinstance(path, str | os.PathLike) else path
    paths: list[str] = []
    for each in given:
        pattern = os.fspath(each)
        found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not found:
            raise ValueError(
                f"Expected files named {pattern!r} (got none); mend the name or pattern"
            )
        paths += found
    for name in paths:
        if not os.path.isfile(name):
            raise ValueError(
                f"{name}: Expected a file (got a folder); pass a pattern such as "
                f"{os.path.join(name, '*.parquet')!r}"
            )
        if os.path.getsize(name) == 0:
            raise none_error(name, "an empty file")
    return paths


def _write_numbers(raw: str, folder: str) -> list[str]:
    with ParquetFile(raw) as file:
        keys = [key for key in ("rating", "time") if key in file.schema_arrow.names]
        for key in keys:
            path = os.path.join(folder, f"{key}.npy")
            dtype = file.schema_arrow.field(key).type.to_pandas_dtype()
            with open(path, "wb") as out:
                _write_header(out, dtype, file.metadata.num_rows)
                for batch in file.iter_batches(columns=[key]):
                    batch.column(0).to_numpy().tofile(out)
    return keys


def _write_header(out: BinaryIO, dtype: type, num: int) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": (num,)}
    np.lib.format.write_array_header_1_0(out, header)
    out.flush()


def _keep(folder: str, keys: list[str], keep: np.ndarray) -> None:
    for key in keys:
        path = os.path.join(folder, f"{key}.npy")
        value = np.load(path, mmap_mode="r")
        with open(f"{path}.tmp", "wb") as out:
            _write_header(out, value.dtype.type, int(keep.sum()))
            for start in range(0, len(value), _STEP):
                rows = slice(start, start + _STEP)
                value[rows][keep[rows]].tofile(out)
        os.replace(f"{path}.tmp", path)
