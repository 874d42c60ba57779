from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

BLOCK = 2**19  #: Entries of a matrix that are taken at once.


def row_blocks(rowptr: Tensor, size: int = BLOCK) -> Iterator[tuple[slice, slice]]:
    """Blocks of rows with about :obj:`size` entries, and the places of those."""
    num_rows, num_entries = rowptr.numel() - 1, int(rowptr[-1])
    start = torch.arange(0, max(num_entries, 1), size, device=rowptr.device)
    row = torch.searchsorted(rowptr[:num_rows], start).unique()
    blocks = zip(row.tolist(), rowptr[row].tolist(), strict=True)
    for (low, first), (high, last) in pairwise([*blocks, (num_rows, num_entries)]):
        yield slice(low, high), slice(first, last)
