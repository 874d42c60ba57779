from ltgnn_pyg.nn.conv import LTConv, SolveReport
from ltgnn_pyg.nn.loss import BPRLoss, SoftmaxLoss
from ltgnn_pyg.nn.models import LTGNN

__all__ = ["BPRLoss", "LTConv", "LTGNN", "SoftmaxLoss", "SolveReport"]
