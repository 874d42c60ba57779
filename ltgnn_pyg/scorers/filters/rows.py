"""Sparse rows, one a user: the items taken, and their weights."""

import torch
from torch import Tensor
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph.adjacency import csr


def rows_of(interactions: Interactions) -> Tensor:
    r"""The matrix :math:`R` of users and items as sparse CSR: 1 for each pair, however
    often it occurs.

    *Cost:* O(E log E).
    """
    num_users, num_items = interactions.num_users, interactions.num_items
    key = torch.unique(interactions.user * num_items + interactions.item)
    rowptr, col = index2ptr(key // num_items, num_users), key % num_items
    if max(num_users, num_items, key.numel()) < 2**31:
        rowptr, col = rowptr.int(), col.int()
    return csr(rowptr, col, torch.ones(key.numel(), device=key.device), num_items)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """Some rows of a sparse CSR matrix, in any order."""
    rowptr = rows.crow_indices()
    first, count = rowptr[index], rowptr[index + 1] - rowptr[index]
    ptr = torch.cat([rowptr[:1], count.cumsum(0, dtype=rowptr.dtype)])
    entry = torch.arange(int(ptr[-1]), dtype=rowptr.dtype, device=ptr.device)
    entry += (first - ptr[:-1]).repeat_interleave(count, output_size=entry.numel())
    col, value = rows.col_indices()[entry], rows.values()[entry]
    return csr(ptr, col, value, rows.size(1))


def rows_of_lists(index: Tensor, value: Tensor, num_cols: int) -> Tensor:
    """The sparse CSR matrix of lists :obj:`[num_rows, k]`, less what is padded by
    an index of -1.
    """
    kept = index >= 0
    ptr = torch.cat([kept.new_zeros(1, dtype=torch.long), kept.sum(1).cumsum(0)])
    if max(index.numel(), num_cols) < 2**31:
        ptr, index = ptr.int(), index.int()
    return csr(ptr, index[kept], value[kept], num_cols)


def coordinates(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The row and the column of each entry of a sparse CSR matrix."""
    count, col = rows.crow_indices().diff(), rows.col_indices().long()
    row = torch.arange(rows.size(0), device=col.device)
    return row.repeat_interleave(count, output_size=col.numel()), col


def write_columns(rows: Tensor, start: int, out: Tensor) -> None:
    """Writes rows from the :obj:`start`-th on as dense columns, all of :obj:`out`."""
    ptr = rows.crow_indices()[start : start + out.size(1) + 1]
    entry = slice(int(ptr[0]), int(ptr[-1]))
    col = rows.col_indices()[entry].long()
    place = torch.arange(out.size(1), device=out.device)
    place = place.repeat_interleave(ptr.diff(), output_size=col.numel())
    out.zero_()
    out[col, place] = rows.values()[entry].to(out.dtype)
