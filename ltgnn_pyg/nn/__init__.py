from ltgnn_pyg.nn.conv import LTConv, SolveReport
from ltgnn_pyg.nn.loss import BPRLoss, SoftmaxLoss
from ltgnn_pyg.nn.models import LTGNN, LightGCN, MatrixFactorization, Recommender

__all__ = [
    "BPRLoss",
    "LTConv",
    "LTGNN",
    "LightGCN",
    "MatrixFactorization",
    "Recommender",
    "SoftmaxLoss",
    "SolveReport",
]
