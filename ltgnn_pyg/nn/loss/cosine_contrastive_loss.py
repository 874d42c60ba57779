import math
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, mean_of_negatives, mean_of_pairs


class CosineContrastiveLoss(RankingLoss):
    r"""The cosine contrastive loss of `"SimpleX: A Simple and Strong Baseline for
    Collaborative Filtering" <https://arxiv.org/abs/2109.12613>`_.

    .. math::
        L = \frac{1}{B} \sum_b \Big( 1 - \cos(\mathbf{z}_{u_b}, \mathbf{z}_{i_b}) +
        \frac{w}{n} \sum_{j \in \mathcal{N}_b} \max (0, \cos(\mathbf{z}_{u_b},
        \mathbf{z}_j) - m) \Big)

    Negatives beyond the margin weigh nothing and positives no limit, so it learns no
    density ratio: no popularity is left out of it, and none corrected for.

    Args:
        margin (float, optional): :math:`m`; negatives below it are left alone.
            (default: :obj:`0.5`)
        negative_weight (float, optional): :math:`w`. (default: :obj:`100.0`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`margin` is no number, or :obj:`negative_weight` is
            negative.

    *Cost:* O(num_pairs x amount x dim).
    """

    density_ratio: ClassVar[bool] = False

    def __init__(
        self,
        margin: float = 0.5,
        negative_weight: float = 100.0,
        in_batch: bool = False,
    ) -> None:
        super().__init__(cosine=True, in_batch=in_batch)
        if math.isnan(margin) or not negative_weight >= 0.0:
            raise ValueError(
                "Expected a number for 'margin' and 'negative_weight' of at least 0 "
                f"(got {margin} and {negative_weight})"
            )
        self.margin = margin
        self.negative_weight = negative_weight

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        rest = mean_of_negatives(F.relu(neg - self.margin), neg, weight)
        own = mean_of_pairs(1 - pos, weight)
        return own + self.negative_weight * rest
