"""The propagation matrix: one normalised adjacency, in CSR, for every product."""

import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import (
    add_remaining_self_loops,
    index_sort,
    is_torch_sparse_tensor,
    scatter,
    to_edge_index,
)

from ltgnn_pyg.graph.kernels import kernels

BLOCK = 2**19  #: Entries of a matrix that a product takes at once.


class SymmetricOperator(ABC):
    """A symmetric matrix that no process holds whole, which :func:`propagate`,
    :func:`adjoint` and :func:`without` take in place of sparse CSR.
    """

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where this process's part is."""

    @abstractmethod
    def product(self, x: Tensor) -> Tensor:
        """Returns the product with the rows that this process holds."""

    @abstractmethod
    def without(self, edge_index: Tensor) -> "SymmetricOperator":
        """Returns the matrix with the entries of some edges set to zero."""


def normalized_adj(
    edge_index: Adj,
    edge_weight: OptTensor = None,
    num_nodes: int | None = None,
    add_self_loops: bool = False,
) -> Tensor:
    r"""Builds the symmetrically normalised adjacency matrix as sparse CSR.

    .. math::
        \hat{A} = D^{-1/2} A D^{-1/2}, \qquad
        D_{ii} = \sum_j A_{ij}

    as in `LightGCN <https://arxiv.org/abs/2002.02126>`_, or of :math:`A + I`
    with :obj:`add_self_loops=True`, as in `GCN
    <https://arxiv.org/abs/1609.02907>`_. Row :math:`i` holds the edges that
    point *to* node :math:`i`.

    Args:
        edge_index (torch.Tensor or SparseTensor): The edges,
            :obj:`[2, num_edges]`, or a square sparse matrix whose rows are the
            targets (PyG's :obj:`adj_t`).
        edge_weight (torch.Tensor, optional): Non-negative weights
            :obj:`[num_edges]`. If :obj:`None`, ones. (default: :obj:`None`)
        num_nodes (int, optional): The number of nodes. If :obj:`None`, the
            largest index + 1. (default: :obj:`None`)
        add_self_loops (bool, optional): Adds :math:`I` to :math:`A` first.
            (default: :obj:`False`)

    Returns:
        A :obj:`torch.sparse_csr` matrix :obj:`[num_nodes, num_nodes]`,
        :obj:`float32` unless the weights have another type, with :obj:`int32`
        indices where they suffice. The columns of a row are sorted.

    Raises:
        ValueError: If an index is out of range, a weight is negative or not
            finite, or shapes do not fit.

    *Cost:* O(E log E) time once, O(E) memory.
    """
    if is_sparse(edge_index):
        if edge_weight is not None:
            raise ValueError(
                "Expected no 'edge_weight' beside a sparse matrix, which holds its own"
            )
        if edge_index.size(0) != edge_index.size(1):
            raise ValueError(
                f"Expected a square matrix (got {tuple(edge_index.size())})"
            )
        num_nodes = edge_index.size(0)
    elif edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"Expected 'edge_index' of shape [2, num_edges] (got "
            f"{list(edge_index.size())})"
        )
    if not add_self_loops and _is_sorted_csr(edge_index):  # Nothing to sort.
        rowptr, col = edge_index.crow_indices(), edge_index.col_indices()
        return _normalized(rowptr, col, edge_index.values(), edge_index.size(0))
    (source, target), edge_weight = to_coo(edge_index, edge_weight)
    low, high = 0, -1
    for side in (source, target):
        if side.numel() > 0:
            low, high = min(low, int(side.min())), max(high, int(side.max()))
    if num_nodes is None:
        num_nodes = high + 1
    if high >= num_nodes or low < 0:
        raise ValueError(
            f"Expected node indices in [0, num_nodes={num_nodes}) (got indices in "
            f"[{low}, {high}]); pass the right 'num_nodes'"
        )
    if edge_weight is None:
        if add_self_loops:
            edge_weight = torch.ones(source.numel(), device=source.device)
    elif edge_weight.size() != source.size():
        raise ValueError(
            f"Expected 'edge_weight' of shape [{source.numel()}] (got "
            f"{list(edge_weight.size())})"
        )
    if add_self_loops:
        (source, target), edge_weight = add_remaining_self_loops(
            torch.stack([source, target]), edge_weight, 1.0, num_nodes
        )
    # One sort of packed pairs, where there are no weights to permute in place: half
    # the memory. Neighbours come out in the order of their rows.
    key = target.long() * num_nodes
    key += source
    del source, target
    if edge_weight is not None:
        key, perm = index_sort(key, max_value=num_nodes**2)
        edge_weight = edge_weight[perm]
        del perm
    elif key.is_cuda:
        key = key.sort().values
    else:
        key.numpy().sort()
    row = torch.arange(num_nodes + 1, device=key.device)
    rowptr = torch.searchsorted(key, row.mul_(num_nodes))
    source = key.remainder_(num_nodes)
    del key
    return _normalized(rowptr, source, edge_weight, num_nodes)


