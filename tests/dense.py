"""The equations again, in dense matrices: the other route of many tests."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


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


def softmax_loss(
    z: Tensor, user: Tensor, item: Tensor, temperature: float = 0.12
) -> Tensor:
    """In-batch softmax over cosines, pair by pair."""
    unit = normalize(z, dim=1)
    terms = []
    for u, i in zip(user.tolist(), item.tolist(), strict=True):
        rows = [i, *(j for j in item.tolist() if j != i)]
        terms.append(-(unit[rows] @ unit[u] / temperature).log_softmax(0)[0])
    return torch.stack(terms).mean()


def info_nce(one: Tensor, two: Tensor, node: Tensor, temperature: float) -> Tensor:
    """InfoNCE between two views of some nodes, each once, node by node."""
    one, two = normalize(one, dim=1), normalize(two, dim=1)
    rows = sorted(set(node.tolist()))
    terms = [
        -(two[rows] @ one[row] / temperature).log_softmax(0)[place]
        for place, row in enumerate(rows)
    ]
    return torch.stack(terms).mean()


def contrastive_loss(
    z: Tensor,
    one: Tensor,
    two: Tensor,
    parts: list[tuple[Tensor, Tensor]],
    weight: float,
    temperature: float,
) -> Tensor:
    """The loss of a round: softmax and InfoNCE of each micro-batch of pairs."""
    total, num = 0.0, sum(user.numel() for user, _ in parts)
    for user, item in parts:
        loss = softmax_loss(z, user, item)
        for node in (user, item):
            loss = loss + weight * info_nce(one, two, node, temperature)
        total = total + user.numel() / num * loss
    return total


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
