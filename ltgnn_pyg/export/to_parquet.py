import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ltgnn_pyg.datasets.replace_file import replace_file
from ltgnn_pyg.runs import Ids, RunFolder


def to_parquet(run: RunFolder, out: str | os.PathLike[str]) -> list[Path]:
    """Writes tables for those who live in data frames, databases or Spark.

    ====================== ========================================================
    :obj:`users.parquet`   :obj:`id`, the raw id as a string, and :obj:`vector`, a
                           list of D numbers (:obj:`fixed_size_list<float>[D]`)
    :obj:`items.parquet`   the same, and :obj:`bias`, where there is one
    ====================== ========================================================

    Numbers are :obj:`float32`.

    Args:
        run (RunFolder): The trained model.
        out (str): The folder, made if need be.

    Returns:
        The files.

    *Cost:* One copy of the tables.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = run.vectors
    sides = [
        ("users", run.user_ids, vectors.user, None),
        ("items", run.item_ids, vectors.item, vectors.item_bias),
    ]
    return [
        _write(folder / f"{name}.parquet", ids, table, bias)
        for name, ids, table, bias in sides
    ]


def _write(path: Path, ids: Ids, table: Tensor, bias: Tensor | None) -> Path:
    columns = {"id": ids.values, "vector": _lists(table)}
    if bias is not None:
        columns["bias"] = pa.array(bias.to(torch.float32).numpy())
    rows = pa.table(columns)
    return replace_file(path, lambda to: pq.write_table(rows, to))


def _lists(table: Tensor) -> pa.Array:
    """Rows as lists; an array holds at most 2^31 - 1 numbers."""
    dim, numbers = table.size(1), table.to(torch.float32).contiguous().view(-1)
    step = (2**31 - 1) // dim * dim
    parts = [pa.array(part.numpy()) for part in numbers.split(step)]
    lists = [pa.FixedSizeListArray.from_arrays(part, dim) for part in parts]
    return pa.chunked_array(lists)
