from ltgnn_pyg.nn.models.dgcf import DGCF
from ltgnn_pyg.nn.models.egcf import EGCF
from ltgnn_pyg.nn.models.light_gcn import LightGCN
from ltgnn_pyg.nn.models.light_gcn_plus_plus import LightGCNPlusPlus
from ltgnn_pyg.nn.models.light_gode import LightGODE
from ltgnn_pyg.nn.models.ltgnn import LTGNN
from ltgnn_pyg.nn.models.matrix_factorization import MatrixFactorization
from ltgnn_pyg.nn.models.ngcf import NGCF
from ltgnn_pyg.nn.models.pin_sage import PinSage
from ltgnn_pyg.nn.models.recommender import Recommender
from ltgnn_pyg.nn.models.sgl import SGL
from ltgnn_pyg.nn.models.simgcl import SimGCL
from ltgnn_pyg.nn.models.ultra_gcn import UltraGCN
from ltgnn_pyg.nn.models.xsimgcl import XSimGCL

__all__ = [
    "DGCF",
    "EGCF",
    "LTGNN",
    "NGCF",
    "SGL",
    "LightGCN",
    "LightGCNPlusPlus",
    "LightGODE",
    "MatrixFactorization",
    "PinSage",
    "Recommender",
    "SimGCL",
    "UltraGCN",
    "XSimGCL",
]
