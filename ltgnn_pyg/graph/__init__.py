r"""The graph: nodes of several types in one numbering, their edges, and the matrix that
everything multiplies with.
"""

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.edge_dropout import drop_edges
from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.graph.gram import Gram
from ltgnn_pyg.graph.graph import Graph
from ltgnn_pyg.graph.graph_dropout import graph_dropout
from ltgnn_pyg.graph.item_graph import item_graph
from ltgnn_pyg.graph.normalize import normalized_adj
from ltgnn_pyg.graph.numbering import Numbering
from ltgnn_pyg.graph.operator import Operator
from ltgnn_pyg.graph.polynomial import polynomial
from ltgnn_pyg.graph.product import aggregate, propagate

__all__ = [
    "CSROperator",
    "Edges",
    "Gram",
    "Graph",
    "Numbering",
    "Operator",
    "aggregate",
    "drop_edges",
    "graph_dropout",
    "item_graph",
    "normalized_adj",
    "polynomial",
    "propagate",
]
