from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.typing import EdgeType

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.graph.from_pyg import INTERACTS, ITEM, USER, read_data, read_hetero
from ltgnn_pyg.graph.interaction_edges import interaction_edges, with_interactions
from ltgnn_pyg.graph.interaction_rows import interaction_rows
from ltgnn_pyg.graph.normalize import normalized_adj
from ltgnn_pyg.graph.numbering import Numbering
from ltgnn_pyg.graph.operator import Operator
from ltgnn_pyg.graph.to_pyg import to_data, to_hetero

if TYPE_CHECKING:
    from ltgnn_pyg.datasets.interactions import Interactions


@dataclass(eq=False, repr=False)
class Graph:
    r"""Users, items and whatever else there is, in one append-only numbering, and their
    edges, with a type, a weight and a time each.

    Each edge stands for both of its directions. Models multiply with :attr:`operator`,
    :math:`\hat{A} = D^{-1/2} A D^{-1/2}` of the symmetric adjacency :math:`A` over the
    edges of all types. It is made once, when it is first asked for.

    .. code-block:: python

        graph = Graph.from_interactions(split.train)
        z = graph.operator @ x                      # A product.
        graph.number("item", torch.tensor([0, 1]))  # The nodes that two items are.
        z[graph.nodes("user")]                      # The rows of users.
        graph = graph.append({"user": 1, "item": 1})  # All others keep their numbers.

    A graph does not change: its methods return others, which share what is the same.

    Args:
        numbering (Numbering): The numbers of the nodes of each type, :obj:`"user"` and
            :obj:`"item"` among them.
        edges (Edges): The edges, each once.
        edge_types (tuple, optional): The types of edges, triples of source type, name
            and target type. The first one is what is recommended, from users to items.
            (default: :obj:`(("user", "interacts", "item"),)`)
        type_weight (dict, optional): A factor of the weights of the edges of a type, 1
            for others; at 0 they are left out of :attr:`operator`.
            (default: :obj:`{}`)
        names (dict, optional): The names that :obj:`"user"` and :obj:`"item"` have in
            PyG's data, see :meth:`to_hetero`. (default: :obj:`{}`)

    Raises:
        ValueError: If a type is not there, or an edge leads to a node that is not, or
            is not of the type that its own says.

    *Cost:* O(E) to check the edges; the operator takes O(E log E) time once, O(E)
    memory.
    """

    numbering: Numbering
    edges: Edges
    edge_types: tuple[EdgeType, ...] = (INTERACTS,)
    type_weight: Mapping[EdgeType, float] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._operator: Operator | None = None
        self._rows: CSROperator | None = None
        #: The results of :func:`~ltgnn_pyg.graph.item_graph`, by neighbours.
        self.item_graphs: dict[int, tuple[Tensor, Tensor]] = {}
        for kind, weight in self.type_weight.items():
            if kind not in self.edge_types or not 0.0 <= weight < torch.inf:
                raise ValueError(
                    f"Expected finite weights of at least 0 for edge types among "
                    f"{list(self.edge_types)} (got {weight} for {kind})"
                )
        index = self.edges.index
        if len(self.edges) and not 0 <= index.min() <= index.max() < self.num_nodes:
            raise ValueError(
                f"Expected node indices in [0, num_nodes={self.num_nodes}) (got "
                f"indices in [{int(index.min())}, {int(index.max())}]); pass the right "
                "numbers of nodes"
            )
        for code, kind in enumerate(self.edge_types):
            ends = zip((kind[0], kind[2]), self.edges.of_type(code).index, strict=True)
            if not all(bool(self.numbering.is_of(*end).all()) for end in ends):
                raise ValueError(
                    f"Expected edges of type {kind} to lead from {kind[0]}s to "
                    f"{kind[2]}s (got others); see 'Graph.number'"
                )

    @classmethod
    def from_interactions(
        cls,
        interactions: Interactions,
        *,
        target: str | None = None,
        type_weight: Mapping[EdgeType, float] | None = None,
    ) -> Graph:
        """The graph of interactions: users are numbered first, then items. Weights and
        times become those of the edges, behaviours their types,
        :obj:`("user", BEHAVIOR, "item")`.

        Args:
            interactions (Interactions): The interactions.
            target (str, optional): The behaviour that is recommended. If :obj:`None`,
                the first one. (default: :obj:`None`)
            type_weight (dict, optional): See the constructor. (default: :obj:`None`)
        """
        num = {USER: interactions.num_users, ITEM: interactions.num_items}
        numbering = Numbering.of(num)
        edges, edge_types = interaction_edges(interactions, numbering, target)
        return cls(numbering, edges, edge_types, type_weight or {})

    @classmethod
    def from_data(cls, data: Data) -> Graph:
        """The graph of PyG's homogeneous data, whose first :obj:`data.num_users` nodes
        are users and whose others are items.

        Args:
            data (torch_geometric.data.Data): With :obj:`num_users`, and both directions
                of each edge in :obj:`edge_index` (and :obj:`edge_weight`), or else
                :obj:`adj_t`.

        Raises:
            ValueError: If something is missing, or an edge lacks its other direction.
        """
        numbering, edges, edge_types, operator = read_data(data)
        out = cls(numbering, edges, edge_types)
        out._operator = operator
        return out

    @classmethod
    def from_hetero(
        cls,
        data: HeteroData,
        *,
        user: str = USER,
        item: str = ITEM,
        edge_type: EdgeType | None = None,
        edge_types: list[EdgeType] | None = None,
        type_weight: Mapping[EdgeType, float] | None = None,
    ) -> Graph:
        """The graph of PyG's heterogeneous data, such as
        :class:`torch_geometric.datasets.MovieLens` as it comes. Node types are numbered
        one after the other, users and items first.

        :obj:`edge_weight` and :obj:`time` (or :obj:`edge_time`) of an edge type are
        taken along. Reverse edge types, :obj:`"rev_..."`, are left out, as each edge
        stands for both directions.

        Args:
            data (torch_geometric.data.HeteroData): The data.
            user (str, optional): The type of nodes that are users.
                (default: :obj:`"user"`)
            item (str, optional): The type of nodes that are items.
                (default: :obj:`"item"`)
            edge_type (tuple, optional): The type of edges that is recommended. If
                :obj:`None`, the only one from users to items. (default: :obj:`None`)
            edge_types (list, optional): The other types of edges that are taken. If
                :obj:`None`, all. (default: :obj:`None`)
            type_weight (dict, optional): See the constructor, by the names in
                :obj:`data`. (default: :obj:`None`)

        Raises:
            ValueError: If a type is not there, or an index is out of range.
        """
        names = {user: USER, item: ITEM}
        numbering, edges, kinds = read_hetero(data, names, edge_type, edge_types)
        weight = {
            (names.get(source, source), name, names.get(target, target)): value
            for (source, name, target), value in (type_weight or {}).items()
        }
        return cls(numbering, edges, kinds, weight, {USER: user, ITEM: item})

    def to_hetero(self) -> HeteroData:
        """PyG's heterogeneous data of the graph, by the names that it was read with."""
        return to_hetero(self)

    def to_data(self) -> Data:
        """PyG's homogeneous data of the graph, both directions of each edge, with
        :obj:`num_users` and :obj:`num_items`.

        Raises:
            ValueError: If there are other nodes than users, then items.
        """
        return to_data(self)

    @property
    def num_nodes(self) -> int:
        """The number of nodes of all types."""
        return self.numbering.num_nodes

    @property
    def num_users(self) -> int:
        """The number of users."""
        return self.numbering.count(USER)

    @property
    def num_items(self) -> int:
        """The number of items."""
        return self.numbering.count(ITEM)

    @property
    def num_edges(self) -> int:
        """The number of edges, each counted once."""
        return len(self.edges)

    @property
    def device(self) -> torch.device:
        """The device of the edges."""
        return self.edges.index.device

    def nodes(self, node_type: str) -> slice | Tensor:
        """The numbers of all nodes of a type, see :meth:`Numbering.nodes`."""
        return self.numbering.nodes(self._type(node_type), self.device)

    def number(self, node_type: str, index: Tensor) -> Tensor:
        """The numbers of some nodes of a type, see :meth:`Numbering.number`."""
        return self.numbering.number(self._type(node_type), index)

    def index(self, node_type: str, n_id: Tensor) -> Tensor:
        """The indices of some nodes within their type, see :meth:`Numbering.index`."""
        return self.numbering.index(self._type(node_type), n_id)

    def pairs(self, interactions: Interactions) -> Tensor:
        """The nodes of interactions, users first :obj:`[2, num_pairs]`."""
        user = self.number(USER, interactions.user)
        return torch.stack([user, self.number(ITEM, interactions.item)])

    @property
    def target_edges(self) -> Tensor:
        """The edges of the type that is recommended, users first
        :obj:`[2, num_pairs]`.
        """
        return self.edges.of_type(0).index

    def coo(self) -> tuple[Tensor, Tensor | None]:
        """Both directions of each edge, a loop once :obj:`[2, num_edges]`, and the
        weights of them and of their types; edges of weight 0 are left out.
        """
        index, weight = self.edges.index, self._weight(self.edges)
        if weight is not None and 0.0 in self.type_weight.values():
            index, weight = index[:, weight > 0], weight[weight > 0]
        is_loop, back, of_back = index[0] == index[1], index, weight
        if bool(is_loop.any()):  # Rarely; a copy less where there is none.
            back = index[:, ~is_loop]
            of_back = None if weight is None else weight[~is_loop]
        both = torch.cat([index, back.flip(0)], dim=1)
        if weight is None or of_back is None:
            return both, None
        return both, torch.cat([weight, of_back])

    @property
    def operator(self) -> Operator:
        r""":math:`\hat{A}`, made once.

        *Cost:* O(E log E) time the first time.
        """
        if self._operator is None:
            operator = normalized_adj(*self.coo(), self.num_nodes)
            operator.is_symmetric = True
            self._operator = operator
        return self._operator

    @property
    def matrix(self) -> CSROperator:
        """The :attr:`operator` as a matrix that this process holds whole.

        Raises:
            ValueError: If several processes share it.
        """
        operator = self.operator
        if not isinstance(operator, CSROperator):
            raise ValueError(
                f"Expected the whole matrix of a graph (got a "
                f"{type(operator).__name__}, which several processes share); train "
                "this model in one process"
            )
        return operator

    def with_operator(self, operator: Operator) -> Graph:
        """The graph with another matrix in place of its own, such as one that several
        processes share.
        """
        out = copy.copy(self)
        out._operator = operator
        return out

    @property
    def rows(self) -> CSROperator:
        """The interactions as a matrix of ones, users by items, both counted from 0; a
        pair that is there twice is so here.

        *Cost:* O(E log E) time once.
        """
        if self._rows is None:
            self._rows = interaction_rows(self, self._operator)
        return self._rows

    @property
    def item_degree(self) -> Tensor:
        """The popularity of the items, the sums of the weights of the edges that are
        recommended :obj:`[num_items]`.

        *Cost:* O(E) time.
        """
        edges = self.edges.of_type(0)
        weight = self._weight(edges)
        item = self.index(ITEM, edges.index[1])
        return torch.bincount(item, weight, self.num_items).float()

    def without(self, pairs: Tensor) -> Graph:
        r"""The graph whose :attr:`operator` has no entries of some edges, while the
        degrees that it is normalised by, and all else, stay those of all.

        Args:
            pairs (torch.Tensor): The edges, numbers of nodes :obj:`[2, num_pairs]`.

        *Cost:* O(num_pairs x log(degree)) time, and a copy of the values.
        """
        return self.with_operator(self.operator.without(pairs.to(self.device)))

    def before(self, time: float) -> Graph:
        """The graph of the edges before a time, and of those that are always known; its
        nodes stay.

        Raises:
            ValueError: If the edges have no times.
        """
        if self.edges.time is None:
            raise ValueError(
                "Expected edges with times (got none); read 'time' with them"
            )
        return replace(self, edges=self.edges[self.edges.time < time])

    def append(
        self,
        num: Mapping[str, int] | None = None,
        edges: Edges | None = None,
        edge_type: EdgeType | None = None,
    ) -> Graph:
        """The graph with more nodes and edges. All others keep their numbers.

        .. code-block:: python

            grown = graph.append({"user": 1})
            index = torch.tensor([[graph.num_nodes], [7]])  # The user takes node 7.
            grown = grown.append(edges=Edges(index, time=torch.tensor([1.7e9])))

        Args:
            num (dict, optional): The number of new nodes of each type, which may be
                new. (default: :obj:`None`)
            edges (Edges, optional): The new edges. (default: :obj:`None`)
            edge_type (tuple, optional): Their type, which may be new. If :obj:`None`,
                the one that is recommended. (default: :obj:`None`)

        Raises:
            ValueError: If an argument does not fit.

        *Cost:* O(E).
        """
        numbering, joined = self.numbering.append(num or {}), self.edges
        kinds = self.edge_types
        if edges is not None:
            kind = kinds[0] if edge_type is None else edge_type
            kinds = kinds if kind in kinds else (*kinds, kind)
            joined = joined.cat(edges.with_type(kinds.index(kind)))
        return replace(self, numbering=numbering, edges=joined, edge_types=kinds)

    def with_interactions(self, interactions: Interactions) -> Graph:
        """The graph with some interactions in place of its own: those of the type that
        is recommended, and of their behaviours; the other edges stay.

        Args:
            interactions (Interactions): The interactions, of as many users and items.

        Raises:
            ValueError: If they are of others.
        """
        return with_interactions(self, interactions)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Graph:
        """The graph on another device, with what was made of it."""
        if self.device == torch.device(device):
            return self
        out = replace(self, edges=self.edges.to(device))
        for name in ("_operator", "_rows"):
            made = getattr(self, name)
            setattr(out, name, None if made is None else made.to(device))
        out.item_graphs = {
            num: (item.to(device), omega.to(device))
            for num, (item, omega) in self.item_graphs.items()
        }
        return out

    def _type(self, name: str) -> str:
        """The type of nodes of a name, by what PyG's data called it, too."""
        return next((own for own, given in self.names.items() if given == name), name)

    def _weight(self, edges: Edges) -> Tensor | None:
        """The weights of some edges, of their types too; :obj:`None` for ones."""
        if not self.type_weight:
            return edges.weight
        factors = [self.type_weight.get(kind, 1.0) for kind in self.edge_types]
        factor = torch.tensor(factors, device=self.device)[edges.codes]
        return factor if edges.weight is None else factor * edges.weight

    def __repr__(self) -> str:
        types = self.numbering.node_types
        nodes = ", ".join(f"{name}={self.numbering.count(name)}" for name in types)
        return f"{self.__class__.__name__}({nodes}, num_edges={self.num_edges})"