def _is_sorted_csr(adj_t: Adj) -> bool:
    """Whether a graph is a CSR matrix of torch whose rows are in order."""
    if not isinstance(adj_t, Tensor) or adj_t.layout != torch.sparse_csr:
        return False
    rowptr, col = adj_t.crow_indices(), adj_t.col_indices()
    descends = (col[1:] < col[:-1]).nonzero().view(-1) + 1  # Where a row must start.
    return bool((rowptr[torch.searchsorted(rowptr, descends)] == descends).all())


def _normalized(
    rowptr: Tensor, col: Tensor, edge_weight: OptTensor, num_nodes: int
) -> Tensor:
    """The normalised matrix of one whose rows are sorted."""
    if max(num_nodes, col.numel()) < 2**31:
        rowptr, col = rowptr.int(), col.int()
    degree = rowptr.diff().float()
    if edge_weight is not None:
        if not bool(((edge_weight >= 0) & edge_weight.isfinite()).all()):
            raise ValueError(
                "Expected finite, non-negative edge weights (got others): a square "
                "root of the degree is taken"
            )
        row = torch.arange(num_nodes, device=col.device)
        row = row.repeat_interleave(rowptr.diff(), output_size=col.numel())
        degree = scatter(edge_weight, row, dim=0, dim_size=num_nodes, reduce="sum")
        del row
    scale = inv_sqrt(degree)
    value = scale.repeat_interleave(rowptr.diff(), output_size=col.numel())
    value *= scale.index_select(0, col)
    if edge_weight is not None:
        value *= edge_weight
    out = csr(rowptr, col, value, num_nodes)
    known_of(out)["degree"] = degree
    return out


def is_sparse(edge_index: Adj) -> bool:
    """Whether a graph is given as a sparse matrix, of torch or torch-sparse."""
    return isinstance(edge_index, SparseTensor) or is_torch_sparse_tensor(edge_index)


def to_coo(edge_index: Adj, edge_weight: OptTensor) -> tuple[Tensor, OptTensor]:
    """Any form of a graph as a plain :obj:`edge_index`, sources first."""
    if is_sparse(edge_index):
        edge_index, edge_weight = to_edge_index(edge_index)
        return edge_index.long().flip(0), edge_weight
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    return edge_index, edge_weight


def inv_sqrt_degree(index: Tensor, edge_weight: OptTensor, num_nodes: int) -> Tensor:
    r""":math:`D^{-1/2}` as a vector, zero for nodes without an edge."""
    if edge_weight is None:
        deg = torch.bincount(index, minlength=num_nodes).float()
    else:
        deg = scatter(edge_weight, index, dim=0, dim_size=num_nodes, reduce="sum")
    return inv_sqrt(deg)


