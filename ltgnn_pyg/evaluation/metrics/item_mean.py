import torch
from torch import Tensor
from torch_geometric.metrics.link_pred import LinkPredMetricData

from ltgnn_pyg.evaluation.metrics.list_metric import ListMetric


class ItemMean(ListMetric):
    r"""The mean over the items of a list of a number that each has

    .. math::
        \frac{1}{|S|} \sum_{i \in S} v_i

    With the number of users that have taken an item, it is the average popularity,
    equal to :class:`~torch_geometric.metrics.LinkPredAveragePopularity` for lists that
    are not short. With :math:`-\log_2` of their share, it is the novelty of lists
    (MIUF, mean inverse user frequency). A list without items counts as 0.

    Args:
        k (int): The length of the lists.
        value (torch.Tensor): The numbers :math:`v_i`.

    Shapes:
        :obj:`value` :math:`(I)`

    *Cost:* :math:`O(k)` a list.
    """

    def __init__(self, k: int, value: Tensor) -> None:
        super().__init__(k)
        self.value: Tensor
        value = torch.cat([value, value.new_zeros(1)])
        self.register_buffer("value", value, persistent=False)

    def _compute(self, data: LinkPredMetricData) -> Tensor:
        item = data.pred_index_mat[:, : self.k]
        num = (item < self.value.numel() - 1).sum(1).clamp(min=1)
        return self.value[item].sum(1) / num
