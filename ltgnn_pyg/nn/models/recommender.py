import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Embedding, Module
from torch_geometric.data import Data
from torch_geometric.typing import Adj, OptTensor
from typing_extensions import Self

from ltgnn_pyg.batch.inner_steps import micro_batches, sizes
from ltgnn_pyg.graph.adjacency import degree, normalized_adj
from ltgnn_pyg.graph.polynomial import polynomial
from ltgnn_pyg.nn.loss import Objective, SoftmaxLoss
from ltgnn_pyg.nn.models.pretrained import load, save, settings_of
from ltgnn_pyg.scorers import Vectors


class Recommender(Module):
    r"""The contract all models keep, and what they share: the table of embeddings
    :math:`X`, the objective and its :math:`L_2` term.

    A model is its :meth:`encode`, from a normalised graph to the embeddings of all
    nodes, or, if that is a polynomial of the graph, its :attr:`coefficients`. It trains
    on the rounds of a :class:`~ltgnn_pyg.PairLoader` in PyTorch's own loop, before
    which the objective learns what it is to know of the graph; in it nothing else must
    be called:

    .. code-block:: python

        class ThreeLayers(Recommender):
            def __init__(self, num_users, num_items, embedding_dim=64):
                super().__init__(num_users, num_items, embedding_dim)
                dim = embedding_dim
                self.layers = torch.nn.ModuleList(Linear(dim, dim) for _ in range(3))

            def encode(self, adj_t):
                z = self.embedding.weight
                for layer in self.layers:
                    z = z + layer(propagate(adj_t, z)).tanh()
                return z

        loader = PairLoader(data)
        model.loss_fn.prepare(loader.adj_t, data.num_users)
        for batch in loader:
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
        vectors = model.vectors(data.edge_index)

    Args:
        num_users (int): The number of users, nodes :obj:`0 .. num_users - 1`.
        num_items (int): The number of items, the nodes after them.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        loss_fn (Objective, optional): The objective, see :mod:`ltgnn_pyg.nn.loss`. If
            :obj:`None`, :class:`~ltgnn_pyg.nn.SoftmaxLoss`. (default: :obj:`None`)
        weight_decay (float, optional): :math:`\lambda` of
            :math:`\frac{\lambda}{2B} \sum_b (\| \mathbf{x}_{u_b} \|^2 + \|
            \mathbf{x}_{i_b} \|^2 + \sum_m \| \mathbf{x}_{j_{bm}} \|^2)`, the
            convention of LightGCN's reference code. (default: :obj:`0.0`)
        init_std (float, optional): Standard deviation of the initial table.
            (default: :obj:`0.005`)

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
        loss_fn: Objective | None = None,
        weight_decay: float = 0.0,
        init_std: float = 0.005,
    ) -> None:
        super().__init__()
        if num_users < 1 or num_items < 1 or embedding_dim < 1:
            raise ValueError(
                f"Expected positive 'num_users', 'num_items' and 'embedding_dim' (got "
                f"{num_users}, {num_items} and {embedding_dim})"
            )
        if not (weight_decay >= 0.0 and init_std >= 0.0):
            raise ValueError(
                f"Expected 'weight_decay' and 'init_std' to be at least 0 (got "
                f"{weight_decay} and {init_std})"
            )
        self.num_users = num_users
        self.num_items = num_items
        self.embedding_dim = embedding_dim
        self.weight_decay = weight_decay
        self.init_std = init_std
        self.loss_fn = SoftmaxLoss() if loss_fn is None else loss_fn
        nodes = self.table_nodes
        self.embedding = Embedding(nodes.stop - nodes.start, embedding_dim)
        torch.nn.init.normal_(self.embedding.weight, std=init_std)

    @property
    def num_nodes(self) -> int:
        """The number of users and items."""
        return self.num_users + self.num_items

    @property
    def table_nodes(self) -> slice:
        """The nodes that have a row in the table, in order: all, unless a model makes
        the others from them.
        """
        return slice(0, self.num_nodes)

    @property
    def out_dim(self) -> int:
        """The number of columns of :math:`Z`, those of the table unless a model says
        otherwise.
        """
        return self.embedding_dim

    @torch.no_grad()
    def init_table(
        self, init: Callable[[Tensor, Tensor, int], Any], adj_t: Tensor
    ) -> None:
        """Fills the table with what a function makes for all nodes.

        Args:
            init (callable): Fills a table :obj:`[num_nodes, dim]`, given also the
                matrix and the number of users, such as
                :func:`~ltgnn_pyg.nn.init.spectral_`.
            adj_t (torch.Tensor): The normalised adjacency.
        """
        weight = self.embedding.weight
        if weight.size(0) == self.num_nodes:
            init(weight, adj_t, self.num_users)
        else:
            table = weight.new_empty(self.num_nodes, weight.size(1))
            init(table, adj_t, self.num_users)
            weight.copy_(table[self.table_nodes])

    def reset_parameters(self) -> None:
        """Draws the table anew, and resets every layer that can be."""
        layers: Iterator[Any] = self.modules()
        for layer in layers:
            if layer is not self and hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        torch.nn.init.normal_(self.embedding.weight, std=self.init_std)

    @property
    def coefficients(self) -> Sequence[float] | None:
        r"""The polynomial :math:`c_0, \ldots, c_K` that a model is, if it is one:

        .. math::
            Z = \sum_{k=0}^{K} c_k \hat{A}^k X

        Such models need no :meth:`encode` of their own, and can take the inner steps
        of a round. :obj:`None` for others.
        """
        return None

    def encode(self, adj_t: Tensor) -> Tensor:
        r"""Returns the embeddings :math:`Z` of all nodes.

        Args:
            adj_t (torch.Tensor): :math:`\hat{A}`, the normalised adjacency as sparse
                CSR: see :func:`~ltgnn_pyg.normalized_adj` and
                :func:`~ltgnn_pyg.graph.adjacency.propagate`.

        Returns:
            :obj:`[num_nodes, out_dim]`.
        """
        if self.coefficients is None:
            raise NotImplementedError(
                f"Expected {type(self).__name__} to define 'encode' or 'coefficients'"
            )
        return polynomial(self.embedding.weight, adj_t, self.coefficients)

    def loss(self, batch: Data) -> Tensor:
        """Returns the training loss of a batch, a scalar.

        Args:
            batch (torch_geometric.data.Data): A batch of a
                :class:`~ltgnn_pyg.PairLoader`. No state is left on the model.

        Raises:
            ValueError: If the batch has no graph.

        *Cost:* That of :meth:`encode` and, for its pairs, of the objective.
        """
        return self._decayed(self.objective(self._rows(batch), batch), batch)

    def _decayed(self, loss: Tensor, batch: Data) -> Tensor:
        """A loss with the :math:`L_2` term of the batch, if there is one."""
        if self.weight_decay == 0.0:
            return loss
        return loss + self.decay(self._ego(batch.n_id[: batch.num_seeds]), batch)

    def _ego(self, index: Tensor) -> Tensor:
        """The rows of :math:`X` of some nodes, zeros for those without one."""
        return F.embedding(index, self.embedding.weight, sparse=True)

    def _rows(self, batch: Data) -> Tensor:
        """The rows of a batch's seeds."""
        c, weight = self.coefficients, self.embedding.weight
        index = batch.n_id[: batch.num_seeds]
        if c is not None and len(c) == 1:  # No other row has a say.
            return c[0] * F.embedding(index, weight, sparse=True)
        if "round" in batch:
            if c is None:
                raise ValueError(
                    f"Expected a model that is a polynomial of the graph for inner "
                    f"steps (got a {type(self).__name__}, which does not say its "
                    "'coefficients'); load rounds with 'inner_steps=False'"
                )
            return batch.round.step(weight, index, c, batch.is_last)
        return self.rows(graph_of(batch), index)

    def rows(self, adj_t: Tensor, index: Tensor) -> Tensor:
        r"""Returns what a round trains: rows of :meth:`encode`.

        A model that compares views of the graph returns the rows of all of them side by
        side, and takes them apart in :meth:`compare`.

        Args:
            adj_t (torch.Tensor): The graph of the round.
            index (torch.Tensor): Which rows :obj:`[num_seeds]`.
        """
        return self.encode(adj_t).index_select(0, index)

    def compare(self, z: Tensor, batch: Data) -> Tensor:
        """Returns the objective of a micro-batch, a scalar.

        Args:
            z (torch.Tensor): The rows of its seeds, as :meth:`rows` makes them.
            batch (torch_geometric.data.Data): The micro-batch.
        """
        return self.loss_fn(z, batch)

    def forward(self, batch: Data) -> Tensor:
        """Returns :meth:`loss`, for wrappers that call a module, such as
        :class:`torch.nn.parallel.DistributedDataParallel`.
        """
        return self.loss(batch)

    def objective(self, z: Tensor, batch: Data) -> Tensor:
        r"""The mean of the objective over the pairs of a batch.

        Micro-batches are differentiated one after the other, so that the scores of one
        are held at a time; what flows back to the rows is written once.

        Args:
            z (torch.Tensor): The rows of the batch's seeds :obj:`[num_seeds, dim]`.
            batch (torch_geometric.data.Data): The batch.

        *Cost:* That of the objective, O(num_seeds x dim) memory beside.
        """
        if "pair_ptr" not in batch:  # It is one micro-batch.
            return self.compare(z, batch)
        if torch.is_grad_enabled():
            params = [p for p in self.loss_fn.parameters() if p.requires_grad]
            return _MicroBatches.apply(z, batch, self.compare, *params)
        loss = z.new_zeros(())
        parts = z.split(sizes(batch.seed_ptr))
        for rows, part in zip(parts, micro_batches(batch), strict=True):
            loss += share(part, batch) * self.compare(rows, part)
        return loss

    def decay(self, x: Tensor, batch: Data) -> Tensor:
        """The :math:`L_2` term of a batch, from its seeds' rows of :math:`X`."""
        norm, src = x.square().sum(-1), batch.src_index
        total = norm[src].sum() + norm[batch.dst_pos_index].sum()
        if "dst_neg_index" in batch:
            total = total + norm[batch.dst_neg_index].sum()
        return self.weight_decay / (2 * src.numel()) * total

    def get_embedding(self, edge_index: Adj, edge_weight: OptTensor = None) -> Tensor:
        r"""Returns :math:`Z` over a graph, which is normalised first.

        Args:
            edge_index (torch.Tensor or SparseTensor): The graph, both directions
                :obj:`[2, num_edges]` or a sparse matrix.
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`, such
                as those of :func:`~ltgnn_pyg.datasets.recency_weight`.
                (default: :obj:`None`)

        Returns:
            :obj:`[num_users + num_items, out_dim]`.

        Raises:
            ValueError: If the graph is none that :func:`~ltgnn_pyg.normalized_adj`
                takes.

        *Cost:* That of :meth:`encode`, and O(E log E) to normalise the graph.
        """
        return self.encode(normalized_adj(edge_index, edge_weight, self.num_nodes))

    @torch.no_grad()
    def vectors(self, edge_index: Adj, edge_weight: OptTensor = None) -> Vectors:
        r"""Returns what is scored, in training too: see :meth:`to_vectors`.

        Args:
            edge_index (torch.Tensor or SparseTensor): The graph, see
                :meth:`get_embedding`; items are as popular as it says.
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`.
                (default: :obj:`None`)

        *Cost:* That of :meth:`get_embedding`.
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()  # Nothing is dropped from what is scored.
        try:
            z = self.get_embedding(edge_index, edge_weight)
        finally:
            for module, training in modes:
                module.training = training
        return self.to_vectors(z, degree(edge_index, edge_weight, self.num_nodes))

    @torch.no_grad()
    def to_vectors(self, z: Tensor, degree: Tensor) -> Vectors:
        r"""Makes of embeddings what the objective scores: rows of length 1 if by
        cosine, and the bias of items that it leaves out.

        Args:
            z (torch.Tensor): What :meth:`encode` returned
                :obj:`[num_users + num_items, dim]`.
            degree (torch.Tensor): The degree of each node
                :obj:`[num_users + num_items]`, see
                :func:`~ltgnn_pyg.graph.adjacency.degree`.

        *Cost:* O(N x dim).
        """
        z = F.normalize(z, dim=-1) if self.loss_fn.cosine else z
        bias = self.loss_fn.item_bias(degree[self.num_users :].to(z))
        return Vectors(z[: self.num_users], z[self.num_users :], bias)

    def settings(self) -> dict[str, Any]:
        """What the model was built with, as JSON has it: :obj:`name`, that of its
        class, and :obj:`settings`, the arguments of its constructor, the objective's
        likewise.

        .. code-block:: python

            LTGNN(5, 4).settings()
            >>> {'name': 'LTGNN', 'settings': {'num_users': 5, ..., 'loss_fn':
                 {'name': 'SoftmaxLoss', 'settings': {'temperature': None, ...}}}}

        A model of your own keeps each argument as the attribute of its name.

        Raises:
            ValueError: If it does not.
        """
        return settings_of(self)

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to a folder: :meth:`settings` to :obj:`config.json`,
        parameters and buffers to :obj:`model.safetensors`. No history goes along.

        Args:
            path (str): The folder, made if need be.

        *Cost:* One write of the table.
        """
        save(self, path, {"library_name": "ltgnn_pyg", "model": self.settings()})

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Builds the model that :meth:`save_pretrained`,
        :func:`~ltgnn_pyg.export.to_huggingface` or
        :meth:`~ltgnn_pyg.runs.run_folder.RunFolder.write` wrote.

        .. code-block:: python

            model.save_pretrained("folder")
            model = LTGNN.from_pretrained("folder")

        Args:
            path (str): The folder. Nothing is downloaded.
            **kwargs (optional): Arguments of the constructor that go before those
                saved. What JSON cannot hold must be given again, such as an objective
                of your own, :obj:`loss_fn`, or a table of features.

        Raises:
            ValueError: If there is no such folder, it is of another class, or an
                argument must be given again.

        *Cost:* One read of the table.
        """
        model: Self = load(cls, path, kwargs)
        return model


class _MicroBatches(torch.autograd.Function):
    """The objective of a round, whose gradients are made along with the loss."""

    @staticmethod
    @torch.compiler.disable
    def forward(
        ctx: Any,
        z: Tensor,
        batch: Data,
        loss_fn: Callable[[Tensor, Data], Tensor],
        *params: Tensor,
    ) -> Tensor:
        loss, grad_z = z.new_zeros(()), torch.empty_like(z)
        grads = [torch.zeros_like(p) for p in params]
        split = sizes(batch.seed_ptr)
        rows_and_outs = zip(z.split(split), grad_z.split(split), strict=True)
        for part, (rows, out) in zip(micro_batches(batch), rows_and_outs, strict=True):
            with torch.enable_grad():
                rows = rows.detach().requires_grad_()
                value = share(part, batch) * loss_fn(rows, part)
            found = torch.autograd.grad(value, (rows, *params), allow_unused=True)
            out.copy_(found[0])
            for grad, new in zip(grads, found[1:], strict=True):
                if new is not None:
                    grad += new
            loss = loss + value.detach()
        ctx.save_for_backward(grad_z, *grads)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_z, *grads = ctx.saved_tensors
        return grad_z * grad, None, None, *(g * grad for g in grads)


def graph_of(batch: Data) -> Tensor:
    """The graph of the round that a batch is, or is of.

    Raises:
        ValueError: If the batch has none.
    """
    if "adj_t" in batch:
        adj_t: Tensor = batch.adj_t
    elif "round" in batch:
        adj_t = batch.round.adj_t
    else:
        raise ValueError(
            "Expected a batch with the graph of its round, 'batch.adj_t' (got none); "
            "train on the batches of a 'PairLoader'"
        )
    return adj_t


def share(part: Data, batch: Data) -> float:
    """The share of a batch's pairs that a micro-batch holds."""
    return part.src_index.numel() / batch.src_index.numel()
