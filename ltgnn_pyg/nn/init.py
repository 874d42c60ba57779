"""Where training starts from: initialisation of a table of embeddings."""

import torch
from torch import Tensor


@torch.no_grad()
def spectral_(
    tensor: Tensor, adj_t: Tensor, num_users: int, std: float = 0.02
) -> Tensor:
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
        tensor (torch.Tensor): The table to fill in place,
            :obj:`[num_users + num_items, dim]`.
        adj_t (torch.Tensor): :math:`\hat{A}` as sparse CSR, such as
            :func:`~ltgnn_pyg.normalized_adj` returns.
        num_users (int): The number of users.
        std (float, optional): The root mean square of the entries.
            (default: :obj:`0.02`)

    Returns:
        :obj:`tensor`.

    Raises:
        ValueError: If sizes do not fit.

    *Cost:* O(E x dim + N x dim^2) time, O(E + N x dim) memory, once.
    """
    num_nodes, dim = tensor.size()
    if adj_t.layout != torch.sparse_csr or tuple(adj_t.size()) != (num_nodes,) * 2:
        raise ValueError(
            f"Expected 'adj_t' as a sparse CSR matrix of size {(num_nodes,) * 2} (got "
            f"{adj_t.layout} of size {tuple(adj_t.size())}); pass what "
            "'ltgnn_pyg.normalized_adj' returns"
        )
    if not 0 < num_users < num_nodes:
        raise ValueError(
            f"Expected 'num_users' in [1, {num_nodes - 1}], that of {num_nodes} nodes "
            f"(got {num_users})"
        )
    tensor.normal_(std=0.1 * std)
    dtype = torch.promote_types(adj_t.dtype, tensor.dtype)
    matrix = _interactions(adj_t, num_users, torch.promote_types(dtype, torch.float32))
    if matrix._nnz() > 0:
        num = min(dim, *matrix.size())
        rank = min(dim + 16, *matrix.size())  # More than asked for: more exact.
        user, item = _singular_vectors(matrix, rank)
        leading = torch.cat([user[:, :num], item[:, :num]])
        index = torch.arange(num_nodes, device=leading.device)
        leading *= signs(leading, index).sign().to(leading)
        leading *= std / leading.square().mean().sqrt()
        tensor[:, :num] = leading.to(tensor)
    user, item = matrix._indices()
    linked = torch.zeros(num_nodes, dtype=torch.bool, device=user.device)
    linked[user] = True
    linked[item + num_users] = True
    alone = ~linked.to(tensor.device)  # Rows of zeros have no direction.
    tensor[alone] = std * torch.randn_like(tensor[alone])
    return tensor


def signs(table: Tensor, index: Tensor) -> Tensor:
    r"""Sums that tell a column from its negative, :math:`\sum_i \sin(i) \, x_i`.

    Args:
        table (torch.Tensor): Some rows :math:`\mathbf{x}_i` of a table
            :obj:`[num_rows, dim]`.
        index (torch.Tensor): Which rows :math:`i` they are :obj:`[num_rows]`.

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


def _interactions(adj_t: Tensor, num_users: int, dtype: torch.dtype) -> Tensor:
    """The block of users and items of the matrix, as sparse COO."""
    rowptr = adj_t.crow_indices()[: num_users + 1]
    entry = slice(0, int(rowptr[-1]))
    col = adj_t.col_indices()[entry].long() - num_users
    row = torch.arange(num_users, device=col.device).repeat_interleave(rowptr.diff())
    value = adj_t.values().to(dtype)
    inside = col >= 0  # Not the self-loops.
    return torch.sparse_coo_tensor(
        torch.stack([row, col])[:, inside],
        value[entry][inside],
        (num_users, adj_t.size(0) - num_users),
        is_coalesced=True,
        check_invariants=False,
    )
