"""Items that go together: the strongest links of an item-item graph."""

import torch
from torch import Tensor

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.graph import Graph

BLOCK = 2**22  #: Pairs of items, counted for each user, that are sorted at once.


@torch.no_grad()
def item_graph(graph: Graph, num_neighbors: int = 10) -> tuple[Tensor, Tensor]:
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
        graph (Graph): The graph, of which the edges that are recommended count, and
            each as one.
        num_neighbors (int, optional): The number of items kept of each.
            (default: :obj:`10`)

    Returns:
        Items counted from 0, :obj:`[num_items, num_neighbors]`, the strongest first,
        and :math:`\omega`, likewise. An item with fewer links is followed by itself, at
        :math:`\omega = 0`.

    *Cost:* :math:`O(P \log P)` time once a graph, of which it is kept, with
    :math:`P = \sum_u d_u^2` pairs; no matrix of all items is made, and memory is that
    of the result and of a block of pairs, those of a single item at least.
    """
    if num_neighbors not in graph.item_graphs:
        graph.item_graphs[num_neighbors] = _build(graph.rows, num_neighbors)
    return graph.item_graphs[num_neighbors]


def _build(rows: CSROperator, num: int) -> tuple[Tensor, Tensor]:
    rowptr, col = rows.rowptr.long(), rows.col.long()
    degree, num_items = rowptr.diff(), rows.num_cols
    first, of_items = rows.adjoint.rowptr.long(), rows.adjoint.col.long()
    # How many pairs each item brings, which is g.
    total = torch.cat([degree.new_zeros(1), degree[of_items].cumsum(0)])[first]
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
        user = of_items[int(first[low]) : int(first[high])]
        row = item[low:high].repeat_interleave(first[low : high + 1].diff())
        size = degree[user]
        place = torch.arange(int(size.sum()), device=col.device)
        place += (rowptr[user] - size.cumsum(0) + size).repeat_interleave(size)
        pair = row.repeat_interleave(size) * num_items + col[place]
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
