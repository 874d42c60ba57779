from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ltgnn_pyg.graph.row_blocks import row_blocks


class Pattern:
    """The places of the entries of a sparse matrix, which matrices of one graph share
    that differ in their values.

    Args:
        rowptr (torch.Tensor): The bounds of each row :obj:`[num_rows + 1]`.
        col (torch.Tensor): The column of each entry :obj:`[num_entries]`.
        num_cols (int): The number of columns.
    """

    def __init__(self, rowptr: Tensor, col: Tensor, num_cols: int) -> None:
        self.rowptr, self.col, self.num_cols = rowptr, col, num_cols

    @cached_property
    def reverse(self) -> Tensor:
        """The place of the other direction of each entry of a symmetric matrix.

        *Cost:* O(E log E) time once; 8 bytes an entry.
        """
        return self.col.argsort(stable=True)

    @cached_property
    def row(self) -> Tensor:
        """The row of each entry, of the type of the columns."""
        row = torch.arange(
            self.rowptr.numel() - 1, dtype=self.col.dtype, device=self.col.device
        )
        return row.repeat_interleave(self.rowptr.diff(), output_size=self.col.numel())

    def find(self, row: Tensor, col: Tensor) -> Tensor:
        """The places of the entries of some rows and columns: all of those that are
        there more than once, none of those that are not.

        *Cost:* O(num x log(degree)) time.
        """
        rowptr, last = self.rowptr, self.col.numel() - 1
        row, col = row.to(rowptr.dtype), col.to(rowptr.dtype)
        if last < 0 or row.numel() == 0:
            return row[:0]
        low, high = rowptr[row], rowptr[row + 1]
        end, found = high, []
        for _ in range(int((high - low).max()).bit_length()):
            mid = (low + high) // 2
            right = (self.col[mid.clamp(max=last)] < col) & (low < high)
            low, high = torch.where(right, mid + 1, low), torch.where(right, high, mid)
        while low.numel() > 0:  # Again for entries that stand there more than once.
            there = (low < end) & (self.col[low.clamp(max=last)] == col)
            low, end, col = low[there], end[there], col[there]
            found.append(low)
            low = low + 1
        return torch.cat(found)

    def to(self, device: torch.device | str) -> Pattern:
        """The same on another device, with what is known of it."""
        out = Pattern(self.rowptr.to(device), self.col.to(device), self.num_cols)
        if "reverse" in vars(self):
            out.reverse = self.reverse.to(device)
        return out


def narrow(rowptr: Tensor, col: Tensor, num_cols: int) -> tuple[Tensor, Tensor]:
    """The places of entries as :obj:`int32`, where that suffices."""
    if max(rowptr.numel(), num_cols, col.numel()) < 2**31:
        return rowptr.int(), col.int()
    return rowptr, col


def is_symmetric(pattern: Pattern, value: Tensor) -> bool:
    r"""True if a square sparse matrix equals its transpose, in pattern and values.

    Compares :math:`\sum_e f(r_e) \, g(c_e) \, h(v_e)` with the same sum of the
    transpose, for random functions :math:`f, g` into the integers modulo
    :math:`2^{64}` (the fingerprint of `"Probabilistic Machines Can Use Less Running
    Time" <https://mathscinet.ams.org/mathscinet-getitem?mr=483667>`_): no sort, no
    copy, and no rounding.

    *Cost:* O(E) time; O(N) memory.
    """
    rowptr, col = pattern.rowptr, pattern.col
    num_nodes, device = rowptr.numel() - 1, col.device
    generator = torch.Generator(device).manual_seed(num_nodes)
    bounds = -(2**63), 2**63 - 1
    f, g = torch.randint(*bounds, (2, num_nodes), generator=generator, device=device)
    total = torch.zeros((), dtype=torch.long, device=device)
    for rows, entry in row_blocks(rowptr):
        row = torch.arange(rows.start, rows.stop, device=device)
        row = row.repeat_interleave(
            rowptr[rows.start : rows.stop + 1].diff(),
            output_size=entry.stop - entry.start,
        )
        c = col[entry].long()
        v = value[entry].double().view(torch.long) | 1
        total += (v * (f[row] * g[c] - f[c] * g[row])).sum()
    return bool(total == 0)
