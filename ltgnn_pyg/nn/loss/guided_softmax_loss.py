from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import Gram, Graph, propagate
from ltgnn_pyg.nn.loss.in_batch_softmax import Teacher, score_dtype
from ltgnn_pyg.nn.loss.softmax_at_k_loss import SoftmaxAtKLoss

POWER, LOW_PASS, BETA = 1.5, 0.2, 0.4  #: Those of ChebyCF.


class GuidedSoftmaxLoss(SoftmaxAtKLoss):
    r"""Softmax for the first places of a list,
    :class:`~ltgnn_pyg.nn.SoftmaxAtKLoss`, guided by a graph filter: a part of what is
    learned of a pair is what a filter of the whole graph, which needs no training,
    expects of its user.

    .. math::
        L = - \frac{1}{B} \sum_b w_b \sum_i t_{bi} \ln \frac{\exp s_{u_b i}}
        {\sum_j \exp s_{u_b j}}, \qquad
        t_{bi} = (1 - \lambda) \, \delta_{i i_b} + \lambda \,
        \frac{f_{u_b i}}{\sum_j f_{u_b j}}

    over the items of the batch, those of the target :math:`f` over at most 1,024 of
    them. The filter is that of `"Graph Spectral Filtering with Chebyshev Interpolation
    for Recommendation" <https://arxiv.org/abs/2505.00552>`_
    (:class:`~ltgnn_pyg.scorers.filters.ChebyCF`), as far as the leading :obj:`rank`
    eigenvectors :math:`V` of :math:`\tilde{R}^{\top} \tilde{R}` see it, of the
    eigenvalues :math:`\mu`:

    .. math::
        f_{ui} = \frac{1}{d_i} \Big( \mathbf{r}_u D_I^{-\beta} V \, \mathrm{diag}
        \big( g(1 - 2 \mu) + \tfrac{1}{5} \big) V^{\top} D_I^{\beta} \Big)_i^+,
        \qquad g(e) = \tfrac{1}{2} - \tfrac{1}{2} \mathrm{sgn}(e) \, |e|^{3/2},
        \quad \beta = 0.4

    The batch holds an item as often as it is popular, hence the degree :math:`d_i`. To
    learn from what another model expects is the distillation of `"Distilling the
    Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_.

    Args:
        num_items (int): The number of items :math:`I`.
        k (int, optional): The length of the list. (default: :obj:`20`)
        temperature (float, optional): :math:`\tau`. If :obj:`None`, by the density of
            the set, 0.12 or more, see :class:`~ltgnn_pyg.nn.loss.RankingLoss`.
            (default: :obj:`None`)
        weight_temperature (float, optional): :math:`\tau_w`. (default: :obj:`1.0`)
        guide_weight (float, optional): :math:`\lambda` in :math:`[0, 1]`.
            (default: :obj:`0.5`)
        rank (int, optional): The number of eigenvectors. (default: :obj:`1024`)

    Raises:
        ValueError: If an argument is out of its range, the objective is not prepared,
            or for another graph.

    *Cost:* Eigenvectors once, see :meth:`~ltgnn_pyg.graph.Gram.leading`, with about
    16 N rank bytes meanwhile and 2 N rank bytes from then on; O(num_pairs x (num_pairs
    x dim + 1024 x rank)) time.
    """

    def __init__(
        self,
        num_items: int,
        k: int = 20,
        temperature: float | None = None,
        weight_temperature: float = 1.0,
        guide_weight: float = 0.5,
        rank: int = 1024,
    ) -> None:
        super().__init__(num_items, k, temperature, weight_temperature)
        if not 0.0 <= guide_weight <= 1.0 or rank < 1:
            raise ValueError(
                "Expected 'guide_weight' in [0, 1] and a positive 'rank' (got "
                f"{guide_weight} and {rank})"
            )
        self.guide_weight = guide_weight
        self.rank = rank
        self._guide: Tensor | None = None  # No state: it is made of what is trained on.

    def __getstate__(self) -> dict[str, Any]:
        """A copy has no use for what the filter expects, which is large."""
        return {**vars(self), "_guide": None}

    @torch.no_grad()
    def prepare(self, graph: Graph) -> None:
        """Filters the graph that is trained on, see :meth:`Objective.prepare`."""
        if graph.num_items != self.num_items:
            raise ValueError(
                f"Expected a graph of {self.num_items} items (got {graph.num_items}); "
                "pass 'num_items' as it has them"
            )
        super().prepare(graph)
        gram = Gram(graph.rows)
        vector = gram.leading(min(self.rank, self.num_items))
        e = 1.0 - 2.0 * gram.values(vector)
        kept = 0.5 - 0.5 * e.sign() * e.abs().pow(POWER) + LOW_PASS
        degree = gram.degree.clamp(min=1.0).unsqueeze(1)
        # A user's row may be of any length, as the target is of one in all.
        user = propagate(gram.half, vector * degree.pow(0.5 - BETA)) * kept
        item = vector * degree.pow(BETA - 1.0)
        guide = user.new_zeros(graph.num_nodes, user.size(1), dtype=torch.bfloat16)
        guide[graph.nodes("user")] = user.to(guide)
        guide[graph.nodes("item")] = item.to(guide)
        self._guide = guide

    def _teacher(self, z: Tensor, batch: PairBatch) -> tuple[Teacher, float]:
        """The filter as a teacher, and its weight."""
        if self._guide is None:
            raise ValueError(
                "Expected an objective that knows the graph (got none); call "
                "'loss_fn.prepare(graph)' before the first batch, as 'fit' "
                "does"
            )
        guide = self._guide = self._guide.to(z.device)
        index = batch.n_id[torch.stack([batch.src_index, batch.dst_pos_index])]
        wide = torch.promote_types(z.dtype, torch.float32)
        dtype = score_dtype(z.to(wide))

        def expected(pairs: slice) -> Tensor:
            try:
                src, dst = F.embedding(index[:, pairs], guide).to(dtype)
            except IndexError as error:
                raise ValueError(
                    f"Expected nodes below {guide.size(0)}, as it is prepared for (got "
                    f"{int(index.max())}); prepare it with the whole graph"
                ) from error
            return (src @ dst.t()).to(wide).relu_()

        return expected, self.guide_weight
