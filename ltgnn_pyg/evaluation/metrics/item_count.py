from abc import abstractmethod

import torch
from torch import Tensor
from torch_geometric.metrics.link_pred import LinkPredMetric, LinkPredMetricData


class ItemCount(LinkPredMetric):
    r"""Abstract: what follows from how many lists each item is in.

    Short lists are filled up with the item :math:`I`, which is not counted.

    Args:
        k (int): The length of the lists.
        num_items (int): The number of items :math:`I`.

    *Cost:* :math:`O(k)` a list.
    """

    weighted = False

    def __init__(self, k: int, num_items: int) -> None:
        super().__init__(k)
        self.accum = torch.zeros(num_items)
        self.num_items = num_items

    def _update(self, data: LinkPredMetricData) -> None:
        item = data.pred_index_mat[:, : self.k].flatten()
        count = torch.bincount(item, minlength=self.num_items + 1)
        self.accum = self.accum + count[: self.num_items]
        self.total += data.pred_index_mat.size(0)

    def compute(self) -> Tensor:
        """The metric of all lists so far."""
        return self.of_count(self.accum.double(), self.total)

    @abstractmethod
    def of_count(self, count: Tensor, num_lists: Tensor) -> Tensor:
        r"""The metric.

        Args:
            count (torch.Tensor): How many lists each item is in, :obj:`[I]`.
            num_lists (torch.Tensor): The number of lists.
        """
