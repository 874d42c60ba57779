import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import CSROperator, Graph, item_graph
from ltgnn_pyg.nn.loss import Objective, RankingLoss, UltraGCNLoss
from ltgnn_pyg.nn.models.recommender import Recommender

ITEMS_PER_WEIGHT = 135.0  #: So many items weigh as much as a positive.


class UltraGCN(Recommender):
    r"""UltraGCN, from `"UltraGCN: Ultra Simplification of Graph Convolutional
    Networks for Recommendation" <https://arxiv.org/abs/2110.15114>`_ (CIKM 2021).

    A user and an item score by the inner product of their rows of :math:`X`, and
    nothing is propagated. The limit of infinitely many layers is approached by the
    objective:

    .. math::
        L = L_C - \frac{\lambda}{B} \sum_b \sum_{j \in \mathcal{S}(i_b)} \omega_{i_b j}
        \ln \sigma (\mathbf{x}_{u_b}^{\top} \mathbf{x}_j) + \frac{\gamma}{2 B} \| X
        \|_F^2

    with the constraint losses :math:`L_C` (:class:`~ltgnn_pyg.nn.UltraGCNLoss`) and the
    items :math:`\mathcal{S}(i)` most often taken together with :math:`i`
    (:func:`~ltgnn_pyg.graph.item_graph`). It is the reference code's sum
    over a batch divided by its pairs :math:`B`, but for two things that keep the size
    of the data out of the cost of a step, and are the same in the mean:

    * the uniform negatives are drawn once a batch, and shared by its pairs;
    * :math:`\| X \|_F^2` is estimated from the pairs, :math:`\frac{E}{B} \sum_b ( \|
      \mathbf{x}_{u_b} \|^2 / n_{u_b} + \| \mathbf{x}_{i_b} \|^2 / n_{i_b} )` of
      :math:`E` interactions, :math:`n` of the user or item, so that rows of the batch
      alone have a gradient.

    Degrees and item graph are those of the batch's graph, all of its edges, and are
    kept with it. Build the loader on the device that is trained on, or they are worked
    out anew each batch.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        item_weight (float, optional): :math:`\lambda`; the reference code takes 2.75
            for Amazon-Book, 5e-4 for Gowalla and Yelp2018. (default: :obj:`2.75`)
        num_neighbors (int, optional): The number of items of :math:`\mathcal{S}`.
            (default: :obj:`10`)
        num_negatives (int, optional): The number of negatives drawn for a micro-batch,
            by torch's global generator, if the loader brings none and the objective
            takes drawn ones; 1500 for Gowalla, 800 for Yelp2018, 500 for Amazon-Book.
            (default: :obj:`800`)
        gamma (float, optional): :math:`\gamma`. (default: :obj:`1e-4`)
        loss_fn (Objective, optional): :math:`L_C`. If :obj:`None`,
            :class:`~ltgnn_pyg.nn.UltraGCNLoss` with the weight of negatives in
            proportion to the items, one for each 135, which is 304 for Gowalla and 282
            for Yelp2018, where the reference code takes 300. (default: :obj:`None`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* O(num_pairs x (num_negatives + num_neighbors) x dim) time and O(num_pairs x
    (num_negatives + num_neighbors x dim)) memory a batch: take inner steps, as
    :func:`~ltgnn_pyg.fit` does, or small rounds. Once a graph, :math:`O(P \log P)`,
    :math:`P = \sum_u d_u^2`.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        item_weight: float = 2.75,
        num_neighbors: int = 10,
        num_negatives: int = 800,
        gamma: float = 1e-4,
        loss_fn: Objective | None = None,
        **kwargs: Any,
    ) -> None:
        if loss_fn is None:
            loss_fn = UltraGCNLoss(negative_weight=num_items / ITEMS_PER_WEIGHT)
        super().__init__(num_users, num_items, embedding_dim, loss_fn=loss_fn, **kwargs)
        if min(num_neighbors, num_negatives) < 1 or not min(item_weight, gamma) >= 0.0:
            raise ValueError(
                "Expected positive 'num_neighbors' and 'num_negatives', and "
                "'item_weight' and 'gamma' of at least 0 (got "
                f"{num_neighbors}, {num_negatives}, {item_weight} and {gamma})"
            )
        self.item_weight = item_weight
        self.num_neighbors = num_neighbors
        self.num_negatives = num_negatives
        self.gamma = gamma

    @property
    def coefficients(self) -> list[float]:
        """:math:`Z = X`."""
        return [1.0]

    def loss(self, batch: PairBatch) -> Tensor:
        """Returns the training loss of a batch, a scalar, see
        :meth:`~ltgnn_pyg.nn.models.Recommender.loss`.
        """
        self.check_weights(batch)
        loss = torch.zeros((), device=batch.n_id.device)
        for part in batch.micro_batches():
            loss = loss + batch.share(part) * self._loss_of(part, batch.graph)
        return self._decayed(loss, batch)

    def _loss_of(self, batch: PairBatch, graph: Graph) -> Tensor:
        """The loss of a micro-batch."""
        batch, num = copy.copy(batch), batch.num_pairs
        degree, n_id = graph.matrix.degree, batch.seeds
        if self._draws(batch):
            device, size = n_id.device, (1, self.num_negatives)
            item = torch.randint(self.num_items, size, device=device)
            batch.dst_neg_index = torch.arange(size[1], device=device) + n_id.numel()
            batch.dst_neg_index = batch.dst_neg_index.view(size)
            n_id = torch.cat([n_id, graph.number("item", item.view(-1))])
        batch.n_id, batch.num_seeds, batch.degree = n_id, n_id.numel(), degree[n_id]
        user = graph.index("user", n_id[batch.src_index])
        item = graph.index("item", n_id[batch.dst_pos_index])
        if self.item_weight > 0.0:
            neighbor, omega = item_graph(graph, self.num_neighbors)
            neighbor, omega = neighbor[item], omega[item]
            n_id = torch.cat([n_id, graph.number("item", neighbor.view(-1))])
        rows = self.inputs.rows(n_id)
        z, near = rows[: batch.num_seeds], rows[batch.num_seeds :]
        loss: Tensor = self.loss_fn(z, batch)
        if self.item_weight > 0.0:
            src = F.embedding(batch.src_index, z)
            score = torch.einsum("bd,bkd->bk", src, near.view(num, -1, src.size(1)))
            together = (omega.to(score) * F.logsigmoid(score)).sum(1).mean()
            loss = loss - self.item_weight * together
        if self.gamma > 0.0:
            taken = graph.rows  # Pairs are drawn as they occur, whatever they weigh.
            num_edges, count = z.new_tensor(taken.col.numel()), z.new_ones(z.size(0))
            count[batch.src_index] = _counts(taken, user).to(z)
            count[batch.dst_pos_index] = _counts(taken.adjoint, item).to(z)
            norm = z.square().sum(1) / count
            norm = norm[batch.src_index].sum() + norm[batch.dst_pos_index].sum()
            loss = loss + self.gamma / 2 * num_edges / num**2 * norm
        return loss

    def _draws(self, batch: PairBatch) -> bool:
        """True if the objective asks for negatives that the loader did not draw."""
        drawn = isinstance(self.loss_fn, RankingLoss) and not self.loss_fn.in_batch
        return drawn and batch.negatives is None


def _counts(rows: CSROperator, index: Tensor) -> Tensor:
    """The number of entries of some rows; 1 where there is none."""
    return (rows.rowptr[index + 1] - rows.rowptr[index]).clamp(min=1)
