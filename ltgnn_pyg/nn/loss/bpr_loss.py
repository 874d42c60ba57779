import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, mean_of_pairs


class BPRLoss(RankingLoss):
    r"""Bayesian personalised ranking, from `"BPR: Bayesian Personalized Ranking
    from Implicit Feedback" <https://arxiv.org/abs/1205.2618>`_.

    .. math::
        L = - \frac{1}{B} \sum_b \sum_{j \in \mathcal{N}_b} w_{bj} \ln \sigma (s_{u_b
        i_b} - s_{u_b j}), \qquad w_{bj} = \frac{\exp \beta s_{u_b j}}{\sum_{k \in
        \mathcal{N}_b} \exp \beta s_{u_b k}}

    With :math:`\beta = 0` all negatives of a pair weigh alike, as in that paper. Most
    of them are then ranked right already and teach nothing. With :math:`\beta > 0` each
    weighs as its softmax probability among those drawn, the weighted ranking loss of
    `"Training Recommenders Over Large Item Corpus With Importance Sampling"
    <https://doi.org/10.1109/TKDE.2023.3344657>`_. No gradient passes through the
    weights. A higher temperature gives pairs that are ranked right a larger share of
    the gradient; a higher :math:`\beta / \tau` gives it to the hardest negatives.

    With :math:`\beta = 0` it learns a density ratio; see
    :class:`~ltgnn_pyg.nn.loss.RankingLoss` for what becomes of the popularity of items.

    Args:
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`False`)
        temperature (float, optional): :math:`\tau`, which divides the scores.
            (default: :obj:`1.0`)
        hardness (float, optional): :math:`\beta`. (default: :obj:`0.0`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`temperature` is not positive, or :obj:`hardness` negative
            or not finite.

    *Cost:* O(num_pairs x amount x dim).
    """

    def __init__(
        self,
        cosine: bool = False,
        temperature: float = 1.0,
        hardness: float = 0.0,
        in_batch: bool = False,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)
        if not 0.0 <= hardness < float("inf"):
            raise ValueError(
                f"Expected 'hardness' to be finite and at least 0 (got {hardness})"
            )
        self.hardness = hardness

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        term = F.softplus(neg - pos.unsqueeze(1))
        absent = neg == float("-inf")  # All of a pair's may be.
        share = neg.detach().mul(self.hardness).masked_fill(absent, float("-inf"))
        share = share.softmax(1).masked_fill(absent, 0.0)
        return mean_of_pairs((share * term).sum(1), weight)

    def item_bias(self, degree: Tensor) -> Tensor | None:
        r"""As for softmax, which tells the negatives apart at the temperature
        :math:`\tau / \beta` where :math:`\beta > 1`: :math:`\tau / \max(1, \beta)
        \ln d_i`.
        """
        bias = super().item_bias(degree)
        return None if bias is None else bias / max(1.0, self.hardness)
