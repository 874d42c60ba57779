from ltgnn_pyg.nn.models.light_gcn import LightGCN
from ltgnn_pyg.nn.models.ltgnn import LTGNN
from ltgnn_pyg.nn.models.matrix_factorization import MatrixFactorization
from ltgnn_pyg.nn.models.pin_sage import PinSage
from ltgnn_pyg.nn.models.recommender import Recommender
from ltgnn_pyg.nn.models.sgl import SGL
from ltgnn_pyg.nn.models.simgcl import SimGCL
from ltgnn_pyg.nn.models.xsimgcl import XSimGCL

__all__ = [
    "LTGNN",
    "SGL",
    "LightGCN",
    "MatrixFactorization",
    "PinSage",
    "Recommender",
    "SimGCL",
    "XSimGCL",
]
