"""Which items go together: the strongest links of an item-item graph."""

import torch
from torch import Tensor

from ltgnn_pyg.graph.adjacency import known_of

BLOCK = 2**22  #: Pairs of items, counted for each user, that are sorted at once.


@torch.no_grad()
def item_graph(
    adj_t: Tensor, num_users: int, num_neighbors: int = 10
) -> tuple[Tensor, Tensor]:
    r"""The items most often taken together with each item, and how strongly, as in
    `"UltraGCN: Ultra Simplification of Graph Convolutional Networks for
    Recommendation" <https://arxiv.org/abs/2110.15114>`_.

    With the interactions :math:`R`, :math:`G = R^{\top} R` and its sums
    :math:`g_i = \sum_j G_{ij}`,

    .. math::
        \omega_{ij} = G_{ij} \frac{\sqrt{g_i + 1}}{g_i} \frac{1}{\sqrt{g_j + 1}}

    as in the reference code, the diagonal included, so that an item is often its own
    neighbour. (The paper has :math:`\frac{G_{ij}}{g_i - G_{ii}} \sqrt{g_i / g_j}`
    without the diagonal.)

    Args:
        adj_t (torch.Tensor): The graph of users and items, sparse CSR; entries of
            zero, as :func:`~ltgnn_pyg.graph.adjacency.without` leaves them, and weights
            count as one.
        num_users (int): The number of users, the nodes before the items.
        num_neighbors (int, optional): How many items are kept of each.
            (default: :obj:`10`)

    Returns:
        Items counted from 0, :obj:`[num_items, num_neighbors]`, the strongest first,
        and :math:`\omega`, likewise. An item with fewer links is followed by itself, at
        :math:`\omega = 0`.

    Raises:
        ValueError: If other edges than those between users and items are there.

    *Cost:* :math:`O(P \log P)` time once a graph, of which it is kept, with
    :math:`P = \sum_u d_u^2` pairs; no matrix of all items is made, and memory is that
    of the result and of a block of pairs, those of a single item at least.
    """
    known, key = known_of(adj_t), ("item_graph", num_users, num_neighbors)
    if key not in known:
        known[key] = _build(adj_t, num_users, num_neighbors)
    neighbor, omega = known[key]
    return neighbor, omega


def _build(adj_t: Tensor, num_users: int, num: int) -> tuple[Tensor, Tensor]:
    rowptr, col = adj_t.crow_indices().long(), adj_t.col_indices().long()
    degree, num_items = rowptr.diff(), adj_t.size(0) - num_users
    first = rowptr[num_users:]
    of_users, of_items = col[: int(first[0])], col[int(first[0]) :]
    if bool((of_users < num_users).any()) or bool((of_items >= num_users).any()):
        raise ValueError(
            "Expected edges between users and items only (got others); remove "
            "self-loops"
        )
    # How many pairs each item brings, which is g.
    total = torch.cat([degree.new_zeros(1), degree[of_items].cumsum(0)])
    total = total[first - first[0]]
    g = total.diff().double()
    left = ((g + 1).sqrt() / g).masked_fill(g == 0, 0.0)
    right = (g + 1).rsqrt()
    item = torch.arange(num_items, device=col.device)
    neighbor = item.unsqueeze(1).repeat(1, num)
    omega = torch.zeros(num_items, num, device=col.device)
    start = torch.arange(0, max(int(total[-1]), 1), BLOCK, device=col.device)
    bounds = torch.searchsorted(total[:-1], start).clamp_(max=num_items - 1)
    bounds = bounds.unique().tolist()
    for low, high in zip(bounds, [*bounds[1:], num_items], strict=True):
        user = col[int(first[low]) : int(first[high])]
        row = item[low:high].repeat_interleave(first[low : high + 1].diff())
        size = degree[user]
        place = torch.arange(int(size.sum()), device=col.device)
        place += (rowptr[user] - size.cumsum(0) + size).repeat_interleave(size)
        pair = row.repeat_interleave(size) * num_items + col[place] - num_users
        del place
        pair, count = _sorted(pair).unique_consecutive(return_counts=True)
        row, other = pair // num_items, pair % num_items
        value = count * left[row] * right[other]
        order = value.argsort(descending=True, stable=True)
        order = order[row[order].argsort(stable=True)]
        row, other, value = row[order], other[order], value[order]
        rank = torch.arange(row.numel(), device=col.device)
        rank -= torch.searchsorted(row, item[low:high])[row - low]
        top = rank < num
        neighbor[row[top], rank[top]] = other[top]
        omega[row[top], rank[top]] = value[top].float()
    return neighbor, omega


def _sorted(key: Tensor) -> Tensor:
    if not key.is_cuda:
        key.numpy().sort()  # By far the fastest.
        return key
    return key.sort().values
