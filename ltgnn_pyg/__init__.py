"""Linear-time graph recommenders for PyTorch Geometric."""

from ltgnn_pyg.graph import Graph, normalized_adj
from ltgnn_pyg.inputs import History
from ltgnn_pyg.loader import PairLoader, VRNeighborLoader
from ltgnn_pyg.nn.conv import LTConv
from ltgnn_pyg.nn.models import LTGNN
from ltgnn_pyg.sampler import ItemNegativeSampling, StratifiedNeighborSampler
from ltgnn_pyg.scorers import Query, Vectors
from ltgnn_pyg.train import fit
from ltgnn_pyg.version import __version__

__all__ = [
    "Graph",
    "History",
    "ItemNegativeSampling",
    "LTConv",
    "LTGNN",
    "PairLoader",
    "Query",
    "StratifiedNeighborSampler",
    "VRNeighborLoader",
    "Vectors",
    "fit",
    "normalized_adj",
    "__version__",
]
