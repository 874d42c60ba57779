"""The propagation matrix: one normalised adjacency, in CSR, for every product."""

import warnings
from itertools import pairwise

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

BLOCK = 2**19  #: Entries of a matrix that a product takes at once.


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
    elif not bool(((edge_weight >= 0) & edge_weight.isfinite()).all()):
        raise ValueError(
            "Expected finite, non-negative edge weights (got others): a square root "
            "of the degree is taken"
        )
    if add_self_loops:
        (source, target), edge_weight = add_remaining_self_loops(
            torch.stack([source, target]), edge_weight, 1.0, num_nodes
        )
    inv_sqrt = inv_sqrt_degree(target, edge_weight, num_nodes)
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
    if max(num_nodes, source.numel()) < 2**31:
        rowptr, source = rowptr.int(), source.int()
    value = inv_sqrt.repeat_interleave(rowptr.diff())
    value *= inv_sqrt.index_select(0, source)
    if edge_weight is not None:
        value *= edge_weight
    with warnings.catch_warnings():  # "Sparse CSR tensor support is in beta state."
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            rowptr, source, value, (num_nodes, num_nodes), check_invariants=False
        )


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
    return deg.pow(-0.5).masked_fill(deg == 0, 0.0)


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
    rowptr, col = adj_t.crow_indices(), adj_t.col_indices()
    row, other = torch.cat([edge_index, edge_index.flip(0)], dim=1).to(rowptr.dtype)
    low, high = rowptr[row], rowptr[row + 1]
    end, last = high, col.numel() - 1
    for _ in range(int((high - low).max()).bit_length() if row.numel() else 0):
        middle = (low + high) // 2
        right = (col[middle.clamp(max=last)] < other) & (low < high)
        low, high = (
            torch.where(right, middle + 1, low),
            torch.where(right, high, middle),
        )
    value = adj_t.values().clone()
    while low.numel() > 0:  # Again for edges that stand there more than once.
        found = (low < end) & (col[low.clamp(max=last)] == other)
        low, end, other = low[found], end[found], other[found]
        value[low] = 0.0
        low = low + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            rowptr, col, value, adj_t.size(), check_invariants=False
        )


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
        ptr (torch.Tensor): The segment boundaries :obj:`[num_segments + 1]`.

    Returns:
        The sums :obj:`[num_segments, dim]`.

    *Cost:* O(num_entries x dim) time, O(num_segments x dim) memory.
    """
    if table.dtype.itemsize < 4:
        if index.numel() < table.size(0):  # Widen only what is read.
            table = table.index_select(0, index)
            index = torch.arange(index.numel(), device=index.device)
        table = table.float()
    return F.embedding_bag(
        index.long(),  # Its kernel for int32 is four times slower.
        table,
        ptr.long(),
        mode="sum",
        per_sample_weights=weight.to(table.dtype),
        include_last_offset=True,
    )


def propagate(adj_t: Tensor, x: Tensor, out: OptTensor = None) -> Tensor:
    r"""The product :math:`\hat{A} X` of a CSR matrix and a dense table.

    Args:
        adj_t (torch.Tensor): The matrix, sparse CSR.
        x (torch.Tensor): The table :obj:`[num_nodes, dim]`.
        out (torch.Tensor, optional): Where to write the product, not :obj:`x`.
            If :obj:`None`, a new tensor. (default: :obj:`None`)

    *Cost:* O(E x dim) time; O(dim) memory beside :obj:`out`, as it works by blocks
    of rows with about :obj:`BLOCK` entries.
    """
    rowptr, col, value = adj_t.crow_indices(), adj_t.col_indices(), adj_t.values()
    num_rows, num_entries = adj_t.size(0), col.numel()
    if out is None:
        dtype = torch.promote_types(x.dtype, torch.float32)
        out = x.new_empty(num_rows, x.size(1), dtype=dtype)
    start = torch.arange(0, max(num_entries, 1), BLOCK, device=col.device)
    row = torch.searchsorted(rowptr[:num_rows], start).unique()
    blocks = zip(row.tolist(), rowptr[row].tolist(), strict=True)
    for (low, first), (high, last) in pairwise([*blocks, (num_rows, num_entries)]):
        ptr, entry = rowptr[low : high + 1] - first, slice(first, last)
        out[low:high] = aggregate(x, col[entry], value[entry], ptr)
    return out
