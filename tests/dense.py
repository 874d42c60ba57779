"""The equations again, in dense matrices: the other route of many tests."""

import torch
from torch import Tensor


def dense_adj(
    edge_index: Tensor,
    num_nodes: int,
    edge_weight: Tensor | None = None,
    add_self_loops: bool = False,
    dtype: torch.dtype = torch.double,
) -> Tensor:
    """D^-1/2 A D^-1/2, rows are targets."""
    adj = torch.zeros(num_nodes, num_nodes, dtype=dtype)
    weight = torch.ones(edge_index.size(1)) if edge_weight is None else edge_weight
    adj.index_put_((edge_index[1], edge_index[0]), weight.to(dtype), accumulate=True)
    if add_self_loops:
        adj += torch.eye(num_nodes, dtype=dtype)
    deg = adj.sum(1)
    inv_sqrt = torch.where(deg > 0, deg.clamp(min=1e-300).rsqrt(), 0.0)
    return inv_sqrt[:, None] * adj * inv_sqrt


def padded(u: Tensor, size: tuple[int, ...]) -> Tensor:
    """The numbers of :obj:`u` first, in place of random ones."""
    out = torch.zeros(size)
    out.view(-1)[: u.numel()] = u
    return out


def fixed_point(adj: Tensor, x: Tensor, alpha: float) -> Tensor:
    """alpha (I - (1 - alpha) A)^-1 X."""
    eye = torch.eye(adj.size(0), dtype=adj.dtype)
    return torch.linalg.solve(eye - (1 - alpha) * adj, alpha * x)


def gram(rows: Tensor) -> Tensor:
    """P = Rt' Rt of the normalised rows."""
    user, item = (
        torch.where(deg > 0, deg.clamp(min=1e-300).rsqrt(), 0.0)
        for deg in (rows.sum(1), rows.sum(0))
    )
    half = user[:, None] * rows * item
    return half.t() @ half


def low_pass(rows: Tensor, rank: int, beta: float) -> Tensor:
    """D^-beta V V' D^beta of the leading eigenvectors of P."""
    value, vector = torch.linalg.eigh(gram(rows))
    vector = vector[:, -rank:] * (value[-rank:] > 1e-9)
    scale = rows.sum(0).clamp(min=1).pow(beta)
    return (vector / scale[:, None]) @ (vector.t() * scale)
