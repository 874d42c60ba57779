import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module
from typing_extensions import Self

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import Graph, polynomial
from ltgnn_pyg.inputs import Embeddings, History, Inputs
from ltgnn_pyg.nn.loss import Objective, SoftmaxLoss
from ltgnn_pyg.nn.models.pretrained import constructor_settings, load, save
from ltgnn_pyg.nn.settings_repr import settings_repr
from ltgnn_pyg.scorers import FoldIn, Vectors

INIT_STD = 0.005  #: The standard deviation of a table, if nothing else is said.


class Recommender(Module):
    r"""The contract all models keep, and what they share: the inputs :math:`X`, the
    objective and its :math:`L_2` term.

    A model is its :meth:`encode`, from a graph to the embeddings of all nodes, or, if
    that is a polynomial of the graph, its :attr:`coefficients`. It trains on the rounds
    of a :class:`~ltgnn_pyg.PairLoader` in PyTorch's own loop, before which the
    objective learns what it is to know of the graph; in it nothing else must be called:

    .. code-block:: python

        class ThreeLayers(Recommender):
            def __init__(self, num_users, num_items, embedding_dim=64):
                super().__init__(num_users, num_items, embedding_dim)
                dim = embedding_dim
                self.layers = torch.nn.ModuleList(Linear(dim, dim) for _ in range(3))

            def encode(self, graph):
                z = self.inputs.table()
                for layer in self.layers:
                    z = z + layer(graph.operator @ z).tanh()
                return z

        graph = Graph.from_interactions(split.train)
        model.loss_fn.prepare(graph)
        for batch in PairLoader(graph):
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
        scorer = model.scorer(graph)

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        inputs (Inputs, optional): The inputs :math:`X` of all nodes of the graph, such
            as of one with more types than users and items. If :obj:`None`, a table of
            users and items, :class:`~ltgnn_pyg.inputs.Embeddings`.
            (default: :obj:`None`)
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
        inputs: Inputs | None = None,
        loss_fn: Objective | None = None,
        weight_decay: float = 0.0,
        init_std: float = INIT_STD,
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
        self.makes_inputs = inputs is None
        inputs = self.make_inputs() if inputs is None else inputs
        if inputs.embedding_dim != embedding_dim:
            raise ValueError(
                f"Expected 'inputs' of {embedding_dim} columns (got "
                f"{inputs.embedding_dim}); pass their number as 'embedding_dim'"
            )
        self.inputs = inputs

    @classmethod
    def of(cls, graph: Graph, embedding_dim: int = 64, **kwargs: Any) -> Self:
        """A model of the nodes of a graph, of all of its types.

        Args:
            graph (Graph): The graph.
            embedding_dim (int, optional): The size of an embedding.
                (default: :obj:`64`)
            **kwargs (optional): Further arguments of the constructor.
        """
        num_users, num_items = graph.num_users, graph.num_items
        if graph.num_nodes > num_users + num_items and "inputs" not in kwargs:
            std = kwargs.get("init_std", INIT_STD)
            kwargs["inputs"] = Embeddings(graph.num_nodes, embedding_dim, std=std)
        return cls(num_users, num_items, embedding_dim, **kwargs)

    def make_inputs(self) -> Inputs:
        """Makes the inputs, where none are given: a row of a table for each user and
        item.
        """
        num_nodes = self.num_users + self.num_items
        return Embeddings(num_nodes, self.embedding_dim, std=self.init_std)

    @property
    def num_nodes(self) -> int:
        """The number of nodes that have inputs."""
        return self.inputs.num_nodes

    @property
    def out_dim(self) -> int:
        """The number of columns of :math:`Z`, those of the inputs unless a model says
        otherwise.
        """
        return self.embedding_dim

    @torch.no_grad()
    def init_table(self, init: Callable[[Tensor, Graph], Any], graph: Graph) -> None:
        """Fills the inputs with a table of all nodes that a function makes.

        Args:
            init (callable): Fills a table :obj:`[num_nodes, dim]`, given also the
                graph, such as :func:`~ltgnn_pyg.nn.init.spectral_`.
            graph (Graph): The graph.
        """
        table = self.inputs.table().detach()
        init(table, graph)
        self.inputs.fill(table)

    def append(self, graph: Graph) -> None:
        """Adds inputs for the nodes that were appended to a graph; all others stay as
        they are. The optimizer goes on with the parameters it has.

        Args:
            graph (Graph): The graph with more nodes.

        Raises:
            ValueError: If it has fewer nodes.
        """
        num = graph.num_nodes - self.num_nodes
        if num < 0:
            raise ValueError(
                f"Expected a graph of {self.num_nodes} nodes at least (got "
                f"{graph.num_nodes}); pass what 'Graph.append' returned"
            )
        self.inputs.append(num)
        self.num_users, self.num_items = graph.num_users, graph.num_items

    def reset_parameters(self) -> None:
        """Draws the inputs anew, and resets every layer that can be."""
        layers: Iterator[Any] = self.modules()
        for layer in layers:
            if layer is not self and hasattr(layer, "reset_parameters"):
                layer.reset_parameters()

    @property
    def coefficients(self) -> Sequence[float] | None:
        r"""The polynomial :math:`c_0, \ldots, c_K` that a model is, if it is one:

        .. math::
            Z = \sum_{k=0}^{K} c_k \hat{A}^k X

        Such models need no :meth:`encode` of their own, and can take the inner steps
        of a round. :obj:`None` for others.
        """
        return None

    def encode(self, graph: Graph) -> Tensor:
        r"""Returns the embeddings :math:`Z` of all nodes.

        Args:
            graph (Graph): The graph, whose :obj:`operator` is :math:`\hat{A}`.

        Returns:
            :obj:`[num_nodes, out_dim]`.
        """
        if self.coefficients is None:
            raise NotImplementedError(
                f"Expected {type(self).__name__} to define 'encode' or 'coefficients'"
            )
        return polynomial(self.inputs.table(), graph.operator, self.coefficients)

    def loss(self, batch: PairBatch) -> Tensor:
        """Returns the training loss of a batch, a scalar.

        Args:
            batch (PairBatch): A batch of a :class:`~ltgnn_pyg.PairLoader`. No state is
                left on the model.

        Raises:
            ValueError: If the batch has no graph.

        *Cost:* That of :meth:`encode` and, for its pairs, of the objective.
        """
        # Looked up once, as a sparse gradient costs more than the rows.
        x = self.inputs.rows(batch.seeds) if self.weight_decay > 0.0 else None
        return self._decayed(self.objective(batch.rows(self, x), batch), batch, x)

    def _decayed(
        self, loss: Tensor, batch: PairBatch, x: Tensor | None = None
    ) -> Tensor:
        """A loss with the :math:`L_2` term of the batch, if there is one; its seeds'
        rows of :math:`X` may be at hand.
        """
        if self.weight_decay == 0.0:
            return loss
        x = self.inputs.rows(batch.seeds) if x is None else x
        return loss + self.decay(x, batch)

    def rows(self, graph: Graph, n_id: Tensor) -> Tensor:
        r"""Returns the rows that a round trains, of :meth:`encode`.

        A model that compares views of the graph returns the rows of all of them side by
        side, and takes them apart in :meth:`compare`.

        Args:
            graph (Graph): The graph of the round.
            n_id (torch.Tensor): The numbers of the nodes :obj:`[num_seeds]`.
        """
        return self.encode(graph).index_select(0, n_id)

    def history_rows(
        self, x: Tensor, n_id: Tensor, aggregate: Tensor, history: History
    ) -> Tensor:
        """Returns rows that are a step from a history, of their rows of :math:`X`.

        Raises:
            ValueError: If the model has no history.
        """
        raise ValueError(
            f"Expected a model with a history (got {type(self).__name__}); train it by "
            "rounds, with a 'PairLoader'"
        )

    def compare(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the objective of a micro-batch, a scalar.

        Args:
            z (torch.Tensor): The rows of its seeds, as :meth:`rows` makes them.
            batch (PairBatch): The micro-batch.
        """
        return self.loss_fn(z, batch)

    def forward(self, batch: PairBatch) -> Tensor:
        """Returns :meth:`loss`, for wrappers that call a module, such as
        :class:`torch.nn.parallel.DistributedDataParallel`.
        """
        return self.loss(batch)

    def objective(self, z: Tensor, batch: PairBatch) -> Tensor:
        r"""The mean of the objective over the pairs of a batch.

        Args:
            z (torch.Tensor): The rows of the batch's seeds :obj:`[num_seeds, dim]`.
            batch (PairBatch): The batch.

        *Cost:* That of the objective, O(num_seeds x dim) memory beside.
        """
        self.check_weights(batch)
        params = [p for p in self.loss_fn.parameters() if p.requires_grad]
        return batch.mean(z, self.compare, params)

    def check_weights(self, batch: PairBatch) -> None:
        """Refuses weights of pairs that the objective knows nothing of.

        Raises:
            ValueError: If a batch has such.
        """
        if batch.get("weight") is not None and not self.loss_fn.takes_weights:
            raise ValueError(
                f"Expected pairs without weights for '{type(self.loss_fn).__name__}' "
                "(got some); take 'SoftmaxLoss' or another that takes them, or leave "
                "the weights of the interactions out"
            )

    def decay(self, x: Tensor, batch: PairBatch) -> Tensor:
        """The :math:`L_2` term of a batch, from its seeds' rows of :math:`X`."""
        norm = x.square().sum(-1)
        total = norm[batch.src_index].sum() + norm[batch.dst_pos_index].sum()
        if batch.negatives is not None:
            total = total + norm[batch.negatives].sum()
        return self.weight_decay / (2 * batch.num_pairs) * total

    @torch.no_grad()
    def scorer(self, graph: Graph) -> FoldIn:
        r"""Returns the scorer, in training too: :meth:`to_vectors` of :math:`Z` over a
        graph, which also score users by the items that they have taken since.

        Args:
            graph (Graph): The graph; items are as popular as it says.

        *Cost:* That of :meth:`encode`.
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()  # Nothing is dropped from what is scored.
        try:
            z = self.encode(graph)
        finally:
            for module, training in modes:
                module.training = training
        degree = graph.item_degree
        vectors = self.to_vectors(z, graph, degree)
        return FoldIn(vectors, degree, self.teleport, graph.rows)

    @property
    def teleport(self) -> float:
        r"""The weight :math:`\alpha` of a node's own inputs in a step of the
        propagation, by which new interactions are folded in.
        """
        return 0.0

    @torch.no_grad()
    def to_vectors(
        self, z: Tensor, graph: Graph, item_degree: Tensor | None = None
    ) -> Vectors:
        r"""Makes of embeddings the vectors that score: rows of length 1 if the
        objective scores by cosine, and the bias of items that it leaves out.

        Args:
            z (torch.Tensor): The embeddings, of :meth:`encode` :obj:`[num_nodes, dim]`.
            graph (Graph): The graph, which tells users and items.
            item_degree (torch.Tensor, optional): The popularity of the items. If
                :obj:`None`, :obj:`graph.item_degree`. (default: :obj:`None`)

        *Cost:* O(N x dim).
        """
        z = F.normalize(z, dim=-1) if self.loss_fn.cosine else z
        degree = graph.item_degree if item_degree is None else item_degree
        # In float32 at least, or the degrees of popular items overflow.
        wide = torch.promote_types(z.dtype, torch.float32)
        bias = self.loss_fn.item_bias(degree.to(z.device, wide))
        bias = None if bias is None else bias.to(z.dtype)
        return Vectors(z[graph.nodes("user")], z[graph.nodes("item")], bias)

    def settings(self) -> dict[str, Any]:
        """The settings that the model was built with, as JSON has them: :obj:`name`,
        that of its class, and :obj:`settings`, the arguments of its constructor, the
        objective's likewise.

        .. code-block:: python

            LTGNN(5, 4).settings()
            >>> {'name': 'LTGNN', 'settings': {'num_users': 5, ..., 'loss_fn':
                 {'name': 'SoftmaxLoss', 'settings': {'temperature': None, ...}}}}

        A model of your own keeps each argument as the attribute of its name.

        Raises:
            ValueError: If it does not.
        """
        about = constructor_settings(self)
        if self.makes_inputs:  # It would make them again.
            about["settings"].pop("inputs", None)
        return about

    def extra_repr(self) -> str:
        """The settings."""
        return settings_repr(self)

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
        :meth:`~ltgnn_pyg.runs.RunFolder.write` wrote.

        .. code-block:: python

            model.save_pretrained("folder")
            model = LTGNN.from_pretrained("folder")

        Args:
            path (str): The folder. Nothing is downloaded.
            **kwargs (optional): Arguments of the constructor that go before those
                saved. Those that JSON cannot hold must be given again, such as an
                objective of your own, :obj:`loss_fn`, or a table of features.

        Raises:
            ValueError: If there is no such folder, it is of another class, or an
                argument must be given again.

        *Cost:* One read of the table.
        """
        model: Self = load(cls, path, kwargs)
        return model
