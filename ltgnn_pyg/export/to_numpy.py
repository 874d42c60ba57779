import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ltgnn_pyg.datasets.replace_file import replace_file, replace_text
from ltgnn_pyg.runs import RunFolder


def to_numpy(run: RunFolder, out: str | os.PathLike[str]) -> list[Path]:
    """Writes arrays of numpy, to be opened with :func:`numpy.load`, also mapped into
    memory.

    ========================= =====================================================
    :obj:`user.npy`           the vectors of users :obj:`[U, D]`
    :obj:`item.npy`           the vectors of items :obj:`[I, D]`
    :obj:`item_bias.npy`      the biases of items :obj:`[I]`, where there are any
    :obj:`user_ids.json`      the raw ids of users, a list in the order of rows
    :obj:`item_ids.json`      the raw ids of items
    ========================= =====================================================

    Half-precision numbers that numpy lacks, :obj:`bfloat16`, become :obj:`float32`.

    Args:
        run (RunFolder): The trained model.
        out (str): The folder, made if need be.

    Returns:
        The files.

    *Cost:* One copy of the tables; the ids once in memory.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = run.vectors
    tables = {"user": vectors.user, "item": vectors.item}
    if vectors.item_bias is not None:
        tables["item_bias"] = vectors.item_bias
    files = [_save(folder / f"{name}.npy", x) for name, x in tables.items()]
    for name, ids in (("user_ids", run.user_ids), ("item_ids", run.item_ids)):
        text = json.dumps(ids.values.to_pylist(), ensure_ascii=False)
        files.append(replace_text(folder / f"{name}.json", text))
    return files


def _save(path: Path, table: Tensor) -> Path:
    array = table.to(torch.float32) if table.dtype == torch.bfloat16 else table

    def write(to: Path) -> None:
        with open(to, "wb") as file:  # By its name, numpy would add an ending.
            np.save(file, array.numpy(), allow_pickle=False)

    return replace_file(path, write)
