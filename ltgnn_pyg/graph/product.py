"""The product of a matrix and a table, and its kernels."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.graph.row_blocks import row_blocks

if TYPE_CHECKING:
    from ltgnn_pyg.graph.operator import Operator


def aggregate(table: Tensor, index: Tensor, weight: Tensor, ptr: Tensor) -> Tensor:
    r"""Weighted sums of table rows, one for each segment of :obj:`ptr`.

    .. math::
        \mathbf{o}_r = \sum_{e = p_r}^{p_{r+1} - 1} w_e \, \mathbf{t}_{i_e}

    This is a CSR product in which no gathered row is ever stored. Tables of
    less than 32 bits are summed in :obj:`float32`.

    Args:
        table (torch.Tensor): The rows :obj:`[num_rows, dim]`.
        index (torch.Tensor): The row of each entry :obj:`[num_entries]`.
        weight (torch.Tensor): The weight of each entry :obj:`[num_entries]`.
        ptr (torch.Tensor): The segment boundaries :obj:`[num_segments + 1]`, of the
            type of :obj:`index`.

    Returns:
        The sums :obj:`[num_segments, dim]`.

    *Cost:* O(num_entries x dim) time, O(num_segments x dim) memory.
    """
    if table.dtype.itemsize < 4:
        if index.numel() < table.size(0):  # Widen only what is read.
            table = table.index_select(0, index)
            index = torch.arange(index.numel(), dtype=index.dtype, device=index.device)
        table = table.float()
    return _bags(table, index, weight.to(table.dtype), ptr)


def _bags(table: Tensor, index: Tensor, weight: Tensor, ptr: Tensor) -> Tensor:
    return F.embedding_bag(
        index,
        table,
        ptr,
        mode="sum",
        per_sample_weights=weight,
        include_last_offset=True,
    )


@torch.compiler.disable
def propagate(operator: Operator, x: Tensor, out: Tensor | None = None) -> Tensor:
    r"""The product :math:`\hat{A} X` of a matrix and a dense table, the one product of
    every layer, model and history.

    Its gradient is the product with the transpose, :math:`\hat{A}^{\top} G`, which
    is the same product for a symmetric matrix; the matrix itself gets none. Nothing is
    kept for the backward pass but the matrix.

    Args:
        operator (Operator): The matrix, such as :obj:`graph.operator`.
        x (torch.Tensor): The table :obj:`[num_nodes, dim]`.
        out (torch.Tensor, optional): The table to write to, not :obj:`x`; for
            tables without gradient. For large tables that is a third faster, as the
            system need not clear new memory. If :obj:`None`, a new tensor.
            (default: :obj:`None`)

    Returns:
        :obj:`[num_rows, dim]`, :obj:`float32` for tables of less than 32 bits.

    Raises:
        ValueError: If sizes do not fit.

    *Cost:* O(E x dim) time, O(num_rows x dim) memory.
    """
    if out is not None:
        return operator.product(x.detach(), out)
    return _Propagate.apply(operator, x)


class _Propagate(torch.autograd.Function):
    """A linear map whose backward is the same map with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, operator: Operator, x: Tensor) -> Tensor:
        ctx.operator, ctx.dtype = operator, x.dtype
        return operator.product(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        grad = _Propagate.apply(ctx.operator.adjoint, grad.contiguous())
        return None, grad.to(ctx.dtype)


#: Rows, columns, values, the table, and where the product goes.
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]


def _by_bags(
    rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, out: Tensor
) -> None:
    for rows, entry in row_blocks(rowptr):  # No table of few bits is widened whole.
        ptr = rowptr[rows.start : rows.stop + 1] - entry.start
        out[rows] = aggregate(x, col[entry], value[entry], ptr)


def _by_matmul(
    rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, out: Tensor
) -> None:
    torch.mm(csr_tensor(rowptr, col, value.to(x.dtype), x.size(0)), x, out=out)


def _by_reduction(
    rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, out: Tensor
) -> None:
    matrix = csr_tensor(rowptr, col, value.to(x.dtype), x.size(0))
    out.copy_(torch.sparse.mm(matrix, x, "sum"))


def csr_tensor(rowptr: Tensor, col: Tensor, value: Tensor, num_cols: int) -> Tensor:
    """A matrix as torch has it, which shares its parts."""
    size = rowptr.numel() - 1, num_cols
    with warnings.catch_warnings():  # "Sparse CSR tensor support is in beta state."
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rowptr, col, value, size, check_invariants=False)


KERNELS: dict[str, Kernel] = {
    "bags": _by_bags,
    "matmul": _by_matmul,
    "reduction": _by_reduction,
}


def kernel_for(
    rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, out: Tensor
) -> Kernel:
    """The kernel of a product, the same one throughout a run.

    On a CPU it is told by the type: in :obj:`float32` the sums of bags are the fastest
    from 32 columns on, those of MKL (1.6 x) in narrower tables on Intel alone; in
    :obj:`float64` those of MKL on Intel, and nearly so on AMD. Elsewhere the first
    large product measures.
    """
    if x.dtype != out.dtype or col.numel() >= 2**31:  # The only one that can.
        return _by_bags
    if not x.is_cpu and col.numel() < 2**16:  # Nothing to measure, nothing to gain.
        return _by_bags
    dtype = str(x.dtype).removeprefix("torch.")

    def seconds(name: str) -> float:
        return _seconds(KERNELS[name], rowptr, col, value, x, out)

    def choose() -> str:
        if x.is_cpu:
            mkl = x.dtype == torch.float64 and torch.backends.mkl.is_available()
            return "matmul" if mkl else "bags"
        # Clearly faster ones only, so that two processes agree.
        return min(KERNELS, key=lambda n: seconds(n) * (0.8 if n == "bags" else 1.0))

    def can(name: str) -> bool:
        return name in KERNELS and seconds(name) < math.inf

    return KERNELS[kernels.take(f"product on {x.device.type} in {dtype}", choose, can)]


def _seconds(
    kernel: Kernel, rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, out: Tensor
) -> float:
    """The least of three times of a product over the first rows of a matrix."""
    most = torch.searchsorted(rowptr, 2**18, right=True).clamp(1, rowptr.numel() - 1)
    num_rows = int(most)
    num_entries = int(rowptr[num_rows])
    part = rowptr[: num_rows + 1], col[:num_entries], value[:num_entries]
    least = math.inf
    for _ in range(3):
        start = time.perf_counter()
        try:
            kernel(*part, x, out[:num_rows])
        except RuntimeError:  # Not on this device, or not of this type.
            return math.inf
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        least = min(least, time.perf_counter() - start)
    return least
