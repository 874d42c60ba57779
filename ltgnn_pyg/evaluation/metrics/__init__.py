r"""Metrics that PyG lacks, of lists beyond their accuracy, in the form of
:mod:`torch_geometric.metrics`.
"""

from ltgnn_pyg.evaluation.metrics.gini import Gini, gini
from ltgnn_pyg.evaluation.metrics.ild import ILD
from ltgnn_pyg.evaluation.metrics.item_count import ItemCount
from ltgnn_pyg.evaluation.metrics.item_mean import ItemMean
from ltgnn_pyg.evaluation.metrics.list_metric import ListMetric
from ltgnn_pyg.evaluation.metrics.personalization import Personalization
from ltgnn_pyg.evaluation.metrics.serendipity import Serendipity

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
