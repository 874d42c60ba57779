"""Linear-time graph recommenders for PyTorch Geometric."""

from ltgnn_pyg.graph.adjacency import normalized_adj
from ltgnn_pyg.inputs.history import History
from ltgnn_pyg.loader import PairLoader, VRNeighborLoader
from ltgnn_pyg.nn.conv import LTConv
from ltgnn_pyg.nn.models import LTGNN
from ltgnn_pyg.sampler import ItemNegativeSampling, StratifiedNeighborSampler
from ltgnn_pyg.scorers import Vectors
from ltgnn_pyg.train.fit import fit
from ltgnn_pyg.version import __version__

__all__ = [
    "History",
    "ItemNegativeSampling",
    "LTConv",
    "LTGNN",
    "PairLoader",
    "StratifiedNeighborSampler",
    "VRNeighborLoader",
    "Vectors",
    "fit",
    "normalized_adj",
    "__version__",
]
