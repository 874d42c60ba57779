from ltgnn_pyg.nn.conv.lt_conv import LTConv, SolveReport

__all__ = ["LTConv", "SolveReport"]
