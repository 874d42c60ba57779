r"""Metrics that PyG lacks, of lists beyond their accuracy, in the form of
:mod:`torch_geometric.metrics`.
"""

from ltgnn_pyg.metrics.gini import Gini, gini
from ltgnn_pyg.metrics.ild import ILD
from ltgnn_pyg.metrics.item_count import ItemCount
from ltgnn_pyg.metrics.item_mean import ItemMean
from ltgnn_pyg.metrics.list_metric import ListMetric
from ltgnn_pyg.metrics.personalization import Personalization
from ltgnn_pyg.metrics.serendipity import Serendipity

__all__ = [
    "Gini",
    "ILD",
    "ItemCount",
    "ItemMean",
    "ListMetric",
    "Personalization",
    "Serendipity",
    "gini",
]
