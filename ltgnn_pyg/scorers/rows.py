"""Sparse rows, one a user: the items taken, and their weights."""

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.pattern import narrow
from ltgnn_pyg.scorers.query import Rows


def rows_of(interactions: Interactions) -> CSROperator:
    r"""The matrix :math:`R` of users and items: 1 for each pair, however often it
    occurs.

    *Cost:* O(E log E).
    """
    rowptr, col = narrow(*interactions.rows(), interactions.num_items)
    value = torch.ones(col.numel(), device=col.device)
    return CSROperator(rowptr, col, value, interactions.num_items)


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
    return _ones(row, col, rowptr.numel() - 1, num_items)


def add_rows(one: CSROperator, two: CSROperator) -> CSROperator:
    """The matrix with 1 where either of two has an entry."""
    parts = [coordinates(one), coordinates(two)]
    row, col = (torch.cat(each) for each in zip(*parts, strict=True))
    return _ones(row, col, one.num_rows, one.num_cols)


def _ones(row: Tensor, col: Tensor, num_rows: int, num_cols: int) -> CSROperator:
    """The matrix with 1 at some places, however often one is named."""
    key = torch.unique(row * num_cols + col)
    return CSROperator.from_coo(key // num_cols, key % num_cols, num_rows, num_cols)


def rows_of_lists(index: Tensor, value: Tensor, num_cols: int) -> CSROperator:
    """The sparse matrix of lists :obj:`[num_rows, k]`, less what is padded by an index
    of -1.
    """
    kept = index >= 0
    ptr = torch.cat([kept.new_zeros(1, dtype=torch.long), kept.sum(1).cumsum(0)])
    ptr, col = narrow(ptr, index[kept], num_cols)
    return CSROperator(ptr, col, value[kept], num_cols)


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
