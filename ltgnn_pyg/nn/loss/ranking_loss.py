from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module


class RankingLoss(Module, ABC):
    r"""An objective of the scores of positive and negative items.

    An item scores :math:`s_{ui} = \mathbf{z}_u^{\top} \mathbf{z}_i / \tau`, or with
    :obj:`cosine` :math:`\cos(\mathbf{z}_u, \mathbf{z}_i) / \tau`. Without negatives
    in the batch the other positive items serve, :math:`\mathcal{N}_b = \{ i_{b'} :
    i_{b'} \neq i_b \}`, so an item is a negative as often as it is popular. Items
    the user has seen are not taken out; the loader draws negatives without them on
    request (:class:`~ltgnn_pyg.ItemNegativeSampling`, :obj:`reject_seen`).

    Args:
        cosine (bool): Scores by cosine; otherwise by inner product.
        temperature (float): :math:`\tau`.
        log_q (bool): Subtracts :obj:`log_q` from the scores of negatives, where
            it is given.

    Raises:
        ValueError: If :obj:`temperature` is not positive.
    """

    def __init__(
        self, cosine: bool, temperature: float = 1.0, log_q: bool = False
    ) -> None:
        super().__init__()
        if temperature <= 0.0:
            raise ValueError(f"Expected a positive 'temperature' (got {temperature})")
        self.cosine = cosine
        self.temperature = temperature
        self.log_q = log_q

    def forward(
        self,
        z: Tensor,
        src_index: Tensor,
        dst_pos_index: Tensor,
        dst_neg_index: Tensor | None = None,
        log_q: Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        pos, neg = self.scores(z, src_index, dst_pos_index, dst_neg_index, log_q)
        return self.compare(pos, neg, src_index)

    def scores(
        self,
        z: Tensor,
        src_index: Tensor,
        dst_pos_index: Tensor,
        dst_neg_index: Tensor | None,
        log_q: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Scores of positives :obj:`[batch_size]` and of negatives
        :obj:`[batch_size, amount]`, :obj:`-inf` where there is none.
        """
        if self.cosine:
            z = F.normalize(z, dim=-1)
        index = dst_pos_index if dst_neg_index is None else dst_neg_index
        src, pos, neg = gather(z, src_index, dst_pos_index, index.reshape(-1))
        if index.dim() == 2 and index.size(0) > 1:
            neg_score = torch.einsum("bd,bnd->bn", src, neg.view(*index.size(), -1))
        elif dst_neg_index is not None and index.dim() == 1:
            neg_score = (src * neg).sum(-1, keepdim=True)
            index = index.unsqueeze(1)
        else:  # Shared by the batch.
            neg_score = src @ neg.t()
        pos_score = (src * pos).sum(-1) / self.temperature
        neg_score = neg_score / self.temperature
        if self.log_q and log_q is not None:
            neg_score = neg_score - log_q[index]
        if dst_neg_index is None:  # What becomes -inf gets a gradient of zero.
            same = dst_pos_index.unsqueeze(1) == dst_pos_index
            neg_score = neg_score.masked_fill(same, float("-inf"))
        return pos_score, neg_score

    @abstractmethod
    def compare(self, pos: Tensor, neg: Tensor, src_index: Tensor) -> Tensor:
        r"""Returns the mean loss, a scalar.

        Args:
            pos (torch.Tensor): Scores of the positives :obj:`[batch_size]`.
            neg (torch.Tensor): Scores of their negatives
                :obj:`[batch_size, amount]`, :obj:`-inf` where there is none.
            src_index (torch.Tensor): The users :obj:`[batch_size]`.
        """

    def extra_repr(self) -> str:
        """The settings."""
        return f"temperature={self.temperature}, cosine={self.cosine}"


def gather(z: Tensor, *index: Tensor) -> tuple[Tensor, ...]:
    """The rows of several indices, read at once."""
    # The backward of `embedding` adds rows in a fixed order, that of indexing
    # does not: a resumed run must equal an uninterrupted one to the bit.
    return F.embedding(torch.cat(index), z).split([i.numel() for i in index])


def mean_of_negatives(term: Tensor, neg: Tensor) -> Tensor:
    """The mean of a term over the negatives that are there."""
    return term.sum() / (neg > float("-inf")).sum().clamp(min=1)
