"""The normalised adjacency matrix of a graph, from any form that PyG knows."""

import torch
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

from ltgnn_pyg.graph.csr_operator import CSROperator, inv_sqrt
from ltgnn_pyg.graph.pattern import narrow


def normalized_adj(
    edge_index: Adj,
    edge_weight: OptTensor = None,
    num_nodes: int | None = None,
    add_self_loops: bool = False,
) -> CSROperator:
    r"""Builds the symmetrically normalised adjacency matrix as an operator.

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
        The matrix :obj:`[num_nodes, num_nodes]`, :obj:`float32` unless the weights
        have another type, with :obj:`int32` indices where they suffice. The columns
        of a row are sorted.

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
    """True if a graph is a CSR matrix of torch whose rows are in order."""
    if not isinstance(adj_t, Tensor) or adj_t.layout != torch.sparse_csr:
        return False
    rowptr, col = adj_t.crow_indices(), adj_t.col_indices()
    descends = (col[1:] < col[:-1]).nonzero().view(-1) + 1  # Where a row must start.
    return bool((rowptr[torch.searchsorted(rowptr, descends)] == descends).all())


def _normalized(
    rowptr: Tensor, col: Tensor, edge_weight: OptTensor, num_nodes: int
) -> CSROperator:
    """The normalised matrix of one whose rows are sorted."""
    rowptr, col = narrow(rowptr, col, num_nodes)
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
    return CSROperator(rowptr, col, value, num_nodes, degree=degree)


def is_sparse(edge_index: Adj) -> bool:
    """True if a graph is given as a sparse matrix, of torch or torch-sparse."""
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
