from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import ModuleList

from ltgnn_pyg.graph import CSROperator, Graph
from ltgnn_pyg.inputs import Embeddings, Features, Inputs, SumInputs
from ltgnn_pyg.nn.conv import PinSageConv
from ltgnn_pyg.nn.models.recommender import Recommender
from ltgnn_pyg.sampler import RandomWalkSampler


class PinSage(Recommender):
    r"""PinSage, from `"Graph Convolutional Neural Networks for Web-Scale Recommender
    Systems" <https://arxiv.org/abs/1806.01973>`_, on the graph of users and items.

    .. math::
        H^0 = \frac{X}{\| X \|}, \qquad
        H^l = \mathrm{PinSageConv}(H^{l-1}), \qquad
        Z = H^0 + H^L

    with rows of length 1 in each layer. The neighbours of a node are those that random
    walks visit most (:class:`~ltgnn_pyg.sampler.RandomWalkSampler`). They are drawn
    anew for each round, and each time nodes are encoded: two evaluations differ a
    little, unless :func:`torch.manual_seed` is called before.

    There is no official code; :math:`H^0` is added to the layers as in DGL's example,
    but at length 1. Its dropout, and the biases of its scores, are left out. The
    objective is what :obj:`loss_fn` says; the paper's is a margin, with negatives that
    become harder:

    .. code-block:: python

        loss_fn = HardNegatives(MarginLoss(in_batch=True), num_hard=0)
        model = PinSage(num_users, num_items, x=genres, loss_fn=loss_fn)
        for epoch in range(20):
            loss_fn.num_hard = 0 if epoch < 10 else 5
            for batch in PairLoader(graph):
                ...
        z = model.item_vectors(graph)

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding, of a layer too.
            (default: :obj:`64`)
        x (torch.Tensor, optional): Features of the items :obj:`[num_items,
            num_features]`, dense or sparse COO. Then a linear map of them,
            :class:`~ltgnn_pyg.inputs.Features`, stands for the items' rows of
            :math:`X`, so that items without interactions have embeddings too.
            (default: :obj:`None`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`2`)
        sampler (callable, optional): Makes the sampler of a graph, such as
            :obj:`partial(RandomWalkSampler, num_neighbors=50)`. (default:
            :class:`~ltgnn_pyg.sampler.RandomWalkSampler`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If :obj:`num_layers` is not positive, :obj:`x` are no features of
            the items, or :obj:`inputs` are given beside them.

    *Cost:* O(E + N (num_walks x num_steps + num_layers x (num_neighbors x dim +
    dim^2))) time a round.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        x: Tensor | None = None,
        num_layers: int = 2,
        sampler: Callable[[CSROperator], RandomWalkSampler] = RandomWalkSampler,
        **kwargs: Any,
    ) -> None:
        if x is not None and kwargs.get("inputs") is not None:
            raise ValueError(
                "Expected 'x' or 'inputs' (got both); put the features in the inputs, "
                "see 'ltgnn_pyg.inputs.Features'"
            )
        self.x = x if x is None else _check(x, num_items)
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1:
            raise ValueError(f"Expected a positive 'num_layers' (got {num_layers})")
        dim = embedding_dim
        self.num_layers = num_layers
        self.sampler = sampler
        self.convs = ModuleList(PinSageConv(dim, dim, dim) for _ in range(num_layers))

    def make_inputs(self) -> Inputs:
        """Makes a row of a table for each user, and for each item without features."""
        if self.x is None:
            return super().make_inputs()
        size = self.num_users + self.num_items, self.embedding_dim
        users = Embeddings(*size, num_rows=self.num_users, std=self.init_std)
        return SumInputs([users, Features(self.x, *size, first=self.num_users)])

    def encode(self, graph: Graph) -> Tensor:
        """Returns the embeddings of all nodes; see
        :meth:`~ltgnn_pyg.nn.models.Recommender.encode`.
        """
        return self._encode(graph, self.inputs.table())

    def item_vectors(self, graph: Graph, x: Tensor | None = None) -> Tensor:
        r"""Returns vectors of items, of length 1: how alike two items are is their
        inner product.

        Args:
            graph (Graph): The graph, of as many items as :obj:`x` has rows.
            x (torch.Tensor, optional): The features of its items: other ones, or more
                than the model was built with. If :obj:`None`, those it was built with.
                (default: :obj:`None`)

        Returns:
            :obj:`[num_items, dim]`.

        Raises:
            ValueError: If :obj:`x` are no features as the model was built with.

        *Cost:* That of :meth:`encode`.
        """
        table = self.inputs.table()
        if x is not None:
            if self.x is None or _check(x, graph.num_items).size(1) != self.x.size(1):
                raise ValueError(
                    "Expected 'x' with the features that the model was built with (got "
                    f"{list(x.size())}); build it with 'x', of as many columns"
                )
            inputs: Any = self.inputs
            users, features = inputs.parts
            item = features.encode(x)
            table = item.new_zeros(graph.num_nodes, item.size(1))
            table[graph.nodes("user")] = users.weight[: graph.num_users]
            table[graph.nodes("item")] = item
        return F.normalize(self._encode(graph, table)[graph.nodes("item")], dim=-1)

    def _encode(self, graph: Graph, table: Tensor) -> Tensor:
        start = F.normalize(table, dim=-1)
        node = torch.arange(start.size(0), device=start.device)
        neighbor, weight = self.sampler(graph.matrix).sample(node)
        z = start
        for conv in self.convs:
            z = conv(z, neighbor, weight)
        return start + z


def _check(x: Tensor, num_items: int) -> Tensor:
    """Features of items, which must be some."""
    known = x.layout in (torch.strided, torch.sparse_coo) and x.is_floating_point()
    if not known or x.dim() != 2 or x.size(0) != num_items:
        raise ValueError(
            f"Expected 'x' as numbers [num_items={num_items}, num_features] (got "
            f"{x.dtype}, {x.layout}, of shape {list(x.size())}); pass a row an item, "
            "dense or sparse COO"
        )
    return x
