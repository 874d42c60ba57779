import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, mean_of_negatives


class BPRLoss(RankingLoss):
    r"""Bayesian personalised ranking, from `"BPR: Bayesian Personalized Ranking
    from Implicit Feedback" <https://arxiv.org/abs/1205.2618>`_.

    .. math::
        L = - \frac{1}{B n} \sum_b \sum_{j \in \mathcal{N}_b} \ln \sigma (s_{u_b
        i_b} - s_{u_b j})

    Args:
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`False`)
        temperature (float, optional): :math:`\tau`, which divides the scores.
            (default: :obj:`1.0`)

    Raises:
        ValueError: If :obj:`temperature` is not positive.

    *Cost:* O(batch_size x amount x dim).
    """

    def __init__(self, cosine: bool = False, temperature: float = 1.0) -> None:
        super().__init__(cosine, temperature)

    def compare(self, pos: Tensor, neg: Tensor, src_index: Tensor) -> Tensor:
        """Returns the mean loss, a scalar."""
        return mean_of_negatives(F.softplus(neg - pos.unsqueeze(1)), neg)
