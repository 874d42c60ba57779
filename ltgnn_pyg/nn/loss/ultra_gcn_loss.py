from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss


class UltraGCNLoss(RankingLoss):
    r"""The constraint losses that take the place of propagation in `"UltraGCN: Ultra
    Simplification of Graph Convolutional Networks for Recommendation"
    <https://arxiv.org/abs/2110.15114>`_.

    .. math::
        L = - \frac{1}{B} \sum_b \Big( (w_1 + w_2 \, \beta_{u_b} \beta_{i_b}) \ln \sigma
        (s_{u_b i_b}) + \frac{w}{n} \sum_{j \in \mathcal{N}_b} (w_3 + w_4 \,
        \beta_{u_b} \beta_j) \ln \sigma (- s_{u_b j}) \Big)

        \beta_u = \frac{\sqrt{d_u + 1}}{d_u}, \qquad \beta_i = \frac{1}{\sqrt{d_i + 1}}

    over negatives that are drawn uniformly and not rejected. Its reference code sums
    over the batch. The batch says the degrees, :obj:`degree` :obj:`[num_seeds]`, those
    of :obj:`n_id`; :class:`~ltgnn_pyg.nn.UltraGCN` puts them there.

    Scores are weighted by the degrees on purpose, and no popularity is corrected for.

    Args:
        w1 (float, optional): :math:`w_1`. The defaults are the reference code's for
            Gowalla; it takes 1e-8 in place of 1e-6 for Yelp2018, and :math:`w_3 = 1`,
            :math:`w_4` = 1e-8 for Amazon-Book. (default: :obj:`1e-6`)
        w2 (float, optional): :math:`w_2`. (default: :obj:`1.0`)
        w3 (float, optional): :math:`w_3`. (default: :obj:`1e-6`)
        w4 (float, optional): :math:`w_4`. (default: :obj:`1.0`)
        negative_weight (float, optional): :math:`w`, the weight of all negatives of a
            positive together; 500 for Amazon-Book. (default: :obj:`300.0`)

    Raises:
        ValueError: If a weight is negative, or a batch says no degrees.

    *Cost:* O(num_pairs x amount x dim).
    """

    density_ratio: ClassVar[bool] = False

    takes_weights: ClassVar[bool] = False

    def __init__(
        self,
        w1: float = 1e-6,
        w2: float = 1.0,
        w3: float = 1e-6,
        w4: float = 1.0,
        negative_weight: float = 300.0,
    ) -> None:
        super().__init__(cosine=False)
        if not min(w1, w2, w3, w4, negative_weight) >= 0.0:
            raise ValueError(
                f"Expected weights of at least 0 (got {w1}, {w2}, {w3}, {w4} and "
                f"{negative_weight})"
            )
        self.w1, self.w2, self.w3, self.w4 = w1, w2, w3, w4
        self.negative_weight = negative_weight

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if batch.get("degree") is None:
            raise ValueError(
                "Expected a batch with the degrees of its nodes, 'batch.degree' (got "
                "none); train an 'UltraGCN', which puts them there"
            )
        neg_index = self.negatives(batch)
        pos, neg = self.scores(z, batch, neg_index)
        assert neg_index is not None
        if neg_index.dim() == 1:
            neg_index = neg_index.unsqueeze(1)
        degree = batch.degree.to(pos)
        user = degree[batch.src_index]
        user = (user + 1).sqrt() / user.clamp(min=1.0)
        item = (degree + 1).rsqrt()
        of_pos = self.w1 + self.w2 * user * item[batch.dst_pos_index]
        of_neg = self.w3 + self.w4 * user.unsqueeze(1) * item[neg_index]
        rest = (of_neg * F.softplus(neg)).mean()
        return (of_pos * F.softplus(-pos)).mean() + self.negative_weight * rest

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Not to be asked: the loss needs more than scores."""
        raise NotImplementedError("Expected a call of the loss itself")
