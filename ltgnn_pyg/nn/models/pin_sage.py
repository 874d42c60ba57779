from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ModuleList
from torch_geometric.typing import Adj

from ltgnn_pyg.graph.adjacency import normalized_adj
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
            for batch in PairLoader(data):
                ...
        z = model.item_vectors(data.edge_index)

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding, of a layer too.
            (default: :obj:`64`)
        x (torch.Tensor, optional): Features of the items :obj:`[num_items,
            num_features]`, dense or sparse COO. Then a linear map of them stands for
            the items' rows of :math:`X`, so that items without interactions have
            embeddings too. They follow the module to its device and are no part of its
            state. (default: :obj:`None`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`2`)
        sampler (callable, optional): Makes the sampler of a graph, such as
            :obj:`partial(RandomWalkSampler, num_neighbors=50)`. (default:
            :class:`~ltgnn_pyg.sampler.RandomWalkSampler`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If :obj:`num_layers` is not positive, or :obj:`x` are no features of
            the items.

    *Cost:* O(E + N (num_walks x num_steps + num_layers x (num_neighbors x dim +
    dim^2))) time a round.
    """

    x: Tensor | None

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        x: Tensor | None = None,
        num_layers: int = 2,
        sampler: Callable[[Tensor], RandomWalkSampler] = RandomWalkSampler,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1:
            raise ValueError(f"Expected a positive 'num_layers' (got {num_layers})")
        dim = embedding_dim
        self.num_layers = num_layers
        self.sampler = sampler
        self.convs = ModuleList(PinSageConv(dim, dim, dim) for _ in range(num_layers))
        self.register_buffer("x", None, persistent=False)
        if x is not None:
            self.project = Linear(_check(x, num_items), dim)
            self.x = x

    def encode(self, adj_t: Tensor) -> Tensor:
        """Returns the embeddings of all nodes; see
        :meth:`~ltgnn_pyg.nn.models.Recommender.encode`.
        """
        return self._encode(adj_t, self.x)

    def item_vectors(self, edge_index: Adj, x: Tensor | None = None) -> Tensor:
        r"""Returns vectors of items, of length 1: how alike two items are is their
        inner product.

        Args:
            edge_index (torch.Tensor or SparseTensor): The graph, see
                :meth:`~ltgnn_pyg.nn.models.Recommender.get_embedding`.
            x (torch.Tensor, optional): The features of these items, of other ones or of
                more than the model was built with, counted on. If :obj:`None`, those it
                was built with. (default: :obj:`None`)

        Returns:
            :obj:`[num_items, dim]`.

        Raises:
            ValueError: If :obj:`x` are no features as the model was built with.

        *Cost:* That of :meth:`get_embedding`.
        """
        num_items = self.num_items
        if x is not None:
            num_items = x.size(0)
            if self.x is None or _check(x, num_items) != self.x.size(1):
                raise ValueError(
                    "Expected 'x' with the features that the model was built with (got "
                    f"{list(x.size())}); build it with 'x', of as many columns"
                )
        adj_t = normalized_adj(edge_index, None, self.num_users + num_items)
        z = self._encode(adj_t, self.x if x is None else x)
        return F.normalize(z[self.num_users :], dim=-1)

    def _encode(self, adj_t: Tensor, x: Tensor | None) -> Tensor:
        start = self.embedding.weight
        if x is not None:
            item = x @ self.project.weight.t() + self.project.bias
            start = torch.cat([start[: self.num_users], item])
        start = F.normalize(start, dim=-1)
        node = torch.arange(start.size(0), device=start.device)
        neighbor, weight = self.sampler(adj_t).sample(node)
        z = start
        for conv in self.convs:
            z = conv(z, neighbor, weight)
        return start + z


def _check(x: Tensor, num_items: int) -> int:
    """The number of features of items."""
    known = x.layout in (torch.strided, torch.sparse_coo) and x.is_floating_point()
    if not known or x.dim() != 2 or x.size(0) != num_items:
        raise ValueError(
            f"Expected 'x' as numbers [num_items={num_items}, num_features] (got "
            f"{x.dtype}, {x.layout}, of shape {list(x.size())}); pass a row an item, "
            "dense or sparse COO"
        )
    return x.size(1)
