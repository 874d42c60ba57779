from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.in_batch_softmax import in_batch_softmax
from ltgnn_pyg.nn.loss.objective import gather
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, cross_entropy, mean_of_pairs


class SoftmaxLoss(RankingLoss):
    r"""Sampled softmax: tell the positive from the negatives, all at once.

    .. math::
        L = - \frac{1}{B} \sum_b \ln \frac{\exp s_{u_b i_b}}
        {\exp s_{u_b i_b} + \sum_{j \in \mathcal{N}_b} \exp s_{u_b j}}

    with the cosine :math:`s_{ui} = \cos(\mathbf{z}_u, \mathbf{z}_i) / \tau`, from
    `"On the Effectiveness of Sampled Softmax Loss for Item Recommendation"
    <https://arxiv.org/abs/2201.02327>`_. It learns a density ratio; see
    :class:`~ltgnn_pyg.nn.loss.RankingLoss` for what becomes of the popularity of
    items.

    Args:
        temperature (float, optional): :math:`\tau`. If :obj:`None`, by the density of
            the set, 0.12 or more, see :class:`~ltgnn_pyg.nn.loss.RankingLoss`.
            (default: :obj:`None`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`True`)

    Raises:
        ValueError: If :obj:`temperature` is not positive.

    *Cost:* O(num_pairs x amount x dim) time, with :obj:`amount = num_pairs` in the
    batch; there memory is O(num_pairs x (dim + 1024)), and the gradient is computed
    along with the loss.
    """

    by_density: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float | None = None,
        cosine: bool = True,
        in_batch: bool = True,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if self.negatives(batch) is not None:
            return super().forward(z, batch)
        z = F.normalize(z, dim=-1) if self.cosine else z
        src, dst = gather(z, batch.src_index, batch.dst_pos_index)
        bound = 1.0 / self.tau if self.cosine else None
        weight = batch.get("weight")
        return in_batch_softmax(
            src / self.tau, dst, batch.dst_pos_index, bound, weight=weight
        )

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        return mean_of_pairs(cross_entropy(pos, neg), weight)
