"""Sparse rows, one a user: the items taken, and their weights."""

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.scorers.query import Rows


def rows_of(interactions: Interactions) -> CSROperator:
    r"""The matrix :math:`R` of users and items: 1 for each pair, however often it
    occurs.

    *Cost:* O(E log E).
    """
    num_users, num_items = interactions.num_users, interactions.num_items
    key = torch.unique(interactions.user * num_items + interactions.item)
    return CSROperator.from_coo(key // num_items, key % num_items, num_users, num_items)


def check_items(items: Rows, num_items: int) -> None:
    """Refuses items that are out of range.

    Raises:
        ValueError: If there are some.
    """
    col = items[1]
    if col.numel() and not 0 <= col.min() <= col.max() < num_items:
        raise ValueError(
            f"Expected items in [0, {num_items}) (got {int(col.min())} to "
            f"{int(col.max())}); items are counted from 0"
        )


def rows_of_query(items: Rows, num_items: int) -> CSROperator:
    """The matrix of what each query has taken: 1 for each item, however often."""
    rowptr, col = items
    row = torch.arange(rowptr.numel() - 1, device=col.device)
    row = row.repeat_interleave(rowptr.diff(), output_size=col.numel())
    key = torch.unique(row * num_items + col)
    size = rowptr.numel() - 1, num_items
    return CSROperator.from_coo(key // num_items, key % num_items, *size)


def add_rows(one: CSROperator, two: CSROperator) -> CSROperator:
    """The matrix with 1 where either of two has an entry."""
    parts = [coordinates(one), coordinates(two)]
    row, col = (torch.cat(each) for each in zip(*parts, strict=True))
    key = torch.unique(row * one.num_cols + col)
    size = one.num_rows, one.num_cols
    return CSROperator.from_coo(key // one.num_cols, key % one.num_cols, *size)


def take(rows: CSROperator, index: Tensor) -> CSROperator:
    """Some rows of a sparse matrix, in any order."""
    rowptr = rows.rowptr
    first, count = rowptr[index], rowptr[index + 1] - rowptr[index]
    ptr = torch.cat([rowptr[:1], count.cumsum(0, dtype=rowptr.dtype)])
    entry = torch.arange(int(ptr[-1]), dtype=rowptr.dtype, device=ptr.device)
    entry += (first - ptr[:-1]).repeat_interleave(count, output_size=entry.numel())
    return CSROperator(ptr, rows.col[entry], rows.value[entry], rows.num_cols)


def rows_of_lists(index: Tensor, value: Tensor, num_cols: int) -> CSROperator:
    """The sparse matrix of lists :obj:`[num_rows, k]`, less what is padded by an index
    of -1.
    """
    kept = index >= 0
    ptr = torch.cat([kept.new_zeros(1, dtype=torch.long), kept.sum(1).cumsum(0)])
    if max(index.numel(), num_cols) < 2**31:
        ptr, index = ptr.int(), index.int()
    return CSROperator(ptr, index[kept], value[kept], num_cols)


def coordinates(rows: CSROperator) -> tuple[Tensor, Tensor]:
    """The row and the column of each entry of a sparse matrix."""
    return rows.pattern.row.long(), rows.col.long()


def write_columns(rows: CSROperator, start: int, out: Tensor) -> None:
    """Writes rows from the :obj:`start`-th on as dense columns, all of :obj:`out`."""
    ptr = rows.rowptr[start : start + out.size(1) + 1]
    entry = slice(int(ptr[0]), int(ptr[-1]))
    col = rows.col[entry].long()
    place = torch.arange(out.size(1), device=out.device)
    place = place.repeat_interleave(ptr.diff(), output_size=col.numel())
    out.zero_()
    out[col, place] = rows.value[entry].to(out.dtype)
