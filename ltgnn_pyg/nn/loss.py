r"""Training objectives, one signature: :obj:`loss(z, src_index, dst_pos_index,
dst_neg_index) -> Tensor`.

:obj:`z` :obj:`[num_nodes, dim]` holds each distinct node of the batch once; the
indices :obj:`[batch_size]` point into it. Negatives come as :obj:`[batch_size]`,
:obj:`[batch_size, amount]`, :obj:`[1, amount]` shared by the batch, or
:obj:`None`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module


class BPRLoss(Module):
    r"""Bayesian personalised ranking, from `"BPR: Bayesian Personalized Ranking
    from Implicit Feedback" <https://arxiv.org/abs/1205.2618>`_.

    .. math::
        L = - \frac{1}{B n} \sum_{b} \sum_{m=1}^{n} \ln \sigma \left(
        \mathbf{z}_{u_b}^{\top} \mathbf{z}_{i_b} -
        \mathbf{z}_{u_b}^{\top} \mathbf{z}_{j_{bm}} \right)

    Raises:
        ValueError: If there are no negatives.

    *Cost:* O(batch_size x amount x dim).
    """

    def forward(
        self,
        z: Tensor,
        src_index: Tensor,
        dst_pos_index: Tensor,
        dst_neg_index: Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if dst_neg_index is None:
            raise ValueError(
                "Expected negatives for BPR (got a batch without 'dst_neg_index'); "
                "pass 'neg_sampling' to the loader"
            )
        pos, neg = _scores(z, src_index, dst_pos_index, dst_neg_index)
        return -F.logsigmoid(pos.unsqueeze(1) - neg).mean()


class SoftmaxLoss(Module):
    r"""Sampled softmax: tell the positive from the negatives, all at once.

    .. math::
        L = - \frac{1}{B} \sum_b \ln \frac{\exp(s_{u_b i_b} / \tau)}
        {\exp(s_{u_b i_b} / \tau) + \sum_{j \in \mathcal{N}_b}
        \exp(s_{u_b j} / \tau)}

    with the cosine :math:`s_{ui} = \cos(\mathbf{z}_u, \mathbf{z}_i)`, from `"On
    the Effectiveness of Sampled Softmax Loss for Item Recommendation"
    <https://arxiv.org/abs/2201.02327>`_. Without negatives, the other positive
    items of the batch serve: :math:`\mathcal{N}_b = \{ i_{b'} : i_{b'} \neq i_b
    \}`, so an item is a negative as often as it is popular.

    Args:
        temperature (float, optional): :math:`\tau`. (default: :obj:`0.12`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)

    Raises:
        ValueError: If :obj:`temperature` is not positive.

    *Cost:* O(batch_size x (amount + dim)), with :obj:`amount = batch_size` in the
    batch: time O(batch_size^2 x dim), memory O(batch_size^2).
    """

    def __init__(self, temperature: float = 0.12, cosine: bool = True) -> None:
        super().__init__()
        if temperature <= 0.0:
            raise ValueError(f"Expected a positive 'temperature' (got {temperature})")
        self.temperature = temperature
        self.cosine = cosine

    def forward(
        self,
        z: Tensor,
        src_index: Tensor,
        dst_pos_index: Tensor,
        dst_neg_index: Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        if self.cosine:
            z = F.normalize(z, dim=-1)
        if dst_neg_index is not None:
            pos, neg = _scores(z, src_index, dst_pos_index, dst_neg_index)
            logit = torch.cat([pos.unsqueeze(1), neg], dim=1) / self.temperature
            return F.cross_entropy(logit, torch.zeros_like(src_index))
        src = _gather(z, src_index) / self.temperature
        logit = src @ _gather(z, dst_pos_index).t()
        same = dst_pos_index.unsqueeze(1) == dst_pos_index
        with torch.no_grad():  # What softmax makes zero gets a gradient of zero.
            logit.masked_fill_(same.fill_diagonal_(False), float("-inf"))
        return F.cross_entropy(logit, torch.arange(src.size(0), device=src.device))

    def extra_repr(self) -> str:
        """The settings."""
        return f"temperature={self.temperature}, cosine={self.cosine}"


def _gather(z: Tensor, index: Tensor) -> Tensor:
    # The backward of `embedding` adds rows in a fixed order, that of indexing
    # does not: a resumed run must equal an uninterrupted one to the bit.
    return F.embedding(index, z)


def _scores(
    z: Tensor, src_index: Tensor, dst_pos_index: Tensor, dst_neg_index: Tensor
) -> tuple[Tensor, Tensor]:
    """Scores of positives :obj:`[batch_size]` and negatives :obj:`[.., amount]`."""
    index = (src_index, dst_pos_index, dst_neg_index.reshape(-1))
    src, pos, neg = _gather(z, torch.cat(index)).split([i.numel() for i in index])
    pos = (src * pos).sum(-1)
    if dst_neg_index.dim() == 2 and dst_neg_index.size(0) == 1:  # Shared by the batch.
        return pos, src @ neg.t()
    neg = neg.view(src.size(0), -1, src.size(1))
    return pos, (src.unsqueeze(1) * neg).sum(-1)
