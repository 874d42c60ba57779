import torch
from torch import Tensor
from torch_geometric.metrics.link_pred import LinkPredMetricData

from ltgnn_pyg.evaluation.metrics.list_metric import ListMetric


class Serendipity(ListMetric):
    r"""The share of a list that is right where popularity is not, as `RecTools
    <https://github.com/MobileTeleSystems/RecTools>`_ defines it,

    .. math::
        \frac{1}{|S|} \sum_{i \in S} \max \left( p(i) - p_u(i), 0 \right)
        \mathrm{rel}(i), \quad p(i) = \frac{I + 1 - r_i}{I}, \quad
        p_u(i) = \frac{I + 1 - r^{\mathrm{pop}}_i}{I}

    where :math:`r_i` is the rank of item :math:`i` in the list from 1,
    :math:`r^{\mathrm{pop}}_i` that among all items by popularity, items of one
    popularity having one rank, :math:`p_u = 0` for items nobody has taken, and
    :math:`\mathrm{rel}(i)` is 1 for held-out items, else 0.

    Args:
        k (int): The length of the lists.
        popularity (torch.Tensor): The number of users that have taken an item.

    Shapes:
        :obj:`popularity` :math:`(I)`

    *Cost:* :math:`O(k)` a list, once :math:`O(I \log I)`.
    """

    higher_is_better = True

    def __init__(self, k: int, popularity: Tensor) -> None:
        super().__init__(k)
        distinct, place = popularity.unique(return_inverse=True)
        rank = (distinct.numel() - place).double()
        num_items = popularity.numel()
        expected = (num_items + 1 - rank) / num_items
        expected = torch.where(popularity > 0, expected, 0.0)
        self.expected: Tensor
        self.register_buffer("expected", expected, persistent=False)

    def _compute(self, data: LinkPredMetricData) -> Tensor:
        item, relevant = (
            each[:, : self.k] for each in (data.pred_index_mat, data.pred_rel_mat)
        )
        num_items = self.expected.numel()
        rank = torch.arange(1, item.size(1) + 1, device=item.device)
        own = (num_items + 1 - rank) / num_items
        gain = (own - self.expected[item.clamp(max=num_items - 1)]).clamp(min=0.0)
        num = (item < num_items).sum(1).clamp(min=1)
        return (gain * relevant).sum(1) / num