def inv_sqrt(degree: Tensor) -> Tensor:
    r""":math:`d^{-1/2}`, zero for a degree of zero."""
    return degree.pow(-0.5).masked_fill(degree == 0, 0.0)


def csr(rowptr: Tensor, col: Tensor, value: Tensor, num_cols: int) -> Tensor:
    """A sparse CSR matrix of its parts, which are taken as they are."""
    with warnings.catch_warnings():  # "Sparse CSR tensor support is in beta state."
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            rowptr,
            col,
            value,
            (rowptr.numel() - 1, num_cols),
            check_invariants=False,
        )


def degree(
    edge_index: Adj, edge_weight: OptTensor = None, num_nodes: int | None = None
) -> Tensor:
    r"""The sum of the weights of the edges that point to each node, self-loops
    apart: the popularity of items, one rule for every form of a graph.

    Args:
        edge_index (torch.Tensor or SparseTensor): The graph, as
            :func:`normalized_adj` takes it, before it is normalised.
        edge_weight (torch.Tensor, optional): Weights :obj:`[num_edges]`. If
            :obj:`None`, ones. (default: :obj:`None`)
        num_nodes (int, optional): The number of nodes. If :obj:`None`, the largest
            index + 1. (default: :obj:`None`)

    Returns:
        :obj:`[num_nodes]`, :obj:`float32` unless the weights have another type.

    *Cost:* O(E) time.
    """
    (source, target), weight = to_coo(edge_index, edge_weight)
    if weight is None:
        weight = torch.ones(target.numel(), device=target.device)
    weight = weight.masked_fill(source == target, 0.0)
    return scatter(weight, target, dim=0, dim_size=num_nodes, reduce="sum")


def known_of(adj_t: Tensor) -> dict[Any, Any]:
    """What is known of the whole graph of a matrix: kept on it, and shared with those
    that :func:`without` makes of it.
    """
    known: dict[Any, Any] = vars(adj_t).setdefault("_known", {})
    return known


def degree_of(adj_t: Tensor) -> Tensor:
    r"""The degrees :math:`D` that a matrix :math:`D^{-1/2} A D^{-1/2}` was normalised
    by, those of all edges where some were left out since (:func:`without`).

    Args:
        adj_t (torch.Tensor): What :func:`normalized_adj` returned. Of one that was
            moved to another device or type since, the edges are counted.

    Returns:
        :obj:`[num_nodes]`.

    Raises:
        ValueError: If they cannot be told: edges have weights and the matrix was
            moved or made otherwise, or no process holds it whole.

    *Cost:* O(1); O(E) for a matrix that was moved.
    """
    _check_whole(adj_t)
    known = known_of(adj_t)
    if "degree" not in known:
        rowptr, col, value = adj_t.crow_indices(), adj_t.col_indices(), adj_t.values()
        num = rowptr.diff().float()
        scale = inv_sqrt(num)
        expected = scale.repeat_interleave(rowptr.diff(), output_size=col.numel())
        expected = expected * scale.index_select(0, col)
        error = (value.float() - expected).abs().masked_fill(value == 0, 0.0)
        if not bool((error <= 16 * torch.finfo(value.dtype).eps * expected).all()):
            raise ValueError(
                "Expected a matrix whose degrees are known (got one with weights that "
                "was moved, or was not made by 'normalized_adj'); make it on the "
                "device that it is used on"
            )
        known["degree"] = num
    degree: Tensor = known["degree"]
    return degree


def reverse_entries(adj_t: Tensor) -> Tensor:
    """Where the other direction of each entry of a symmetric matrix stands: the
    values in this order are those of the transpose.

    Raises:
        ValueError: If the matrix is not symmetric, or no process holds it whole.

    *Cost:* O(E log E) time once a graph, of which it is kept; 8 bytes an entry.
    """
    _check_whole(adj_t)
    if not is_symmetric(adj_t):
        raise ValueError(
            "Expected a sparse CSR matrix that is symmetric (got another); append "
            "'edge_index.flip(0)' to the edges"
        )
    known = known_of(adj_t)
    if "reverse" not in known:
        known["reverse"] = adj_t.col_indices().argsort(stable=True)
    reverse: Tensor = known["reverse"]
    return reverse


