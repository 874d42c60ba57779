import math
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph import Graph
from ltgnn_pyg.inputs import History
from ltgnn_pyg.nn.conv import exact_coefficients, history_step
from ltgnn_pyg.nn.models.recommender import Recommender

INIT_STEPS = 7  #: Exact steps from X that fill an empty history.
LEFT = 0.1  #: Of the way to the fixed point, where `K` is not given.


class LTGNN(Recommender):
    r"""The recommender of `"Linear-Time Graph Neural Networks for Scalable
    Recommendations" <https://arxiv.org/abs/2402.13973>`_ (WWW 2024).

    Users and items have an embedding each, the rows of :math:`X`; they are
    scored by the rows of the fixed point :math:`Z = (1 - \alpha) \hat{A} Z + \alpha
    X`. The batch says what a training step is:

    * On a round of a :class:`~ltgnn_pyg.PairLoader`, :math:`K` exact steps lead from
      :math:`X` to :math:`Z` over the graph without the round's pairs, and ordinary
      autograd leads back: an *exact round*, of a dense gradient.
    * On a micro-batch of a round with *inner steps*, the rows of :math:`Z` are those
      of the round's start, but for the table's own, :math:`\alpha \mathbf{x}_r`; its
      last one brings the exact gradient of all (:class:`~ltgnn_pyg.batch.InnerSteps`).
    * On a batch of a :class:`~ltgnn_pyg.VRNeighborLoader`, which carries rows of
      :attr:`history`, each seed takes *the paper's step*, one step from the history of
      earlier batches:

      .. math::
          \mathbf{z}_r = (1 - \alpha) \mathbf{a}_r + \alpha \mathbf{x}_r, \qquad
          \frac{\partial L}{\partial \mathbf{x}_r} = \alpha \frac{\partial L}{\partial
          \mathbf{z}_r},

      at a cost that does not depend on the size of the graph. The gradient of the
      table is sparse, of the rows of the batch's seeds.

    The released code differs in four things: :math:`\hat{A}` has self-loops,
    :math:`(\mathbf{z}_r - 0.2 \, \mathbf{x}_r) / 0.8` is scored, :math:`\alpha` is
    0.45, and a step adds a term of the gradients of earlier batches, whose weights are
    wrong (:obj:`docs/notes/2026-11-core.md`).

    The loop is the same, and :class:`~ltgnn_pyg.inputs.row_adam.RowAdam` takes both
    kinds of gradient:

    .. code-block:: python

        graph = Graph.from_interactions(split.train)
        model = LTGNN(graph.num_users, graph.num_items)
        loader = PairLoader(graph, num_rounds=40, inner_steps=True)
        model.loss_fn.prepare(graph)
        optimizer = RowAdam(model.parameters(), lr=0.001)
        for epoch in range(10):
            for batch in loader:
                optimizer.zero_grad()
                model.loss(batch).backward()
                optimizer.step()
        scorer = model.scorer(graph)

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        alpha (float, optional): Teleport probability in :math:`[0, 1]`; 1 is
            matrix factorisation. (default: :obj:`0.1`)
        K (int, optional): Exact steps of :meth:`encode`, which are what is scored, and
            what rounds train. If :obj:`None`, so many that a tenth of the way to the
            fixed point is left, :math:`(1 - \alpha)^K \le 0.1`: for the paper's step,
            which trains the fixed point. (default: :obj:`3`)
        history_device (torch.device or str, optional): The place of the history. If
            :obj:`None`, it follows the model. (default: :obj:`None`)
        history_dtype (torch.dtype, optional): The type of the history. If
            :obj:`None`, as the table. (default: :obj:`None`)
        **kwargs (optional): :obj:`inputs`, :obj:`loss_fn`, :obj:`weight_decay` and
            :obj:`init_std` of :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* Beside the objective, :math:`2 K` sparse products a round, O(E x dim) an
    epoch; or O(batch_size x num_neighbors x dim) a step. Memory of N x dim numbers, of
    4 N x dim with a history.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        alpha: float = 0.1,
        K: int | None = 3,
        history_device: torch.device | str | None = None,
        history_dtype: torch.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if not (0.0 < alpha or K is not None) or not 0.0 <= alpha <= 1.0:
            raise ValueError(
                f"Expected 'alpha' in [0, 1], and above 0 for the fixed point (got "
                f"{alpha})"
            )
        if K is None:
            K = math.ceil(math.log(LEFT) / math.log(1.0 - alpha)) if alpha < 1.0 else 1
        if K < 1:
            raise ValueError(f"Expected a positive 'K' (got {K})")
        self.alpha = alpha
        self.K = K
        self.history_device = history_device
        self.history_dtype = history_dtype
        self.history = History(
            self.num_nodes, embedding_dim, device=history_device, dtype=history_dtype
        )

    @property
    def coefficients(self) -> list[float]:
        """Those of :math:`K` exact steps from :math:`X`."""
        return exact_coefficients(self.alpha, self.K)

    @torch.no_grad()
    def refresh(self, graph: Graph) -> None:
        r"""Renews the snapshot of the history and its exact aggregate; the loader
        calls it when an epoch starts.

        An empty history is filled by a few exact steps from :math:`X` first.

        Args:
            graph (Graph): The graph that neighbours are sampled from.

        *Cost:* O(E x dim) time, a sparse product; eight the first time.
        """
        history = self.history
        if history.num_refreshes > 0:
            history.refresh(graph)
            return
        x = self.inputs.table()
        history.refresh(graph, x)
        for _ in range(INIT_STEPS):
            # What was just aggregated, exactly, is a step away for every node.
            for rows in torch.arange(self.num_nodes, device=x.device).split(2**16):
                agg = history.pull("aggregate", rows)
                history.push(rows, history_step(x[rows], agg, self.alpha))
            history.refresh(graph)

    def history_rows(
        self, x: Tensor, n_id: Tensor, aggregate: Tensor, history: History
    ) -> Tensor:
        """Takes the paper's step for some nodes; in training, they are
        pushed to the history.

        Raises:
            ValueError: If the rows are of the history of another model.
        """
        if history is not self.history:
            raise ValueError(
                "Expected a batch with rows of this model's history (got one of "
                "another model, or of a copy); build a 'VRNeighborLoader' over this one"
            )
        z = history_step(x, aggregate, self.alpha)
        if self.training and torch.is_grad_enabled():
            self.history.push(n_id, z.detach())
        return z

    def append(self, graph: Graph) -> None:
        """Adds inputs and rows of the history for the nodes that were appended to a
        graph.
        """
        num = graph.num_nodes - self.num_nodes
        super().append(graph)
        self.history.append(num)

    @property
    def teleport(self) -> float:
        r""":math:`\alpha`."""
        return self.alpha

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.num_users}, {self.num_items}, "
            f"{self.embedding_dim}, alpha={self.alpha}, K={self.K})"
        )
