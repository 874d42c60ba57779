"""The start of training: initialisation of a table of embeddings."""

import torch
from torch import Tensor

from ltgnn_pyg.graph import Graph


@torch.no_grad()
def spectral_(tensor: Tensor, graph: Graph, std: float = 0.02) -> Tensor:
    r"""Fills a table with the leading singular vectors of the interactions.

    For the normalised interactions :math:`R = D_U^{-1/2} B D_I^{-1/2} \approx P S
    Q^{\top}`, a truncated singular value decomposition, the rows of users are those
    of :math:`P` and the rows of items those of :math:`Q`: the smoothest signals on
    the graph, the eigenvectors of the largest eigenvalues of :math:`\hat{A}`. What
    the graph says nothing about is drawn at random: rows of nodes without an edge,
    and, ten times smaller, columns beyond the number of users or of items. The sign of
    a column, which a decomposition leaves open, is settled by :func:`signs`. The
    decomposition is randomised (`"Finding Structure with Randomness"
    <https://arxiv.org/abs/0909.4061>`_), in the precision of the table, and draws
    from torch's global generator.

    Args:
        tensor (torch.Tensor): The table to fill in place :obj:`[num_nodes, dim]`.
        graph (Graph): The graph; nodes that are no users and items count as such
            without an edge.
        std (float, optional): The root mean square of the entries.
            (default: :obj:`0.02`)

    Returns:
        :obj:`tensor`.

    Raises:
        ValueError: If sizes do not fit.

    *Cost:* O(E x dim + N x dim^2) time, O(E + N x dim) memory, once.
    """
    num_nodes, dim = tensor.size()
    if graph.num_nodes != num_nodes:
        raise ValueError(
            f"Expected 'tensor' of a row for each of {graph.num_nodes} nodes (got "
            f"{num_nodes})"
        )
    tensor.normal_(std=0.1 * std)
    dtype = torch.promote_types(graph.matrix.dtype, tensor.dtype)
    matrix = _interactions(graph, torch.promote_types(dtype, torch.float32))
    user, item = graph.nodes("user"), graph.nodes("item")
    if matrix._nnz() > 0:
        num = min(dim, *matrix.size())
        rank = min(dim + 16, *matrix.size())  # More than asked for: more exact.
        left, right = _singular_vectors(matrix, rank)
        leading = left.new_zeros(num_nodes, num)
        leading[user], leading[item] = left[:, :num], right[:, :num]
        index = torch.arange(num_nodes, device=leading.device)
        leading *= signs(leading, index).sign().to(leading)
        leading *= std / leading.square().mean().sqrt()
        tensor[:, :num] = leading.to(tensor)
    linked = torch.zeros(num_nodes, dtype=torch.bool, device=matrix.device)
    row, col = matrix._indices()
    linked[graph.number("user", row)] = True
    linked[graph.number("item", col)] = True
    alone = ~linked.to(tensor.device)  # Rows of zeros have no direction.
    tensor[alone] = std * torch.randn_like(tensor[alone])
    return tensor


def signs(table: Tensor, index: Tensor) -> Tensor:
    r"""Sums that tell a column from its negative, :math:`\sum_i \sin(i) \, x_i`.

    Args:
        table (torch.Tensor): Some rows :math:`\mathbf{x}_i` of a table
            :obj:`[num_rows, dim]`.
        index (torch.Tensor): Their numbers :math:`i` :obj:`[num_rows]`.

    Returns:
        :obj:`[dim]`, to be added up where the rows are held apart.
    """
    weight = index.double().add(1.0).sin().to(table)
    return (weight @ table).double()


def _singular_vectors(a: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The leading left and right singular vectors of a sparse matrix, those of
    :func:`torch.svd_lowrank` with three iterations; in double precision, too, of a
    start that is drawn in single, so that both begin alike.
    """
    if a.size(0) < a.size(1):
        right, left = _singular_vectors(a.mH, rank)
        return left, right
    q = torch.randn(a.size(1), rank, device=a.device).to(a.dtype)
    q = torch.linalg.qr(torch.sparse.mm(a, q)).Q
    for _ in range(3):
        q = torch.linalg.qr(torch.sparse.mm(a.mH, q)).Q
        q = torch.linalg.qr(torch.sparse.mm(a, q)).Q
    u, _, vh = torch.linalg.svd(q.mH @ a, full_matrices=False)
    return q @ u, vh.mH


def _interactions(graph: Graph, dtype: torch.dtype) -> Tensor:
    """The block of users and items of the matrix, as sparse COO."""
    user = torch.arange(graph.num_users, device=graph.device)
    rows = graph.matrix.take(graph.number("user", user))
    row, col = user.repeat_interleave(rows.rowptr.diff()), rows.col.long()
    inside = graph.numbering.is_of("item", col)
    return torch.sparse_coo_tensor(
        torch.stack([row[inside], graph.index("item", col[inside])]),
        rows.value[inside].to(dtype),
        (graph.num_users, graph.num_items),
        is_coalesced=True,
        check_invariants=False,
    )
