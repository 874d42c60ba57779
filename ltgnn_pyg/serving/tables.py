"""Tables of users and items beside their vectors, mapped as these are."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltgnn_pyg.datasets import recency_weight
from ltgnn_pyg.datasets.replace_file import replace_file
from ltgnn_pyg.nn.models.pretrained import WEIGHTS
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.runs.run_folder import INTERACTIONS

TABLES = "serving.safetensors"


def make_tables(run: RunFolder) -> dict[str, Tensor]:
    r"""The tables that a server reads of the interactions of a run.

    =================== ============================================================
    :obj:`rowptr`       :math:`(U + 1)`, and
    :obj:`col`          :math:`(E)`, the items a user has taken
    :obj:`hidden_ptr`   :math:`(U + 1)`, and
    :obj:`hidden_col`   :math:`(E)`, those that no list of a user shows, as
                        :obj:`run.seen`, if some are disliked
    :obj:`popularity`   :math:`(I)`, how often each item was taken, by
                        :func:`~ltgnn_pyg.datasets.recency_weight` if the order of the
                        interactions is known
    :obj:`item_norm`    :math:`(I)`, the lengths of the vectors of items, and
    :obj:`user_norm`    :math:`(U)`, of users
    :obj:`first_time`   :math:`(I)`, when an item was first taken, if there are times
    =================== ============================================================

    *Cost:* O(E log E) time.
    """
    known = run.split.known
    num = known.num_items
    weight = torch.ones(len(known))
    if run.split.order != "random":
        weight = recency_weight(known)
    rowptr, col = known.rows()
    tables = {
        "rowptr": rowptr,
        "col": col.int(),
        "popularity": torch.bincount(known.item, weight, minlength=num).float(),
    }
    if run.split.disliked is not None:
        rowptr, col = run.seen
        tables |= {"hidden_ptr": rowptr, "hidden_col": col.int()}
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
    tables = make_tables(run)
    replace_file(run.path / TABLES, lambda to: save_file(tables, to))


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
