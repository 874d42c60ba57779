import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize
from torch_geometric.metrics.link_pred import LinkPredMetricData

from ltgnn_pyg.evaluation.metrics.list_metric import ListMetric


class ILD(ListMetric):
    r"""The intra-list distance, how unlike the items of a list are,

    .. math::
        \frac{2}{n (n - 1)} \sum_{i < j} \left( 1 - \cos(\mathbf{z}_i, \mathbf{z}_j)
        \right) = 1 - \frac{|\sum_i \mathbf{b}_i|^2 - \sum_i |\mathbf{b}_i|^2}
        {n (n - 1)}

    over the pairs of its :math:`n` items, where :math:`\mathbf{b}_i = \mathbf{z}_i /
    |\mathbf{z}_i|`. Rows of zeros are unlike all. With a row of a single one for the
    category of each item it equals :class:`~torch_geometric.metrics.LinkPredDiversity`,
    for lists that are not short. A list of fewer than two items counts as 0.

    Args:
        k (int): The length of the lists.
        item_vector (torch.Tensor): The rows :math:`\mathbf{z}_i` by which items are
            alike: their vectors, or a column for each category.

    Shapes:
        :obj:`item_vector` :math:`(I, D)`

    *Cost:* :math:`O(k D)` a list, by the second form.
    """

    higher_is_better = True

    def __init__(self, k: int, item_vector: Tensor) -> None:
        super().__init__(k)
        self.row: Tensor
        row = item_vector.to(torch.promote_types(item_vector.dtype, torch.float32))
        row = torch.cat([normalize(row), row.new_zeros(1, row.size(1))])
        self.register_buffer("row", row, persistent=False)
        self.norm: Tensor
        self.register_buffer("norm", row.square().sum(1), persistent=False)

    def _compute(self, data: LinkPredMetricData) -> Tensor:
        item = data.pred_index_mat[:, : self.k]
        n = (item < self.row.size(0) - 1).sum(1)
        total = embedding_bag(item, self.row, mode="sum").square().sum(1)
        cosine = total - self.norm[item].sum(1)  # Of each pair, twice.
        return (1.0 - cosine / (n * (n - 1)).clamp(min=1)) * (n > 1)
