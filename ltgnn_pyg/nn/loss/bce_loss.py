import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, mean_of_negatives, mean_of_pairs


class BCELoss(RankingLoss):
    r"""Binary cross-entropy of positives against negatives, as in `"Neural
    Collaborative Filtering" <https://arxiv.org/abs/1708.05031>`_.

    .. math::
        L = - \frac{1}{B} \sum_b \Big( \ln \sigma (s_{u_b i_b}) + \frac{w}{n}
        \sum_{j \in \mathcal{N}_b} \ln (1 - \sigma (s_{u_b j})) \Big)

    It learns a density ratio up to :math:`w`; see
    :class:`~ltgnn_pyg.nn.loss.RankingLoss` for what becomes of the popularity of items.

    Args:
        negative_weight (float, optional): :math:`w`, the weight of all negatives
            of a positive together. (default: :obj:`1.0`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`False`)
        temperature (float, optional): :math:`\tau`, which divides the scores.
            (default: :obj:`1.0`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`temperature` is not positive, or :obj:`negative_weight`
            is negative.

    *Cost:* O(num_pairs x amount x dim).
    """

    def __init__(
        self,
        negative_weight: float = 1.0,
        cosine: bool = False,
        temperature: float = 1.0,
        in_batch: bool = False,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)
        if not negative_weight >= 0.0:
            raise ValueError(
                f"Expected 'negative_weight' of at least 0 (got {negative_weight})"
            )
        self.negative_weight = negative_weight

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        rest = mean_of_negatives(F.softplus(neg), neg, weight)
        own = mean_of_pairs(F.softplus(-pos), weight)
        return own + self.negative_weight * rest