def _check_whole(adj_t: Tensor) -> None:
    """Refuses a matrix that no process holds whole."""
    if isinstance(adj_t, SymmetricOperator):
        raise ValueError(
            f"Expected the whole matrix of a graph (got a {type(adj_t).__name__}, "
            "which several processes share); train this model in one process"
        )


def is_symmetric(adj_t: Tensor) -> bool:
    r"""Whether a sparse CSR matrix equals its transpose, in pattern and values.

    Compares :math:`\sum_e f(r_e) \, g(c_e) \, h(v_e)` with the same sum of the
    transpose, for random functions :math:`f, g` into the integers modulo
    :math:`2^{64}` (the fingerprint of `"Probabilistic Machines Can Use Less Running
    Time" <https://mathscinet.ams.org/mathscinet-getitem?mr=483667>`_): no sort, no
    copy, and no rounding. The answer is kept on the matrix.

    *Cost:* O(E) time once a matrix; O(N) memory.
    """
    known = vars(adj_t).get("_symmetric")
    if adj_t.size(0) != adj_t.size(1):
        return False
    if known is None:
        rowptr, col, value = adj_t.crow_indices(), adj_t.col_indices(), adj_t.values()
        num_nodes, device = adj_t.size(0), col.device
        generator = torch.Generator(device).manual_seed(adj_t.size(0))
        f, g = torch.randint(
            -(2**63), 2**63 - 1, (2, num_nodes), generator=generator, device=device
        )
        total = torch.zeros((), dtype=torch.long, device=device)
        for rows, entry in _row_blocks(adj_t):
            row = torch.arange(rows.start, rows.stop, device=device)
            row = row.repeat_interleave(
                rowptr[rows.start : rows.stop + 1].diff(),
                output_size=entry.stop - entry.start,
            )
            c = col[entry].long()
            v = value[entry].double().view(torch.long) | 1
            total += (v * (f[row] * g[c] - f[c] * g[row])).sum()
        known = bool(total == 0)
        vars(adj_t)["_symmetric"] = known
    return known


def _row_blocks(adj_t: Tensor) -> Iterator[tuple[slice, slice]]:
    """Blocks of rows with about :obj:`BLOCK` entries, and where those stand."""
    rowptr, num_rows = adj_t.crow_indices(), adj_t.size(0)
    num_entries = adj_t.col_indices().numel()
    start = torch.arange(0, max(num_entries, 1), BLOCK, device=rowptr.device)
    row = torch.searchsorted(rowptr[:num_rows], start).unique()
    blocks = zip(row.tolist(), rowptr[row].tolist(), strict=True)
    for (low, first), (high, last) in pairwise([*blocks, (num_rows, num_entries)]):
        yield slice(low, high), slice(first, last)


def adjoint(adj_t: Tensor) -> Tensor:
    """The transpose of a sparse CSR matrix, as sparse CSR; itself if symmetric.

    *Cost:* O(1) for what is known to be symmetric; O(E log E) once for others, of
    which the transpose is kept on the matrix.
    """
    if isinstance(adj_t, SymmetricOperator):
        return adj_t
    out = vars(adj_t).get("_adjoint")
    if out is None:
        if is_symmetric(adj_t):
            return adj_t
        out = adj_t.transpose(0, 1).to_sparse_csr()
        vars(adj_t)["_adjoint"] = out
    return out


def set_adjoint(adj_t: Tensor, transpose: Tensor) -> None:
    """Tells :func:`adjoint` the transpose of a matrix that is known beforehand."""
    vars(adj_t)["_adjoint"] = transpose


