from ltgnn_pyg.nn.models.light_gcn import LightGCN
from ltgnn_pyg.nn.models.ltgnn import LTGNN
from ltgnn_pyg.nn.models.matrix_factorization import MatrixFactorization
from ltgnn_pyg.nn.models.recommender import Recommender

__all__ = ["LTGNN", "LightGCN", "MatrixFactorization", "Recommender"]
