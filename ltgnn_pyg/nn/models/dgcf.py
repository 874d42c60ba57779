from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch, Round
from ltgnn_pyg.graph import CSROperator, Graph
from ltgnn_pyg.nn.conv import edge_dot, edge_sum
from ltgnn_pyg.nn.models.recommender import Recommender


class DGCF(Recommender):
    r"""Disentangled graph collaborative filtering, from `"Disentangled Graph
    Collaborative Filtering" <https://arxiv.org/abs/2007.01764>`_.

    A row is cut into :math:`K` *intents* :math:`\mathbf{h}_{ki}`, and each edge
    :math:`e` from :math:`t` to :math:`h` has a logit :math:`s_{ke}` for each, which
    starts at 1. A layer repeats, from :math:`\mathbf{t}_{ki} = \tanh (\mathbf{h}_{ki} /
    \| \mathbf{h}_{ki} \|)`,

    .. math::
        p_{ke} &= \mathrm{softmax}_k (s_{ke}), \qquad d_{ki} = \sum_{e : h_e = i}
        p_{ke}

        \mathbf{z}_{ki} &= \sum_{e : h_e = i} \frac{p_{ke}}{\sqrt{d_{ki} \, d_{k t_e}}}
        \, \mathbf{h}_{k t_e}, \qquad s_{ke} \leftarrow s_{ke} + \frac{\mathbf{z}_{k
        h_e}^{\top}}{\| \mathbf{z}_{k h_e} \|} \, \mathbf{t}_{k t_e}

    and hands on the last :math:`\mathbf{z}`; the logits go on from layer to layer.
    :math:`Z` is the mean of :math:`X` and all layers. This is the reference code; the
    paper has no norm inside the hyperbolic tangent. The two directions of an edge have
    logits of their own. Edges with weights count by them. An edge that the round leaves
    out carries nothing and keeps its logits, but counts in the degrees, as everywhere
    here.

    The training loss adds :math:`\lambda \frac{2}{K (K + 1)} \sum_{k < K}
    \mathrm{dCor}(Z_k, Z_{k + 1})`, the distance correlation of neighbouring intents
    (the paper: of all) over some users and items, drawn without replacement from
    torch's global generator once a batch.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding, of all intents
            together. (default: :obj:`64`)
        num_intents (int, optional): :math:`K`. (default: :obj:`4`)
        num_layers (int, optional): The number of layers. (default: :obj:`1`)
        num_iterations (int, optional): The times that a layer routes.
            (default: :obj:`2`)
        frozen_routing (bool, optional): Lets no gradient through the logits. The
            values are the same; a layer is then :math:`K` sparse matrices, whose
            exact transposes are all that goes back. (default: :obj:`False`)
        cor_weight (float, optional): :math:`\lambda`. (default: :obj:`0.01`)
        num_cor_nodes (int, optional): The number of users, and of items, that are
            drawn; the reference code draws 61 to 100, by the set. (default: :obj:`100`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If a number is out of its range, or intents do not divide the
            embedding.

    *Cost:* O(layers x iterations x E x dim) time a round, and about the same twice
    more backward, once with :obj:`frozen_routing`; of memory, a few numbers an edge,
    intent and iteration.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_intents: int = 4,
        num_layers: int = 1,
        num_iterations: int = 2,
        frozen_routing: bool = False,
        cor_weight: float = 0.01,
        num_cor_nodes: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if min(num_intents, num_layers, num_iterations, num_cor_nodes) < 1:
            raise ValueError(
                "Expected positive 'num_intents', 'num_layers', 'num_iterations' and "
                f"'num_cor_nodes' (got {num_intents}, {num_layers}, {num_iterations} "
                f"and {num_cor_nodes})"
            )
        if embedding_dim % num_intents != 0:
            raise ValueError(
                "Expected 'num_intents' to divide 'embedding_dim' (got "
                f"{num_intents} and {embedding_dim}); each takes as many columns"
            )
        if not cor_weight >= 0.0:
            raise ValueError(
                f"Expected 'cor_weight' to be at least 0 (got {cor_weight})"
            )
        self.num_intents = num_intents
        self.num_layers = num_layers
        self.num_iterations = num_iterations
        self.frozen_routing = frozen_routing
        self.cor_weight = cor_weight
        self.num_cor_nodes = num_cor_nodes

    def encode(self, graph: Graph) -> Tensor:
        r"""Returns the mean of :math:`X` and its layers, intents side by side."""
        x, num, operator = self.inputs.table(), self.num_intents, graph.matrix
        weight, left_out = _edge_weights(operator, operator.degree.to(x))
        h = x.view(x.size(0), num, -1).transpose(0, 1).contiguous()
        s = x.new_ones(num, weight.numel())
        out, routed = h, torch.is_grad_enabled() and not self.frozen_routing
        left = self.num_layers * self.num_iterations
        for _ in range(self.num_layers):
            z = h
            with torch.set_grad_enabled(routed):
                t = F.normalize(h, dim=-1).tanh()
            for _ in range(self.num_iterations):
                with torch.set_grad_enabled(routed):
                    p = s.softmax(0) * weight
                    d = _row_sums(p, operator) + left_out / num
                    scale = d.clamp(min=1e-12).rsqrt().unsqueeze(-1)
                z = scale * edge_sum(p, scale * h, operator)
                left -= 1
                if left == 0:  # Nobody asks for the logits any more.
                    break
                with torch.set_grad_enabled(routed):
                    unit = F.normalize(z, dim=-1)
                    s = s + (weight != 0) * edge_dot(unit, t, operator)
            h, out = z, out + z
        out = out / (self.num_layers + 1)
        return out.transpose(0, 1).reshape(x.size())

    def loss(self, batch: PairBatch) -> Tensor:
        """Returns the training loss of a batch, a scalar, see
        :meth:`~ltgnn_pyg.nn.models.Recommender.loss`.
        """
        if self.cor_weight == 0.0 or not isinstance(batch, Round):
            return super().loss(batch)
        z = self.encode(batch.graph)
        rows = z.index_select(0, batch.seeds)
        loss = self._decayed(self.objective(rows, batch), batch)
        return loss + self.cor_weight * self._correlation(z, batch.graph)

    def _correlation(self, z: Tensor, graph: Graph) -> Tensor:
        """The mean distance correlation of neighbouring intents."""
        num, device = self.num_cor_nodes, z.device
        user = torch.randperm(self.num_users, device=device)[:num]
        item = torch.randperm(self.num_items, device=device)[:num]
        n_id = torch.cat([graph.number("user", user), graph.number("item", item)])
        parts = z.index_select(0, n_id).chunk(self.num_intents, 1)
        total = z.new_zeros(())
        for x, y in pairwise(parts):
            total = total + distance_correlation(x, y)
        return total / (self.num_intents * (self.num_intents + 1) / 2)


def _edge_weights(operator: CSROperator, degree: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of the edges, and what was left out of the degree of each node."""
    root, num = degree.sqrt(), operator.rowptr.diff()
    weight = root.repeat_interleave(num, output_size=operator.col.numel())
    weight = weight * root.index_select(0, operator.col) * operator.value
    kept = _row_sums(weight.unsqueeze(0), operator).squeeze(0)
    return weight, (degree - kept).clamp(min=0.0)  # Rounding may take it below.


def _row_sums(value: Tensor, operator: CSROperator) -> Tensor:
    """The sums of the values of each row :obj:`[num_heads, num_nodes]`."""
    row = operator.pattern.row.long().expand_as(value)
    return value.new_zeros(value.size(0), operator.num_rows).scatter_add(1, row, value)


def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """The correlation of the distances of rows in two tables, a scalar; see
    `"Measuring and Testing Dependence by Correlation of Distances"
    <https://arxiv.org/abs/0803.4101>`_.
    """
    a, b = _centred_distances(x), _centred_distances(y)

    def covariance(a: Tensor, b: Tensor) -> Tensor:
        return ((a * b).mean().clamp(min=0.0) + 1e-8).sqrt()

    scale = (covariance(a, a) * covariance(b, b)).sqrt()
    return covariance(a, b) / (scale + 1e-10)


def _centred_distances(x: Tensor) -> Tensor:
    square = x.square().sum(1)
    square = square.unsqueeze(1) - 2 * x @ x.t() + square
    distance = (square.clamp(min=0.0) + 1e-8).sqrt()
    rows, columns = distance.mean(0, keepdim=True), distance.mean(1, keepdim=True)
    return distance - rows - columns + distance.mean()
