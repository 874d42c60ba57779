from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.utils import index_sort

from ltgnn_pyg.graph.operator import Operator
from ltgnn_pyg.graph.pattern import Pattern, is_symmetric, narrow
from ltgnn_pyg.graph.product import csr_tensor, kernel_for


class CSROperator(Operator):
    r"""A sparse matrix in compressed rows, with what is known of it.

    Args:
        rowptr (torch.Tensor): The bounds of each row.
        col (torch.Tensor): The column of each entry; within a row they ascend.
        value (torch.Tensor): The value of each entry.
        num_cols (int): The number of columns.
        degree (torch.Tensor, optional): The degrees :math:`D` that a normalised
            adjacency :math:`D^{-1/2} A D^{-1/2}` was normalised by; those of all edges
            where some were left out since. If :obj:`None`, they are counted when asked
            for. (default: :obj:`None`)
        is_symmetric (bool, optional): If it equals its transpose. If :obj:`None`, that
            is found out when asked for. (default: :obj:`None`)
        transpose (CSROperator, optional): The transpose, if it is known.
            (default: :obj:`None`)

    Shapes:
        :obj:`rowptr` :math:`(R + 1)`, :obj:`col` and :obj:`value` :math:`(E)`,
        :obj:`degree` :math:`(R)`

    *Cost:* O(1): the tensors are taken as they are.
    """

    def __init__(
        self,
        rowptr: Tensor,
        col: Tensor,
        value: Tensor,
        num_cols: int,
        *,
        degree: Tensor | None = None,
        is_symmetric: bool | None = None,
        transpose: CSROperator | None = None,
    ) -> None:
        self.pattern, self.value = Pattern(rowptr, col, num_cols), value
        self._degree, self._is_symmetric = degree, is_symmetric
        self._transpose = transpose

    @classmethod
    def from_tensor(cls, matrix: Tensor) -> CSROperator:
        """The operator of a :obj:`torch.sparse_csr` matrix, whose parts it shares.

        Raises:
            ValueError: If it is no such matrix.
        """
        if matrix.layout != torch.sparse_csr:
            raise ValueError(
                f"Expected a sparse CSR matrix (got {matrix.layout} of size "
                f"{tuple(matrix.size())}); see 'ltgnn_pyg.normalized_adj'"
            )
        rowptr, col = matrix.crow_indices(), matrix.col_indices()
        return cls(rowptr, col, matrix.values(), matrix.size(1))

    @classmethod
    def from_coo(
        cls,
        row: Tensor,
        col: Tensor,
        num_rows: int,
        num_cols: int,
        value: Tensor | None = None,
    ) -> CSROperator:
        """The matrix of some entries, with :obj:`int32` indices where they suffice.

        Args:
            row (torch.Tensor): The row of each :obj:`[num_entries]`.
            col (torch.Tensor): The column of each.
            num_rows (int): The number of rows.
            num_cols (int): The number of columns.
            value (torch.Tensor, optional): The value of each. If :obj:`None`, ones.
                (default: :obj:`None`)

        *Cost:* O(E log E) time.
        """
        key, perm = index_sort(row * num_cols + col, num_rows * num_cols)
        ptr = torch.arange(num_rows + 1, device=key.device) * num_cols
        rowptr, col = torch.searchsorted(key, ptr), key % max(num_cols, 1)
        rowptr, col = narrow(rowptr, col, num_cols)
        if value is None:
            value = torch.ones(key.numel(), device=key.device)
        else:
            value = value[perm]
        return cls(rowptr, col, value, num_cols)

    @property
    def rowptr(self) -> Tensor:
        """The bounds of each row."""
        return self.pattern.rowptr

    @property
    def col(self) -> Tensor:
        """The column of each entry."""
        return self.pattern.col

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self.pattern.rowptr.numel() - 1

    @property
    def num_cols(self) -> int:
        """The number of columns."""
        return self.pattern.num_cols

    @property
    def device(self) -> torch.device:
        """The device of its tensors."""
        return self.value.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its values."""
        return self.value.dtype

    def tensor(self) -> Tensor:
        """The matrix as :obj:`torch.sparse_csr`, which shares its parts."""
        return csr_tensor(self.rowptr, self.col, self.value, self.num_cols)

    def to_dense(self) -> Tensor:
        """The matrix as a dense table, for small ones."""
        return self.tensor().to_dense()

    def to(self, device_or_dtype: torch.device | str | torch.dtype) -> CSROperator:
        """The same matrix on another device or in another type, with what is known of
        it.
        """
        out = self.with_value(self.value.to(device_or_dtype), self._is_symmetric)
        degree = self._degree
        if isinstance(device_or_dtype, torch.dtype):
            if degree is not None:  # In float32 at least, or those of hubs overflow.
                wide = torch.promote_types(device_or_dtype, torch.float32)
                out._degree = degree.to(wide)
        else:
            out._degree = None if degree is None else degree.to(device_or_dtype)
            out.pattern = self.pattern.to(device_or_dtype)
        if self._transpose is not None:
            out._transpose = self._transpose.to(device_or_dtype)
        return out

    def with_value(
        self,
        value: Tensor,
        is_symmetric: bool | None = None,
        transpose: CSROperator | None = None,
    ) -> CSROperator:
        """A matrix of other values in the same places, of whose degrees nothing is
        known.

        Args:
            value (torch.Tensor): The values :obj:`[num_entries]`.
            is_symmetric (bool, optional): See the constructor. (default: :obj:`None`)
            transpose (CSROperator, optional): Likewise. (default: :obj:`None`)
        """
        parts = self.rowptr, self.col, value, self.num_cols
        out = CSROperator(*parts, is_symmetric=is_symmetric, transpose=transpose)
        out.pattern = self.pattern
        return out

    @property
    def degree(self) -> Tensor:
        r"""The degrees :math:`D` of a normalised adjacency :obj:`[num_rows]`.

        Raises:
            ValueError: If they cannot be told: edges have weights, and the matrix was
                not made by :func:`~ltgnn_pyg.normalized_adj`.

        *Cost:* O(1); O(E) once where they must be counted.
        """
        if self._degree is None:
            num, pattern = self.rowptr.diff().float(), self.pattern
            scale = inv_sqrt(num)
            expected = scale.index_select(0, pattern.row)
            expected = expected * scale.index_select(0, self.col)
            error = (self.value.float() - expected).abs()
            error = error.masked_fill(self.value == 0, 0.0)
            if not bool((error <= 16 * torch.finfo(self.dtype).eps * expected).all()):
                raise ValueError(
                    "Expected a matrix whose degrees are known (got one with weights "
                    "that was not made by 'normalized_adj'); make it so"
                )
            self._degree = num
        return self._degree

    @property
    def is_symmetric(self) -> bool:
        """True if the matrix equals its transpose, in pattern and values, see
        :func:`~ltgnn_pyg.graph.pattern.is_symmetric`.

        *Cost:* O(E) time once a matrix; O(N) memory.
        """
        if self._is_symmetric is None:
            self._is_symmetric = self.num_rows == self.num_cols and is_symmetric(
                self.pattern, self.value
            )
        return self._is_symmetric

    @is_symmetric.setter
    def is_symmetric(self, known: bool) -> None:
        self._is_symmetric = known

    @property
    def reverse(self) -> Tensor:
        """The place of the other direction of each entry: the values in this order are
        those of the transpose.

        Raises:
            ValueError: If the matrix is not symmetric.

        *Cost:* O(E log E) time once a graph; 8 bytes an entry.
        """
        if not self.is_symmetric:
            raise ValueError(
                "Expected a sparse CSR matrix that is symmetric (got another); append "
                "'edge_index.flip(0)' to the edges"
            )
        return self.pattern.reverse

    @property
    def adjoint(self) -> CSROperator:
        """The transpose; itself if symmetric.

        *Cost:* O(1) for what is known to be symmetric; O(E log E) once for others.
        """
        if self._transpose is None:
            if self.is_symmetric:
                return self
            transpose = self.tensor().transpose(0, 1).to_sparse_csr()
            self._transpose = CSROperator.from_tensor(transpose)
        return self._transpose

    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Returns the product with a table, :obj:`float32` at least, without
        gradient.
        """
        if self.num_cols != x.size(0) or x.dim() != 2:
            raise ValueError(
                f"Expected a table with a row for each column of the matrix (got a "
                f"table of size {tuple(x.size())} and a matrix of size "
                f"{(self.num_rows, self.num_cols)})"
            )
        x = x.contiguous()
        if out is None:
            dtype = torch.promote_types(x.dtype, torch.float32)
            out = x.new_empty(self.num_rows, x.size(1), dtype=dtype)
        with torch.autocast(x.device.type, enabled=False):
            parts = self.rowptr, self.col, self.value
            kernel_for(*parts, x, out)(*parts, x, out)
        return out

    def without(self, edge_index: Tensor) -> CSROperator:
        r"""Returns the matrix with the entries of some edges, in both directions, set
        to zero. The degrees that it is normalised by stay those of all edges.

        Args:
            edge_index (torch.Tensor): The edges :obj:`[2, num_edges]`; what is no entry
                of the matrix is passed over.

        *Cost:* O(num_edges x log(degree)) time, and a copy of the values.
        """
        row, other = torch.cat([edge_index, edge_index.flip(0)], dim=1)
        out = self.zero_entries(row, other)
        out._is_symmetric, out._degree = self._is_symmetric, self._degree
        return out

    def zero_entries(self, row: Tensor, col: Tensor) -> CSROperator:
        """Returns the matrix with the entries of some rows and columns set to zero."""
        value = self.value.clone()
        value[self.pattern.find(row, col)] = 0.0
        return self.with_value(value)

    def take(self, index: Tensor) -> CSROperator:
        """The matrix of some rows, in any order.

        *Cost:* O(num_entries) of these rows.
        """
        rowptr = self.rowptr
        first, count = rowptr[index], rowptr[index + 1] - rowptr[index]
        ptr = torch.cat([rowptr[:1], count.cumsum(0, dtype=rowptr.dtype)])
        entry = torch.arange(int(ptr[-1]), dtype=rowptr.dtype, device=ptr.device)
        entry += (first - ptr[:-1]).repeat_interleave(count, output_size=entry.numel())
        return CSROperator(ptr, self.col[entry], self.value[entry], self.num_cols)

    def __repr__(self) -> str:
        size = f"{self.num_rows}, {self.num_cols}"
        return f"{self.__class__.__name__}({size}, num_entries={self.col.numel()})"


def inv_sqrt(degree: Tensor) -> Tensor:
    r""":math:`d^{-1/2}`, zero for a degree of zero."""
    return degree.pow(-0.5).masked_fill(degree == 0, 0.0)