def without(adj_t: Tensor, edge_index: Tensor) -> Tensor:
    r"""The matrix with the entries of some edges, both directions, set to zero.

    The degrees that it is normalised by stay those of all edges.

    Args:
        adj_t (torch.Tensor): The matrix, sparse CSR with sorted columns, as made by
            :func:`normalized_adj`.
        edge_index (torch.Tensor): The edges :obj:`[2, num_edges]`; what is no entry
            of the matrix is passed over.

    *Cost:* O(num_edges x log(degree)) time, and a copy of the values.
    """
    if isinstance(adj_t, SymmetricOperator):
        left: Any = adj_t.without(edge_index)
        return left
    row, other = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    out = zero_entries(adj_t, row, other)
    # Both directions were taken.
    vars(out)["_symmetric"] = vars(adj_t).get("_symmetric")
    vars(out)["_known"] = known_of(adj_t)
    return out


def zero_entries(adj_t: Tensor, row: Tensor, other: Tensor) -> Tensor:
    """A sparse CSR matrix with the entries of some rows and columns set to zero."""
    rowptr, col = adj_t.crow_indices(), adj_t.col_indices()
    value = adj_t.values().clone()
    row, other = row.to(rowptr.dtype), other.to(rowptr.dtype)
    if col.numel() > 0:
        low, high = rowptr[row], rowptr[row + 1]
        end, last = high, col.numel() - 1
        for _ in range(int((high - low).max()).bit_length() if row.numel() else 0):
            middle = (low + high) // 2
            right = (col[middle.clamp(max=last)] < other) & (low < high)
            low, high = (
                torch.where(right, middle + 1, low),
                torch.where(right, high, middle),
            )
        while low.numel() > 0:  # Again for edges that stand there more than once.
            found = (low < end) & (col[low.clamp(max=last)] == other)
            low, end, other = low[found], end[found], other[found]
            value[low] = 0.0
            low = low + 1
    return csr(rowptr, col, value, adj_t.size(1))


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
def propagate(adj_t: Tensor, x: Tensor, out: OptTensor = None) -> Tensor:
    r"""The product :math:`\hat{A} X` of a CSR matrix and a dense table, the one
    product of every layer, model and history.

    Its gradient is the product with the transpose, :math:`\hat{A}^{\top} G`, which
    is the same product for a symmetric matrix; the matrix itself gets none. Nothing is
    kept for the backward pass but the matrix.

    Args:
        adj_t (torch.Tensor): The matrix, sparse CSR.
        x (torch.Tensor): The table :obj:`[num_nodes, dim]`.
        out (torch.Tensor, optional): Where to write the product, not :obj:`x`; for
            tables without gradient. For large tables that is a third faster, as the
            system need not clear new memory. If :obj:`None`, a new tensor.
            (default: :obj:`None`)

    Returns:
        :obj:`[num_rows, dim]`, :obj:`float32` for tables of less than 32 bits.

    Raises:
        ValueError: If :obj:`adj_t` is not sparse CSR or sizes do not fit.

    *Cost:* O(E x dim) time, O(num_rows x dim) memory.
    """
    if isinstance(adj_t, SymmetricOperator):
        return _Propagate.apply(adj_t, x)
    if adj_t.layout != torch.sparse_csr or adj_t.size(1) != x.size(0) or x.dim() != 2:
        raise ValueError(
            f"Expected a sparse CSR matrix and a table with a row for each of its "
            f"columns (got {adj_t.layout} of size {tuple(adj_t.size())} and a table "
            f"of size {tuple(x.size())}); see 'ltgnn_pyg.normalized_adj'"
        )
    if out is not None:
        return _product(adj_t, x.detach(), out)
    return _Propagate.apply(adj_t, x)


