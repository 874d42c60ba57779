import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, mean_of_negatives


class BPRLoss(RankingLoss):
    r"""Bayesian personalised ranking, from `"BPR: Bayesian Personalized Ranking
    from Implicit Feedback" <https://arxiv.org/abs/1205.2618>`_.

    .. math::
        L = - \frac{1}{B} \sum_b \sum_{j \in \mathcal{N}_b} w_{bj} \ln \sigma (s_{u_b
        i_b} - s_{u_b j}), \qquad w_{bj} = \frac{\exp \beta s_{u_b j}}{\sum_{k \in
        \mathcal{N}_b} \exp \beta s_{u_b k}}

    With :math:`\beta = 0` all negatives weigh alike, as in that paper. Most of them
    are then ranked right already and teach nothing; :math:`\beta > 0` makes of the sum
    the expectation over negatives that the model itself finds likely, as in
    `"Training Recommenders Over Large Item Corpus With Importance Sampling"
    <https://doi.org/10.1109/TKDE.2023.3344657>`_. No gradient passes through the
    weights. A higher temperature leaves the pairs ranked right a larger part in the
    gradient, a higher :math:`\beta / \tau` the hardest negatives.

    Args:
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`False`)
        temperature (float, optional): :math:`\tau`, which divides the scores.
            (default: :obj:`1.0`)
        hardness (float, optional): :math:`\beta`. (default: :obj:`0.0`)

    Raises:
        ValueError: If :obj:`temperature` is not positive or :obj:`hardness` negative.

    *Cost:* O(batch_size x amount x dim).
    """

    def __init__(
        self, cosine: bool = False, temperature: float = 1.0, hardness: float = 0.0
    ) -> None:
        super().__init__(cosine, temperature)
        if hardness < 0.0:
            raise ValueError(f"Expected 'hardness' to be at least 0 (got {hardness})")
        self.hardness = hardness

    def compare(self, pos: Tensor, neg: Tensor, src_index: Tensor) -> Tensor:
        """Returns the mean loss, a scalar."""
        term = F.softplus(neg - pos.unsqueeze(1))
        if self.hardness == 0.0:
            return mean_of_negatives(term, neg)
        weight = neg.detach().mul(self.hardness).softmax(1)
        # A pair may have no negative at all.
        return (weight.nan_to_num(0.0) * term).sum(1).mean()

    def extra_repr(self) -> str:
        """The settings."""
        return f"{super().extra_repr()}, hardness={self.hardness}"
