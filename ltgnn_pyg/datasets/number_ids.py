r"""Raw ids to 0, 1, 2, ... by DuckDB, which spills what exceeds its memory."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from pyarrow.parquet import ParquetFile

from ltgnn_pyg.datasets.column_values import INTEGER, Wrong

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_STEP = 1 << 20  # Rows that are written at a time.


def number_ids(
    raw: str, folder: str, memory_limit: str, integers: Mapping[str, bool]
) -> None:
    r"""Numbers the columns :obj:`user` and :obj:`item` of a Parquet file in the sorted
    order of their distinct ids.

    Args:
        raw (str): The Parquet file.
        folder (str): Where :obj:`user.npy`, :obj:`item.npy`, :obj:`user_ids.parquet`
            and :obj:`item_ids.parquet` go.
        memory_limit (str): The memory that DuckDB may take.
        integers (Mapping[str, bool]): Whether ids count as numbers if all of them are
            integers, or else as strings in any case.

    Raises:
        ImportError: If DuckDB is not there.
        ValueError: If :obj:`memory_limit` is no size or too little.
        Wrong: If an id is negative.

    *Cost:* a scan of the file and a sort of the distinct ids for each column, then a
    join of the file with both.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ImportError(
            "Expected DuckDB to map ids with (got none); pip install 'ltgnn_pyg[large]'"
        ) from error
    with duckdb.connect() as con:
        try:
            con.execute("SET memory_limit = ?", [memory_limit])
        except duckdb.Error as error:
            raise ValueError(
                f"Expected memory_limit as a size (got {memory_limit!r}: {error}); "
                f"pass one such as '1GB'"
            ) from None
        con.execute("SET temp_directory = ?", [f"{raw}.spilled"])
        con.execute(f"SET threads = {torch.get_num_threads()}")
        try:
            casts = {
                key: _write_ids(con, raw, folder, key, integers[key])
                for key in ("user", "item")
            }
            _write_numbers(con, raw, folder, casts)
        except (duckdb.OutOfMemoryException, OSError) as error:
            if "Out of Memory" not in str(error):  # As batches of Arrow say it.
                raise
            text = str(error).split("\n")[0]
            raise ValueError(
                f"Expected enough memory to map these ids with (got memory_limit="
                f"{memory_limit!r}: {text}); raise it"
            ) from None


def _write_ids(
    con: DuckDBPyConnection, raw: str, folder: str, key: str, integers: bool
) -> str:
    # Writes the sorted ids, and returns the type that they have there.
    con.execute(
        f'CREATE TEMP TABLE ids AS SELECT DISTINCT "{key}" AS id FROM {_scan(raw)}'
    )
    ((whole, least),) = con.execute(
        "SELECT bool_and(regexp_matches(id::VARCHAR, ?) "
        "AND TRY_CAST(id AS BIGINT) IS NOT NULL), min(TRY_CAST(id AS BIGINT)) FROM ids",
        [INTEGER],
    ).fetchall()
    cast = "BIGINT" if integers and whole else "VARCHAR"
    if cast == "BIGINT" and least < 0:
        ((first,),) = con.execute(
            f'SELECT min(file_row_number) FROM {_scan(raw)} WHERE "{key}"::BIGINT = ?',
            [least],
        ).fetchall()
        raise Wrong(first, "ids >= 0", least, key)
    con.execute(
        f"COPY (SELECT id::{cast} AS id FROM ids ORDER BY 1) TO "
        f"{_text(os.path.join(folder, f'{key}_ids.parquet'))} (FORMAT parquet)"
    )
    con.execute("DROP TABLE ids")
    return cast


def _write_numbers(
    con: DuckDBPyConnection, raw: str, folder: str, casts: Mapping[str, str]
) -> None:
    num_rows = ParquetFile(raw).metadata.num_rows
    for key in casts:
        path = os.path.join(folder, f"{key}.npy")
        np.lib.format.open_memmap(path, "w+", np.int64, (num_rows,))
    users, items = (_scan(os.path.join(folder, f"{key}_ids.parquet")) for key in casts)
    con.execute("SET preserve_insertion_order = false")  # Rows bear their place.
    batches = con.sql(
        f"SELECT r.file_row_number AS place, u.file_row_number AS user, "
        f"i.file_row_number AS item FROM {_scan(raw)} r "
        f'JOIN {users} u ON r."user"::{casts["user"]} = u.id '
        f'JOIN {items} i ON r."item"::{casts["item"]} = i.id'
    ).to_arrow_reader(_STEP)
    num = 0
    for batch in batches:
        place, *numbers = (column.to_numpy() for column in batch.columns)
        for key, number in zip(casts, numbers, strict=True):
            # Mapped for a batch alone, so that written pages do not pile up.
            out = np.load(os.path.join(folder, f"{key}.npy"), mmap_mode="r+")
            out[place] = number
        num += batch.num_rows
    assert num == num_rows


def _scan(path: str) -> str:
    # The name is a name, neither a pattern nor full of values of columns.
    name = _text(glob.escape(path))
    return f"read_parquet({name}, file_row_number = true, hive_partitioning = false)"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
