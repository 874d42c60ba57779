from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.in_batch_softmax import in_batch_softmax
from ltgnn_pyg.nn.loss.objective import gather, log_degree
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, cross_entropy, mean_of_pairs


def tanh_surrogate(d: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\ln (\tanh d + 1)` and its slope, :math:`1 - \tanh d`."""
    tanh = d.tanh()
    return _log(tanh + 1.0), 1.0 - tanh


def atan_surrogate(d: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\ln (\arctan d + 1)` and its slope."""
    value = d.atan() + 1.0
    reached = value > 0.0
    return _log(value), reached / (1.0 + d.square()) / value.where(reached, 1.0)


def relu_surrogate(d: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\ln \max(0, d + 1)` and its slope."""
    value = d + 1.0
    return _log(value), value.reciprocal().where(value > 0.0, 0.0)


def _log(value: Tensor) -> Tensor:
    """The logarithm, of what stands for 0 too."""
    return value.clamp(min=torch.finfo(value.dtype).tiny).log()


class PSLLoss(RankingLoss):
    r"""The pairwise softmax loss of `"PSL: Rethinking and Improving Softmax Loss
    from Pairwise Perspective for Recommendation"
    <https://arxiv.org/abs/2411.00163>`_: softmax with a milder function than the
    exponential in it, which is closer to NDCG and less moved by false negatives.

    .. math::
        L = \frac{1}{B} \sum_b \ln \Big( 1 + \sum_{j \in \mathcal{N}_b} \sigma(
        d_{bj})^{1 / \tau} \Big), \qquad
        d_{bj} = \frac{\cos(\mathbf{z}_{u_b}, \mathbf{z}_j) - \cos(\mathbf{z}_{u_b},
        \mathbf{z}_{i_b})}{2}

    The 1 is the pair's own, :math:`\sigma(0)`. Its authors take :math:`\sigma(d) =
    \tanh d + 1`, :math:`\arctan d + 1` or :math:`\max(0, d + 1)`. With :math:`\sigma =
    \exp` it is :class:`~ltgnn_pyg.nn.SoftmaxLoss` at the temperature :math:`2 \tau`.

    The score that it learns grows with the density ratio :math:`p(i | u) / q(i)`, but
    is its logarithm only with the exponential. So negatives drawn otherwise than
    uniformly are corrected outside of :math:`\sigma`, which is exact:
    :math:`\sigma(d_{bj})^{1 / \tau} \, q_{i_b} / q_j`. In the batch, :meth:`item_bias`
    is that of softmax,
    :math:`2 \tau \ln d_i`, exact to the first order: near :math:`d = 0` all surrogates
    are the exponential.

    Args:
        surrogate (callable, optional): Returns :math:`\ln \sigma(d)` of a tensor,
            entry by entry, and its slope; :math:`\sigma(0)` is 1.
            (default: :func:`relu_surrogate`, :math:`\sigma(d) = \max(0, d + 1)`)
        temperature (float, optional): :math:`\tau`. (default: :obj:`0.06`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`True`)

    Raises:
        ValueError: If :obj:`temperature` is not positive.

    *Cost:* As of :class:`~ltgnn_pyg.nn.SoftmaxLoss`.
    """

    def __init__(
        self,
        surrogate: Callable[[Tensor], tuple[Tensor, Tensor]] = relu_surrogate,
        temperature: float = 0.06,
        cosine: bool = True,
        in_batch: bool = True,
    ) -> None:
        super().__init__(cosine, temperature, in_batch)
        self.surrogate = surrogate

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if self.negatives(batch) is not None:
            return super().forward(z, batch)
        z = F.normalize(z, dim=-1) if self.cosine else z
        src, dst = gather(z, batch.src_index, batch.dst_pos_index)
        bound = None
        if self.cosine:  # Then d is 1 at most.
            bound = float(self._over_temperature(torch.ones(()))[0])
        return in_batch_softmax(
            src / 2,
            dst,
            batch.dst_pos_index,
            bound,
            surrogate=self._over_temperature,
            weight=batch.get("weight"),
        )

    def logits(self, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns 0 and :math:`\ln \sigma(d) / \tau`."""
        difference = (neg - pos.unsqueeze(1)) * (self.tau / 2)
        return torch.zeros_like(pos), self._over_temperature(difference)[0]

    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        """Returns the mean loss, a scalar."""
        return mean_of_pairs(cross_entropy(pos, neg), weight)

    def item_bias(self, degree: Tensor) -> Tensor | None:
        r"""Returns :math:`2 \tau \ln d_i` in the batch, :obj:`None` elsewhere."""
        return 2 * self.tau * log_degree(degree) if self.in_batch else None

    def _over_temperature(self, d: Tensor) -> tuple[Tensor, Tensor]:
        log, slope = self.surrogate(d)
        return log / self.tau, slope / self.tau
