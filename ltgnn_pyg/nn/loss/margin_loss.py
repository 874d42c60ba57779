import math
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, mean_of_negatives


class MarginLoss(RankingLoss):
    r"""The max-margin loss of PinSage, from `"Graph Convolutional Neural Networks
    for Web-Scale Recommender Systems" <https://arxiv.org/abs/1806.01973>`_.

    .. math::
        L = \frac{1}{B n} \sum_b \sum_{j \in \mathcal{N}_b} \max (0, s_{u_b j} -
        s_{u_b i_b} + \Delta)

    It asks for an order by a margin, no density ratio: no popularity is left out of it,
    and none corrected for.

    Args:
        margin (float, optional): :math:`\Delta`. (default: :obj:`0.5`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        temperature (float, optional): :math:`\tau`, which divides the scores.
            (default: :obj:`1.0`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`temperature` is not positive, or :obj:`margin` is no
            number.

    *Cost:* O(num_pairs x amount x dim).
    """

    density_ratio: ClassVar[bool] = False

    def __init__(
        self,
        margin: float = 0.5,
        cosine: bool = True,
        temperature: float = 1.0,
        in_batch: bool = False,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)
        if math.isnan(margin):
            raise ValueError(f"Expected a number for 'margin' (got {margin})")
        self.margin = margin

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        term = F.relu(neg - pos.unsqueeze(1) + self.margin)
        return mean_of_negatives(term, neg, weight)
