from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Module
from torch_geometric.data import Data
from torch_geometric.typing import Adj, OptTensor

from ltgnn_pyg.adjacency import normalized_adj, to_coo
from ltgnn_pyg.history import History
from ltgnn_pyg.nn.loss import SoftmaxLoss
from ltgnn_pyg.retrieval import top_k


class Recommender(Module, ABC):
    r"""The contract all models keep, and what they share: the table of embeddings
    :math:`X`, the objective and its :math:`L_2` term, the graph, and top-k lists.

    A model keeps two methods, :meth:`loss` of a batch of
    :class:`~ltgnn_pyg.VRNeighborLoader` and :meth:`get_embedding`; evaluation,
    retrieval and comparison need nothing else. Any of them trains in the same
    loop, which gives :attr:`history` to the loader (:obj:`None` if the model keeps
    none) and calls :meth:`refresh` with :obj:`loader.adj_t` before each epoch.

    Args:
        num_users (int): The number of users, nodes :obj:`0 .. num_users - 1`.
        num_items (int): The number of items, the nodes after them.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        loss_fn (torch.nn.Module, optional): The objective, see
            :mod:`ltgnn_pyg.nn.loss`. If :obj:`None`,
            :class:`~ltgnn_pyg.nn.SoftmaxLoss` over the items of the batch.
            (default: :obj:`None`)
        weight_decay (float, optional): :math:`\lambda` of
            :math:`\frac{\lambda}{2B} \sum_b (\| \mathbf{x}_{u_b} \|^2 + \|
            \mathbf{x}_{i_b} \|^2 + \sum_m \| \mathbf{x}_{j_{bm}} \|^2)`, the
            convention of LightGCN's reference code. (default: :obj:`0.0`)
        init_std (float, optional): Standard deviation of the initial table.
            (default: :obj:`0.005`)
        normalize (bool, optional): :meth:`get_embedding` returns rows of length 1,
            whose inner product is the cosine. If :obj:`None`, as the objective
            scores (:obj:`loss_fn.cosine`). (default: :obj:`None`)
        popularity (float, optional): :math:`\gamma`; the score of an item gains
            :math:`\gamma \tau \ln d_i`, with :math:`d_i` its degree in the graph and
            :math:`\tau` the temperature of the objective. Where the items of a batch
            serve as its negatives, as often as they are popular, what softmax learns
            is :math:`\ln (p(i | u) / p(i))`, and 1 makes :math:`\ln p(i | u)` of it.
            If :obj:`None`, 1 with the default objective or one with a teacher that
            does not correct for :math:`q`, 0 with another.
            (default: :obj:`None`)
        add_self_loops (bool, optional): Propagates over :math:`A + I`; tell the
            loader too. (default: :obj:`False`)
        sparse (bool, optional): The gradient of the table is sparse, of the rows
            of a batch only. (default: :obj:`True`)
        embedding (bool, optional): Makes a table; otherwise its rows are given as
            :obj:`x`. (default: :obj:`True`)

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* N x dim numbers.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        loss_fn: Module | None = None,
        weight_decay: float = 0.0,
        init_std: float = 0.005,
        normalize: bool | None = None,
        popularity: float | None = None,
        add_self_loops: bool = False,
        sparse: bool = True,
        embedding: bool = True,
    ) -> None:
        super().__init__()
        if num_users < 1 or num_items < 1 or embedding_dim < 1:
            raise ValueError(
                f"Expected positive 'num_users', 'num_items' and 'embedding_dim' (got "
                f"{num_users}, {num_items} and {embedding_dim})"
            )
        if weight_decay < 0.0 or init_std < 0.0:
            raise ValueError(
                f"Expected 'weight_decay' and 'init_std' to be at least 0 (got "
                f"{weight_decay} and {init_std})"
            )
        self.num_users = num_users
        self.num_items = num_items
        self.embedding_dim = embedding_dim
        self.weight_decay = weight_decay
        self.init_std = init_std
        self.add_self_loops = add_self_loops
        self.loss_fn = SoftmaxLoss() if loss_fn is None else loss_fn
        self._normalize = normalize
        if popularity is None:
            taught = getattr(loss_fn, "teacher_weight", 0.0) > 0.0
            corrected = getattr(loss_fn, "log_q", False)
            popularity = float(loss_fn is None or (taught and not corrected))
        self.popularity = popularity
        self.embedding: Embedding | None = None
        if embedding:
            self.embedding = Embedding(self.num_nodes, embedding_dim, sparse=sparse)
        self._adj_t: OptTensor = None
        self.history: History | None = None
        self.reset_parameters()

    @property
    def num_nodes(self) -> int:
        """The number of users and items."""
        return self.num_users + self.num_items

    def reset_parameters(self) -> None:
        """Draws the table anew and empties the history, if there is one."""
        if self.embedding is not None:
            torch.nn.init.normal_(self.embedding.weight, std=self.init_std)
        if self.history is not None:
            self.history.reset_parameters()

    @abstractmethod
    def loss(self, batch: Data, x: OptTensor = None) -> Tensor:
        """Returns the training loss of a batch, a scalar."""

    @property
    def normalize(self) -> bool:
        """Whether :meth:`get_embedding` returns rows of length 1."""
        if self._normalize is None:
            return bool(getattr(self.loss_fn, "cosine", False))
        return self._normalize

    def get_embedding(
        self,
        edge_index: Adj | None = None,
        edge_weight: OptTensor = None,
        x: OptTensor = None,
    ) -> Tensor:
        r"""Returns the embeddings to score by inner product.

        Args:
            edge_index (torch.Tensor or SparseTensor, optional): A graph, both
                directions :obj:`[2, num_edges]` or a sparse matrix, which is
                normalised first. If :obj:`None`, the graph of the last
                :meth:`refresh`. (default: :obj:`None`)
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`, such
                as those of :func:`~ltgnn_pyg.datasets.recency_weight`. The degrees of
                :attr:`popularity` are then sums of weights, or of the values of a
                sparse matrix, too; those of a refreshed graph are numbers of edges.
                (default: :obj:`None`)
            x (torch.Tensor, optional): All rows of :math:`X`, for a model without
                a table. (default: :obj:`None`)

        Returns:
            :obj:`[num_users + num_items, dim]`, with one more column if
            :attr:`popularity` is not zero.

        Raises:
            ValueError: If there is neither a graph given nor one refreshed over,
                for a model that needs one, weights come without edges, or the graph is
                none that :func:`~ltgnn_pyg.normalized_adj` takes.

        *Cost:* That of the model over the whole graph, and O(E log E) to normalise
        a graph given.
        """
        adj_t = self._adj_t
        if edge_index is not None:
            adj_t = normalized_adj(
                edge_index, edge_weight, self.num_nodes, self.add_self_loops
            )
        elif edge_weight is not None:
            raise ValueError(
                "Expected 'edge_index' beside 'edge_weight' (got None); pass the edges "
                "that the weights belong to"
            )
        z = self._embed(adj_t, self._rows(x))
        z = F.normalize(z, dim=-1) if self.normalize else z
        if self.popularity == 0.0:
            return z
        if edge_index is None:
            degree = self._graph(adj_t).crow_indices().diff()
            degree = degree - int(self.add_self_loops)
        else:
            (_, target), weight = to_coo(edge_index, edge_weight)
            degree = torch.bincount(target, weight, minlength=self.num_nodes)
        degree = degree.to(z)[self.num_users :]
        lowest = degree.where(degree > 0, 1.0).min()  # Stands in for no edge at all.
        scale = self.popularity * getattr(self.loss_fn, "temperature", 1.0)
        bias = z.new_ones(self.num_nodes, 1)  # What a user's row multiplies it by.
        bias[self.num_users :, 0] = scale * degree.clamp(min=lowest).log()
        return torch.cat([z, bias], dim=1)

    @abstractmethod
    def _embed(self, adj_t: OptTensor, x: Tensor) -> Tensor:
        """The rows that the objective scores, of all nodes."""

    def refresh(self, adj_t: Tensor, x: OptTensor = None) -> None:
        """Tells the model its graph, normalised. Call it before each epoch."""
        size = (self.num_nodes, self.num_nodes)
        if adj_t.layout != torch.sparse_csr or tuple(adj_t.size()) != size:
            raise ValueError(
                f"Expected a normalised sparse CSR matrix of size {size} (got "
                f"{adj_t.layout} of size {tuple(adj_t.size())}); pass 'loader.adj_t' "
                "or what 'ltgnn_pyg.normalized_adj' returns"
            )
        self._adj_t = adj_t

    @torch.no_grad()
    def recommend(
        self,
        user: Tensor,
        k: int = 20,
        exclude: Tensor | None = None,
        embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        r"""Returns the best items of some users.

        Args:
            user (torch.Tensor): The users :obj:`[num]`.
            k (int, optional): How many items. (default: :obj:`20`)
            exclude (torch.Tensor, optional): Pairs of users and items never to be
                returned, node ids :obj:`[2, num_pairs]`, *e.g.*, the training
                pairs. (default: :obj:`None`)
            embedding (torch.Tensor, optional): What :meth:`get_embedding`
                returned, to spare computing it in each call. If :obj:`None`,
                computed over the graph last refreshed. (default: :obj:`None`)

        Returns:
            Scores and item indices :obj:`0 .. num_items - 1`, both
            :obj:`[num, k]`, best first; :obj:`-inf` and :obj:`-1` where no item
            is left.

        *Cost:* O(num x num_items x dim) time, chunked.
        """
        if embedding is None:
            embedding = self.get_embedding()
        src, dst = embedding.split([self.num_users, self.num_items])
        if exclude is not None:
            exclude = torch.stack([exclude[0], exclude[1] - self.num_users])
        return top_k(src, dst, k, src_index=user, exclude=exclude)

    def _objective(self, z: Tensor, x: Tensor, batch: Data) -> Tensor:
        """The objective of the seeds' scored rows, and the decay of their own."""
        src, pos, neg = batch.src_index, batch.dst_pos_index, batch.get("dst_neg_index")
        extra = {}
        if "teacher" in batch and getattr(self.loss_fn, "teacher_weight", 0.0) > 0.0:
            extra["teacher"] = batch.teacher
        loss = self.loss_fn(z, src, pos, neg, batch.get("log_q"), **extra)
        if self.weight_decay > 0.0:
            norm = x.square().sum(-1)
            total = norm[src].sum() + norm[pos].sum()
            total = total if neg is None else total + norm[neg].sum()
            loss = loss + self.weight_decay / (2 * src.numel()) * total
        return loss

    def _table(self) -> Embedding:
        if self.embedding is None:
            raise ValueError(
                "Expected 'x' (got None): the model was built with 'embedding=False'"
            )
        return self.embedding

    def _rows(self, x: OptTensor) -> Tensor:
        return self._table().weight if x is None else x

    def _graph(self, adj_t: OptTensor) -> Tensor:
        if adj_t is None:
            raise ValueError(
                "Expected a graph (got none yet); pass 'edge_index', or call "
                "'model.refresh(loader.adj_t)' before"
            )
        return adj_t

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_adj_t": None}  # The graph stays here.
