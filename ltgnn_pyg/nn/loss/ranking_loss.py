import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import OptTensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.nn.loss.objective import Objective, gather, in_full, log_degree

LEAST_TEMPERATURE = 0.12  #: The best on sets as sparse as Gowalla.
AT_DENSITY = 0.79  #: The temperature times the logarithm of one over the density.


class RankingLoss(Objective):
    r"""An objective of the scores of positive and negative items.

    An item scores :math:`s_{ui} = \mathbf{z}_u^{\top} \mathbf{z}_i / \tau`, or with
    :obj:`cosine` :math:`\cos(\mathbf{z}_u, \mathbf{z}_i) / \tau`. The negatives
    :math:`\mathcal{N}_b` of a pair are drawn by the loader, or with :obj:`in_batch`
    they are the other positive items of the batch, :math:`\{ i_{b'} : i_{b'} \neq
    i_b \}`. Items the user has seen are not taken out; the loader draws negatives
    without them on request (:class:`~ltgnn_pyg.ItemNegativeSampling`,
    :obj:`reject_seen`).

    Where items are drawn as negatives with probability :math:`q`, an objective that
    estimates a density ratio learns :math:`s_{ui} = \ln (p(i | u) / q(i))`; what
    should rank is :math:`\ln p(i | u)`. One rule for all of them:

    * the items of the batch come as often as they are popular, :math:`q(i) = p(i)`:
      :meth:`item_bias`, :math:`\tau \ln d_i`, makes it good when items are scored;
    * negatives drawn otherwise than uniformly bring :obj:`batch.log_q`:
      :math:`s_{ui} - \ln q_i` stands in for :math:`s_{ui}` in training (`"Sampling-
      Bias-Corrected Neural Modeling for Large Corpus Item Recommendations"
      <https://doi.org/10.1145/3298689.3346996>`_), and nothing is left to make good.

    With :obj:`temperature=None`, where an objective offers that, :meth:`prepare` finds
    it,

    .. math::
        \tau = \max \Big( 0.12, \, \frac{0.79}{\max (1, \ln (U I / E))} \Big),

    of :math:`U` users, :math:`I` items and :math:`E` interactions. An interaction of
    mean degrees has the density ratio :math:`p(i | u) / q(i) = U I / E`, so cosines
    have less to tell apart on a dense set. Before, :math:`\tau` is 0.12. What was
    found is :attr:`tau`, and part of the state: a model that is read back scores as
    it was trained.

    Args:
        cosine (bool): Scores by cosine; otherwise by inner product.
        temperature (float, optional): :math:`\tau`. If :obj:`None`, by the density,
            where :attr:`by_density` allows it. (default: :obj:`1.0`)
        in_batch (bool, optional): The negatives are the items of the batch; otherwise
            they are drawn. (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`temperature` is not positive, or :obj:`None` where it must
            be given, or a batch brings negatives to :obj:`in_batch`, or none without
            it.
    """

    takes_weights: ClassVar[bool] = True
    density_ratio: ClassVar[bool] = True  #: True if it estimates a density ratio.
    corrects_pos: ClassVar[bool] = True  #: True if log_q is of positives too.
    by_density: ClassVar[bool] = False  #: True if it needs no temperature.

    def __init__(
        self, cosine: bool, temperature: float | None = 1.0, in_batch: bool = False
    ) -> None:
        super().__init__()
        given = temperature is not None or not self.by_density
        if given and not (temperature or 0.0) > 0.0:
            raise ValueError(f"Expected a positive 'temperature' (got {temperature})")
        self.cosine = cosine
        self.temperature = temperature
        self._found = LEAST_TEMPERATURE  # By the density; a state.
        self.in_batch = in_batch

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        pos, neg = self.scores(z, batch, self.negatives(batch))
        return self.compare(pos, neg, batch.src_index, batch.get("weight"))

    @property
    def tau(self) -> float:
        """The temperature as given, or as found by the density."""
        return self._found if self.temperature is None else self.temperature

    def prepare(self, graph: Graph) -> None:
        """Finds the temperature, if it is none of its own, see
        :meth:`Objective.prepare`.
        """
        num_pairs = max(graph.target_edges.size(1), 1)
        ratio = math.log(max(graph.num_users * graph.num_items / num_pairs, math.e))
        self._found = max(LEAST_TEMPERATURE, AT_DENSITY / ratio)

    def _save_to_state_dict(self, destination: Any, prefix: str, *args: Any) -> None:
        super()._save_to_state_dict(destination, prefix, *args)
        if self.temperature is None:
            destination[prefix + "tau"] = torch.tensor(self._found, dtype=torch.double)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        rest = dict(state_dict)
        if self.temperature is None and prefix + "tau" in rest:
            self._found = float(rest.pop(prefix + "tau"))
        super()._load_from_state_dict(rest, prefix, *args, **kwargs)

    def item_bias(self, degree: Tensor) -> Tensor | None:
        r"""Returns :math:`\tau \ln d_i` where the batch's items are the negatives of a
        density ratio, :obj:`None` elsewhere.
        """
        if self.in_batch and self.density_ratio:
            return self.tau * log_degree(degree)
        return None

    def negatives(self, batch: PairBatch) -> Tensor | None:
        """The negatives of a batch, :obj:`None` for its own items; checked."""
        drawn = batch.negatives
        if drawn is None and not self.in_batch:
            raise ValueError(
                "Expected drawn negatives (got none); build the loader with "
                "'neg_sampling' or pass 'in_batch=True'"
            )
        if drawn is not None and self.in_batch:
            raise ValueError(
                "Expected no drawn negatives, as the items of the batch serve (got "
                "'dst_neg_index'); build the loader without 'neg_sampling' or pass "
                "'in_batch=False'"
            )
        return drawn

    def scores(
        self, z: Tensor, batch: PairBatch, neg_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Scores of positives :obj:`[num_pairs]` and of negatives
        :obj:`[num_pairs, amount]`, :obj:`-inf` where there is none.
        """
        z = F.normalize(in_full(z), dim=-1) if self.cosine else in_full(z)
        pos_index = batch.dst_pos_index
        index = pos_index if neg_index is None else neg_index
        src, pos, neg = gather(z, batch.src_index, pos_index, index.reshape(-1))
        if index.dim() == 2 and index.size(0) > 1:
            neg_score = torch.einsum("bd,bnd->bn", src, neg.view(*index.size(), -1))
        elif neg_index is not None and index.dim() == 1:
            neg_score = (src * neg).sum(-1, keepdim=True)
            index = index.unsqueeze(1)
        else:  # Shared by the batch.
            neg_score = src @ neg.t()
        pos_score = (src * pos).sum(-1) / self.tau
        pos_score, neg_score = self.logits(pos_score, neg_score / self.tau)
        log_q = batch.get("log_q")
        if neg_index is None:  # What becomes -inf gets a gradient of zero.
            same = pos_index.unsqueeze(1) == pos_index
            neg_score = neg_score.masked_fill(same, float("-inf"))
        elif self.density_ratio and not self.in_batch and log_q is not None:
            neg_score = neg_score - log_q[index]
            if self.corrects_pos:
                pos_score = pos_score - log_q[pos_index]
        return pos_score, neg_score

    def logits(self, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers in place of scores, before they are corrected: themselves.

        Args:
            pos (torch.Tensor): Scores of the positives :obj:`[num_pairs]`.
            neg (torch.Tensor): Scores of their negatives :obj:`[num_pairs, amount]`.
        """
        return pos, neg

    @abstractmethod
    def compare(
        self, pos: Tensor, neg: Tensor, src_index: Tensor, weight: OptTensor = None
    ) -> Tensor:
        r"""Returns the mean loss, a scalar.

        Args:
            pos (torch.Tensor): Scores of the positives :obj:`[num_pairs]`.
            neg (torch.Tensor): Scores of their negatives
                :obj:`[num_pairs, amount]`, :obj:`-inf` where there is none.
            src_index (torch.Tensor): The users :obj:`[num_pairs]`.
            weight (torch.Tensor, optional): The weights of the pairs
                :obj:`[num_pairs]`, of mean 1 over all that are trained on. If
                :obj:`None`, ones. (default: :obj:`None`)
        """


def mean_of_pairs(term: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted mean of a term over the pairs."""
    return term.mean() if weight is None else (weight.to(term) * term).mean()


def mean_of_negatives(term: Tensor, neg: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted mean of a term over the negatives that are there."""
    if weight is not None:
        term = weight.to(term).unsqueeze(1) * term
    return term.sum() / (neg > float("-inf")).sum().clamp(min=1)


def cross_entropy(pos: Tensor, neg: Tensor) -> Tensor:
    """The negative logarithm of the softmax of each positive :obj:`[num_pairs]`."""
    score = torch.cat([pos.unsqueeze(1), neg], dim=1)
    first = torch.zeros(pos.numel(), dtype=torch.long, device=pos.device)
    return F.cross_entropy(score, first, reduction="none")
