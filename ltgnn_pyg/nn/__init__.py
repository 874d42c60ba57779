from ltgnn_pyg.nn.conv import (
    LTConv,
    SolveReport,
    exact_steps,
    history_step,
    solve,
)
from ltgnn_pyg.nn.loss import (
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    DistillationLoss,
    HardNegatives,
    MarginLoss,
    Objective,
    RankingLoss,
    SoftmaxLoss,
)
from ltgnn_pyg.nn.models import LTGNN, LightGCN, MatrixFactorization, Recommender

__all__ = [
    "BCELoss",
    "BPRLoss",
    "BilateralSoftmaxLoss",
    "CosineContrastiveLoss",
    "DirectAULoss",
    "DistillationLoss",
    "HardNegatives",
    "LTConv",
    "LTGNN",
    "LightGCN",
    "MarginLoss",
    "MatrixFactorization",
    "Objective",
    "RankingLoss",
    "Recommender",
    "SoftmaxLoss",
    "SolveReport",
    "exact_steps",
    "history_step",
    "solve",
]
