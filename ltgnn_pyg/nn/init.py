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
    the graph, the eigenvectors of the largest eigenvalues of :math:`\hat{A}`. Nodes
    without an edge get random rows. The
    decomposition is randomised (`"Finding Structure with Randomness"
    <https://arxiv.org/abs/0909.4061>`_) and draws from torch's global generator.

    Args:
        tensor (torch.Tensor): The table to fill in place,
            :obj:`[num_users + num_items, dim]`.
        adj_t (torch.Tensor): :math:`\hat{A}` as sparse CSR, such as
            :obj:`loader.adj_t`.
        num_users (int): The number of users.
        std (float, optional): The root mean square of the entries.
            (default: :obj:`0.02`)

    Returns:
        :obj:`tensor`.

    Raises:
        ValueError: If sizes do not fit, or there are fewer users or items than
            :obj:`dim`.

    *Cost:* O(E x dim + N x dim^2) time, O(E + N x dim) memory, once.
    """
    num_nodes, dim = tensor.size()
    num_items = num_nodes - num_users
    if adj_t.layout != torch.sparse_csr or tuple(adj_t.size()) != (num_nodes,) * 2:
        raise ValueError(
            f"Expected 'adj_t' as a sparse CSR matrix of size {(num_nodes,) * 2} (got "
            f"{adj_t.layout} of size {tuple(adj_t.size())}); pass 'loader.adj_t'"
        )
    if dim > min(num_users, num_items):
        raise ValueError(
            f"Expected at least 'dim' = {dim} users and items (got {num_users} and "
            f"{num_items}); lower 'embedding_dim'"
        )
    rowptr = adj_t.crow_indices()[: num_users + 1]
    entry = slice(0, int(rowptr[-1]))
    col = adj_t.col_indices()[entry].long() - num_users
    row = torch.arange(num_users, device=col.device).repeat_interleave(rowptr.diff())
    inside = col >= 0  # Not the self-loops.
    matrix = torch.sparse_coo_tensor(
        torch.stack([row, col])[:, inside],
        adj_t.values()[entry][inside],
        (num_users, num_items),
        is_coalesced=True,
        check_invariants=False,
    )
    rank = min(dim + 16, num_users, num_items)  # More than asked for: more exact.
    user, _, item = torch.svd_lowrank(matrix, q=rank, niter=3)
    tensor[:num_users], tensor[num_users:] = user[:, :dim], item[:, :dim]
    tensor.mul_(std / tensor.square().mean().sqrt())
    alone = adj_t.crow_indices().diff() == 0  # Rows of zeros have no direction.
    tensor[alone] = std * torch.randn_like(tensor[alone])
    return tensor
