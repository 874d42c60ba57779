from torch import Tensor

from ltgnn_pyg.evaluation.metrics.item_count import ItemCount


class Personalization(ItemCount):
    r"""The unlikeness of the lists of two users, one less the mean share of items that
    they have in common,

    .. math::
        1 - \binom{Q}{2}^{-1} \sum_{u < v} \frac{|S_u \cap S_v|}{k}
        = 1 - \frac{\sum_i c_i (c_i - 1)}{k \, Q (Q - 1)}

    where :math:`c_i` of the :math:`Q` lists have item :math:`i`. It is
    :class:`~torch_geometric.metrics.LinkPredPersonalization`, over all pairs of users
    in place of a sample, and without the padding of short lists. It is 0 of a single
    list.

    Args:
        k (int): The length of the lists.
        num_items (int): The number of items :math:`I`.

    *Cost:* :math:`O(k)` a list, by the second form, once :math:`O(I)`.
    """

    higher_is_better = True

    def of_count(self, count: Tensor, num_lists: Tensor) -> Tensor:
        """The second form."""
        num = num_lists.double()
        pairs = (self.k * num * (num - 1.0)).clamp(min=1.0)
        return (1.0 - (count * (count - 1.0)).sum() / pairs) * (num > 1.0)
