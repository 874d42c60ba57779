from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor
from torch_geometric.utils import scatter

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss


class BilateralSoftmaxLoss(RankingLoss):
    r"""The bilateral softmax loss of `"BSL: Understanding and Improving Softmax Loss
    for Recommendation" <https://arxiv.org/abs/2312.12882>`_: the soft maximum
    that makes softmax robust to false negatives, for the positives too.

    .. math::
        L = \frac{1}{|U_B|} \sum_{u \in U_B} \Big( - \tau_1 \ln \mathbb{E}_{b : u_b
        = u} \exp \frac{s_{u i_b}}{\tau_1} + \tau_2 \ln \mathbb{E}_{b : u_b = u}
        \mathbb{E}_{j \in \mathcal{N}_b} \exp \frac{s_{uj}}{\tau_2} \Big)

    over the users :math:`U_B` of the batch, as in the paper; its code averages over
    pairs, each with the negatives of its own, which is the same where users have one
    pair each. With :math:`\tau_1 = \tau_2` it is then softmax whose denominator leaves
    the positive out. The more positives a user has in a
    batch, the more it departs from softmax. With one each it learns the same density
    ratio, at :math:`\tau_2`; see :class:`~ltgnn_pyg.nn.loss.RankingLoss` for what
    becomes of the popularity of items.

    Args:
        temperature (float, optional): :math:`\tau_2`, of the negatives.
            (default: :obj:`0.1`)
        pos_temperature (float, optional): :math:`\tau_1`, of the positives.
            (default: :obj:`0.2`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`True`)

    Raises:
        ValueError: If a temperature is not positive.

    *Cost:* O(num_pairs x amount x dim).
    """

    corrects_pos: ClassVar[bool] = False  # They are compared with each other only.

    takes_weights: ClassVar[bool] = False

    def __init__(
        self,
        temperature: float = 0.1,
        pos_temperature: float = 0.2,
        cosine: bool = True,
        in_batch: bool = True,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)
        if not pos_temperature > 0.0:
            raise ValueError(
                f"Expected a positive 'pos_temperature' (got {pos_temperature})"
            )
        self.pos_temperature = pos_temperature

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        ratio = self.tau / self.pos_temperature
        pos = _log_mean_exp(pos.mul(ratio).unsqueeze(1), src_index)
        neg = _log_mean_exp(neg, src_index)
        return (self.tau * neg - self.pos_temperature * pos).mean()


def _log_mean_exp(score: Tensor, index: Tensor) -> Tensor:
    """The logarithm of the mean exponential, over the finite scores of a user."""
    user, index = index.unique(return_inverse=True)
    num = user.numel()
    count = scatter((score > float("-inf")).sum(1), index, dim_size=num)
    top = score.detach().amax(1).clamp(min=-1e30)
    top = scatter(top, index, dim_size=num, reduce="max")
    total = (score - top[index].unsqueeze(1)).exp().sum(1)
    total = scatter(total, index, dim_size=num) / count.clamp(min=1)
    return torch.where(count > 0, total, 1.0).log() + torch.where(count > 0, top, 0.0)
