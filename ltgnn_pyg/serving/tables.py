"""Tables of users and items beside their vectors, mapped as these are."""

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets import recency_weight
from ltgnn_pyg.nn.models.pretrained import WEIGHTS
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.runs.run_folder import INTERACTIONS

TABLES = "serving.safetensors"


def make_tables(run: RunFolder) -> dict[str, Tensor]:
    r"""The tables that a server reads of the interactions of a run.

    =================== ============================================================
    :obj:`rowptr`       :math:`(U + 1)`, and
    :obj:`col`          :math:`(E)`, the items a user has taken, as :obj:`run.seen`
    :obj:`item_degree`  :math:`(I)`, how often each item was taken
    :obj:`popularity`   :math:`(I)`, the same by
                        :func:`~ltgnn_pyg.datasets.recency_weight` if the order of the
                        interactions is known
    :obj:`item_norm`    :math:`(I)`, the lengths of the vectors of items, and
    :obj:`user_norm`    :math:`(U)`, of users
    :obj:`first_time`   :math:`(I)`, when an item was first taken, if there are times
    =================== ============================================================

    *Cost:* O(E log E) time.
    """
    known = run.split.known
    order = known.user.argsort(stable=True)
    num = known.num_items
    weight = torch.ones(len(known))
    if run.split.order != "random":
        weight = recency_weight(known)
    tables = {
        "rowptr": index2ptr(known.user[order], known.num_users),
        "col": known.item[order].int(),
        "item_degree": torch.bincount(known.item, minlength=num).float(),
        "popularity": torch.bincount(known.item, weight, minlength=num).float(),
    }
    if (vectors := run.scorer.as_vectors) is not None:
        tables["item_norm"] = vectors.item.to(vectors.dtype).norm(dim=1)
        tables["user_norm"] = vectors.user.to(vectors.dtype).norm(dim=1)
    if known.time is not None:
        first = torch.full((num,), torch.inf, dtype=torch.double)
        tables["first_time"] = first.scatter_reduce_(
            0, known.item, known.time.double(), "amin"
        )
    return tables


def write_tables(run: RunFolder) -> None:
    """Writes the tables of a run into its folder, all or nothing.

    *Cost:* O(E log E) time, and one write.
    """
    path = run.path / TABLES
    beside = path.with_name(f"{TABLES}.{os.getpid()}.tmp")
    save_file(make_tables(run), beside)
    os.replace(beside, path)


def ensure_tables(run: RunFolder) -> None:
    """Writes the tables of a run, unless they are there and younger than it."""
    path = run.path / TABLES
    changed = [(run.path / name).stat().st_mtime_ns for name in (WEIGHTS, INTERACTIONS)]
    if not path.exists() or path.stat().st_mtime_ns <= max(changed):
        write_tables(run)


def open_tables(folder: Path) -> dict[str, Tensor]:
    """The tables of a folder, mapped into memory."""
    with safe_open(folder / TABLES, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}
