from typing import Any

from torch import Tensor

from ltgnn_pyg.graph import Graph, graph_dropout, polynomial
from ltgnn_pyg.nn.models.contrastive import Contrastive


class SGL(Contrastive):
    r"""SGL, from `"Self-supervised Graph Learning for Recommendation"
    <https://arxiv.org/abs/2010.10783>`_: two views of the graph, with edges or nodes
    dropped, that are to agree.

    .. math::
        Z = \frac{1}{L + 1} \sum_{l=0}^{L} \hat{A}^l X, \qquad
        L = L_{rec}(Z) + \lambda \, L_{NCE}(Z', Z'')

    where :math:`Z'` and :math:`Z''` are the same of two graphs of
    :func:`~ltgnn_pyg.graph.graph_dropout`. Those are drawn for each round, where its
    paper draws them for each epoch, and a node is told from the others of its
    micro-batch instead of all.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        edge_dropout (float, optional): The probability of an edge to be dropped, "ED"
            in its paper. (default: :obj:`0.1`)
        node_dropout (float, optional): That of a node, "ND". (default: :obj:`0.0`)
        contrast_weight (float, optional): :math:`\lambda`. (default: :obj:`0.1`)
        contrast_temperature (float, optional): The temperature of
            :math:`L_{NCE}`, :func:`~ltgnn_pyg.nn.loss.info_nce`. (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`;
            :obj:`loss_fn` is :math:`L_{rec}`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* :math:`6 L` sparse products a round, where LightGCN takes :math:`2 L`;
    O(num_pairs^2 x dim) a micro-batch.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        edge_dropout: float = 0.1,
        node_dropout: float = 0.0,
        contrast_weight: float = 0.1,
        contrast_temperature: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_users,
            num_items,
            embedding_dim,
            num_layers=num_layers,
            contrast_weight=contrast_weight,
            contrast_temperature=contrast_temperature,
            **kwargs,
        )
        if not (0.0 <= edge_dropout < 1.0 and 0.0 <= node_dropout < 1.0):
            raise ValueError(
                "Expected 'edge_dropout' and 'node_dropout' in [0, 1) (got "
                f"{edge_dropout} and {node_dropout})"
            )
        self.edge_dropout = edge_dropout
        self.node_dropout = node_dropout

    def encode(self, graph: Graph) -> Tensor:
        """Returns the mean of all layers."""
        mean = [1.0 / (self.num_layers + 1)] * (self.num_layers + 1)
        return polynomial(self.inputs.table(), graph.operator, mean)

    def views(self, graph: Graph, n_id: Tensor) -> list[Tensor]:
        """Returns rows of :math:`Z`, :math:`Z'` and :math:`Z''`."""
        drop = self.edge_dropout, self.node_dropout
        dropped = (graph_dropout(graph.matrix, *drop) for _ in range(2))
        graphs = [graph, *map(graph.with_operator, dropped)]
        return [self.encode(each).index_select(0, n_id) for each in graphs]
