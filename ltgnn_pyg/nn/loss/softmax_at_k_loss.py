import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.in_batch_softmax import Teacher, in_batch_softmax
from ltgnn_pyg.nn.loss.objective import gather
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, cross_entropy, mean_of_pairs

LOWEST = -1e30  #: A number below all scores.


class SoftmaxAtKLoss(RankingLoss):
    r"""SL@K, softmax for the first :math:`k` places of a list, from `"Breaking the
    Top-K Barrier: Advancing Top-K Ranking Metrics Optimization in Recommender Systems"
    <https://arxiv.org/abs/2508.05673>`_.

    .. math::
        L = - \frac{1}{B} \sum_b w_b \ln \frac{\exp s_{u_b i_b}}
        {\exp s_{u_b i_b} + \sum_{j \in \mathcal{N}_b} \exp s_{u_b j}}, \qquad
        w_b = \sigma \Big( \frac{\tau s_{u_b i_b} - \beta_b}{\tau_w} \Big)

    with the cosine :math:`s_{ui} = \cos(\mathbf{z}_u, \mathbf{z}_i) / \tau` and the
    user's :math:`k`-th largest cosine :math:`\beta_b`: pairs weigh the more, the surer
    they are in the list. With :math:`\tau_w \to \infty` it is half of
    :class:`~ltgnn_pyg.nn.SoftmaxLoss`. No gradient passes through :math:`w_b`. In the
    reference code one does, against which many negatives hold out; those of a dense
    batch may not, and then pairs leave the list to weigh less.

    :math:`\beta_b` needs no state: it is estimated from the batch. The negatives are a
    sample of :math:`n` of the :math:`I - 1` items beside the pair's own, so the
    :math:`r`-th largest of those items is about the :math:`r \rho`-th largest
    :math:`o(r \rho)` of the sample, :math:`\rho = n / (I - 1)`, between two of them by
    interpolation. With the own item among them, the :math:`k`-th of all is

    .. math::
        \beta_b = \min \big( \max ( \tau s_{u_b i_b}, o(k \rho) ), o((k - 1) \rho)
        \big),

    exactly so if the sample is all items. A sample of fewer than :math:`I / k` does not
    see as far: then it is the largest one. In the batch, items are sampled as often
    as they are popular, which is what scores there are relative to.

    With weights :math:`w` it learns the density ratio of what it weighs, :math:`w \,
    p(i | u) / q(i)`; see :class:`~ltgnn_pyg.nn.loss.RankingLoss` for what becomes of
    the popularity of items.

    Args:
        num_items (int): The number of items :math:`I`.
        k (int, optional): The length of the list. (default: :obj:`20`)
        temperature (float, optional): :math:`\tau`. If :obj:`None`, by the density of
            the set, 0.12 or more, see :class:`~ltgnn_pyg.nn.loss.RankingLoss`.
            (default: :obj:`None`)
        weight_temperature (float, optional): :math:`\tau_w`. (default: :obj:`1.0`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn, uniformly. (default: :obj:`True`)

    Raises:
        ValueError: If a temperature is not positive, :obj:`k` is not in
            :obj:`[1, num_items]`, or negatives are not drawn uniformly.

    *Cost:* As of :class:`~ltgnn_pyg.nn.SoftmaxLoss`, and to find the largest
    :math:`k \rho` of the negatives.
    """

    by_density: ClassVar[bool] = True

    def __init__(
        self,
        num_items: int,
        k: int = 20,
        temperature: float | None = None,
        weight_temperature: float = 1.0,
        cosine: bool = True,
        in_batch: bool = True,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)
        if not 1 <= k <= num_items:
            raise ValueError(
                f"Expected 'k' in [1, num_items={num_items}] (got {k}); pass the "
                "length of the lists"
            )
        if not weight_temperature > 0.0:
            raise ValueError(
                f"Expected a positive 'weight_temperature' (got {weight_temperature})"
            )
        self.num_items = num_items
        self.k = k
        self.weight_temperature = weight_temperature

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if self.negatives(batch) is not None:
            if batch.get("log_q") is not None:
                raise ValueError(
                    "Expected negatives drawn uniformly, as a place in a list is "
                    "estimated from them (got 'log_q'); draw them with 'power=0.0'"
                )
            return super().forward(z, batch)
        z = F.normalize(z, dim=-1) if self.cosine else z
        src, dst = gather(z, batch.src_index, batch.dst_pos_index)
        bound = 1.0 / self.tau if self.cosine else None
        return in_batch_softmax(
            src / self.tau,
            dst,
            batch.dst_pos_index,
            bound,
            *self._teacher(z, batch),
            weigh=lambda pos, score: self._weights(pos, score, score.size(1) - 1),
            weight=batch.get("weight"),
        )

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        share = self._weights(pos, neg, neg.size(1))
        return mean_of_pairs(share * cross_entropy(pos, neg), weight)

    def _teacher(self, z: Tensor, batch: PairBatch) -> tuple[Teacher | None, float]:
        """The teacher and its weight, see :func:`in_batch_softmax`: none."""
        return None, 0.0

    @torch.no_grad()
    def _weights(self, pos: Tensor, neg: Tensor, num: int) -> Tensor:
        """The weights of pairs."""
        ratio = self.tau / self.weight_temperature
        return torch.sigmoid((pos - self._threshold(pos, neg, num)) * ratio)

    @torch.no_grad()
    def _threshold(self, pos: Tensor, neg: Tensor, num: int) -> Tensor:
        r"""Estimates :math:`\beta / \tau`.

        Args:
            pos (torch.Tensor): Scores of the positives :obj:`[num_pairs]`.
            neg (torch.Tensor): Scores of the negatives, :obj:`-inf` where there is
                none.
            num (int): The number of negatives.
        """
        rho = num / max(self.num_items - 1, 1)
        last = max(math.ceil(self.k * rho), 1)
        largest = neg.topk(min(last, neg.size(1)), dim=1).values.to(pos.dtype)
        # There may be less others than places.
        largest = F.pad(largest, (0, last - largest.size(1)), value=LOWEST)
        largest.clamp_(min=LOWEST)

        def at(rank: float) -> Tensor:
            rank = min(max(rank, 1.0), float(last))
            low, high = largest[:, int(rank) - 1], largest[:, math.ceil(rank) - 1]
            return low.lerp(high, rank - int(rank))

        beta = torch.maximum(pos, at(self.k * rho))
        return beta if self.k == 1 else torch.minimum(beta, at((self.k - 1) * rho))