class _Propagate(torch.autograd.Function):
    """A linear map whose backward is the same map with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, adj_t: Tensor, x: Tensor) -> Tensor:
        ctx.adj_t, ctx.dtype = adj_t, x.dtype
        return _product(adj_t, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        grad = _Propagate.apply(adjoint(ctx.adj_t), grad.contiguous())
        return None, grad.to(ctx.dtype)


def _product(adj_t: Tensor, x: Tensor, out: OptTensor = None) -> Tensor:
    if isinstance(adj_t, SymmetricOperator):
        return adj_t.product(x)
    x = x.contiguous()
    if out is None:
        dtype = torch.promote_types(x.dtype, torch.float32)
        out = x.new_empty(adj_t.size(0), x.size(1), dtype=dtype)
    with torch.autocast(x.device.type, enabled=False):
        kernel_for(adj_t, x, out)(adj_t, x, out)
    return out


def _by_bags(adj_t: Tensor, x: Tensor, out: Tensor) -> None:
    rowptr, col, value = adj_t.crow_indices(), adj_t.col_indices(), adj_t.values()
    for rows, entry in _row_blocks(adj_t):  # No table of few bits is widened whole.
        ptr = rowptr[rows.start : rows.stop + 1] - entry.start
        out[rows] = aggregate(x, col[entry], value[entry], ptr)


def _by_matmul(adj_t: Tensor, x: Tensor, out: Tensor) -> None:
    torch.mm(adj_t.to(x.dtype), x, out=out)


def _by_reduction(adj_t: Tensor, x: Tensor, out: Tensor) -> None:
    out.copy_(torch.sparse.mm(adj_t.to(x.dtype), x, "sum"))


Kernel = Callable[[Tensor, Tensor, Tensor], None]
KERNELS: dict[str, Kernel] = {
    "bags": _by_bags,
    "matmul": _by_matmul,
    "reduction": _by_reduction,
}


def kernel_for(adj_t: Tensor, x: Tensor, out: Tensor) -> Kernel:
    """The kernel of a product, the same one throughout a run.

    On a CPU it is told by the type: in :obj:`float32` the sums of bags are the fastest
    from 32 columns on, those of MKL (1.6 x) in narrower tables on Intel alone; in
    :obj:`float64` those of MKL on Intel, and nearly so on AMD. Elsewhere the first
    large product measures.
    """
    num_entries = adj_t.col_indices().numel()
    if x.dtype != out.dtype or num_entries >= 2**31:  # The only one that can.
        return _by_bags
    if not x.is_cpu and num_entries < 2**16:  # Nothing to measure, nothing to gain.
        return _by_bags
    dtype = str(x.dtype).removeprefix("torch.")

    def seconds(name: str) -> float:
        return _seconds(KERNELS[name], adj_t, x, out)

    def choose() -> str:
        if x.is_cpu:
            mkl = x.dtype == torch.float64 and torch.backends.mkl.is_available()
            return "matmul" if mkl else "bags"
        # Clearly faster ones only, so that two processes agree.
        return min(KERNELS, key=lambda n: seconds(n) * (0.8 if n == "bags" else 1.0))

    def can(name: str) -> bool:
        return name in KERNELS and seconds(name) < math.inf

    return KERNELS[kernels.take(f"product on {x.device.type} in {dtype}", choose, can)]


def _seconds(kernel: Kernel, adj_t: Tensor, x: Tensor, out: Tensor) -> float:
    """The least of three times of a product over the first rows of a matrix."""
    rowptr = adj_t.crow_indices()
    num_rows = int(
        torch.searchsorted(rowptr, 2**18, right=True).clamp(1, adj_t.size(0))
    )
    num_entries = int(rowptr[num_rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        part = torch.sparse_csr_tensor(
            rowptr[: num_rows + 1],
            adj_t.col_indices()[:num_entries],
            adj_t.values()[:num_entries],
            (num_rows, adj_t.size(1)),
            check_invariants=False,
        )
    least = math.inf
    for _ in range(3):
        start = time.perf_counter()
        try:
            kernel(part, x, out[:num_rows])
        except RuntimeError:  # Not on this device, or not of this type.
            return math.inf
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        least = min(least, time.perf_counter() - start)
    return least
