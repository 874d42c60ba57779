import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.objective import Objective, gather, in_full
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss
from ltgnn_pyg.nn.loss.softmax_at_k_loss import SoftmaxAtKLoss
from ltgnn_pyg.nn.loss.ultra_gcn_loss import UltraGCNLoss


class HardNegatives(Objective):
    r"""Hands an objective the hardest of the negatives only.

    Those that score highest under the embeddings as they are: dynamic negative
    sampling, from `"Optimizing Top-N Collaborative Filtering via Dynamic Negative
    Item Sampling" <https://doi.org/10.1145/2484028.2484126>`_, of the candidates
    that the batch brings. These may be drawn for each pair, shared by the batch, or
    the batch's other items, as the objective says. A curriculum as in `PinSage
    <https://arxiv.org/abs/1806.01973>`_, random negatives first and then ever
    harder ones, raises :attr:`num_hard` from 0, which hands on all candidates,
    between epochs:

    .. code-block:: python

        loss_fn = HardNegatives(BPRLoss(), num_hard=0)
        for epoch in range(20):
            loss_fn.num_hard = 0 if epoch < 10 else 5

    The hardest negatives are often false ones, items the user has taken or will
    take. Those in the training pairs are left out if the loader draws the candidates
    with :obj:`reject_seen`; among the batch's items only the pair's own is.

    Args:
        loss_fn (RankingLoss): The objective.
        num_hard (int): The number of negatives of a pair that are handed on; 0 for all.

    Raises:
        ValueError: If :obj:`num_hard` is negative, or the objective compares no
            negatives or needs all of them.

    *Cost:* O(num_pairs x num_candidates x dim) time, and memory of as much for
    candidates of each pair, O(num_pairs x num_candidates) for shared ones.
    """

    def __init__(self, loss_fn: RankingLoss, num_hard: int) -> None:
        super().__init__()
        if num_hard < 0:
            raise ValueError(f"Expected 'num_hard' to be at least 0 (got {num_hard})")
        if isinstance(loss_fn, SoftmaxAtKLoss | UltraGCNLoss):
            raise ValueError(
                "Expected an objective that can do with some of the items (got "
                f"'{type(loss_fn).__name__}', which needs all that it is given); pass "
                "'SoftmaxLoss()'"
            )
        if not isinstance(loss_fn, RankingLoss):
            raise ValueError(
                "Expected an objective that compares positives with negatives (got "
                f"'{type(loss_fn).__name__}'); pass one such as 'BPRLoss()'"
            )
        self.loss_fn = loss_fn
        self.num_hard = num_hard
        self.cosine = loss_fn.cosine
        self.takes_weights = loss_fn.takes_weights  # type: ignore[misc]

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        given = self.loss_fn.negatives(batch)
        if self.num_hard == 0:
            return self.loss_fn(z, batch)
        with torch.no_grad():
            neg_index = self._hardest(z, batch, given)
        pos, neg = self.loss_fn.scores(z, batch, neg_index)
        return self.loss_fn.compare(pos, neg, batch.src_index, batch.get("weight"))

    def item_bias(self, degree: Tensor) -> Tensor | None:
        """Returns that of the objective."""
        return self.loss_fn.item_bias(degree)

    def _hardest(
        self, z: Tensor, batch: PairBatch, given: Tensor | None
    ) -> Tensor | None:
        pos, neg = batch.dst_pos_index, given
        z = F.normalize(in_full(z), dim=-1) if self.cosine else in_full(z)
        if neg is not None and (neg.dim() == 1 or neg.size(0) > 1):  # Of each pair.
            neg = neg.view(pos.numel(), -1)
            src, rows = gather(z, batch.src_index, neg.reshape(-1))
            score = torch.einsum("bd,bnd->bn", src, rows.view(*neg.size(), -1))
        else:
            neg = pos.unique() if neg is None else neg.view(-1).unique()
            src, rows = gather(z, batch.src_index, neg)
            score = src @ rows.t()
            score.masked_fill_(pos.unsqueeze(1) == neg, float("-inf"))
            neg = neg.expand_as(score)
        num = min(self.num_hard, int((score > float("-inf")).sum(1).min()))
        if num == 0:  # Some pair has no candidate.
            return given
        return neg.gather(1, score.topk(num, dim=1).indices)
