from ltgnn_pyg.nn.conv import LTConv, SolveReport
from ltgnn_pyg.nn.loss import (
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    HardNegatives,
    MarginLoss,
    SoftmaxLoss,
)
from ltgnn_pyg.nn.models import LTGNN, LightGCN, MatrixFactorization, Recommender

__all__ = [
    "BCELoss",
    "BPRLoss",
    "BilateralSoftmaxLoss",
    "CosineContrastiveLoss",
    "DirectAULoss",
    "HardNegatives",
    "LTConv",
    "LTGNN",
    "LightGCN",
    "MarginLoss",
    "MatrixFactorization",
    "Recommender",
    "SoftmaxLoss",
    "SolveReport",
]
