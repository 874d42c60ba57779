import torch
from torch import Tensor

from ltgnn_pyg.evaluation.metrics.item_count import ItemCount


def gini(count: Tensor) -> Tensor:
    r"""The Gini index, how unevenly numbers are shared,

    .. math::
        \frac{\sum_{r=1}^{I} (2 r - I - 1) \, c_{(r)}}{I \sum_r c_{(r)}}

    of the counts in ascending order: 0 if all are equal, :math:`1 - 1 / I` if one has
    everything; 0 if there is nothing.

    Args:
        count (torch.Tensor): The numbers, none negative.

    Shapes:
        :obj:`count` :math:`(I)`

    *Cost:* :math:`O(I \log I)`.
    """
    count = count.double().sort().values
    num = count.numel()
    order = torch.arange(1, num + 1, dtype=count.dtype, device=count.device)
    return (2.0 * order - num - 1.0) @ count / (num * count.sum()).clamp(min=1e-300)


class Gini(ItemCount):
    r"""The unevenness of what lists recommend: the Gini index of the number of lists
    that each item is in, those in none among them. 0 if all are in as many, towards 1
    if few are in all.

    Args:
        k (int): The length of the lists.
        num_items (int): The number of items :math:`I`.

    *Cost:* :math:`O(k)` a list, once :math:`O(I \log I)`.
    """

    higher_is_better = False

    def of_count(self, count: Tensor, num_lists: Tensor) -> Tensor:
        """See :func:`gini`."""
        return gini(count)
