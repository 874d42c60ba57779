from ltgnn_pyg.nn.conv.edge_products import edge_dot, edge_sum
from ltgnn_pyg.nn.conv.exact_steps import exact_coefficients, exact_steps
from ltgnn_pyg.nn.conv.fixed_point import SolveReport, solve
from ltgnn_pyg.nn.conv.history_step import history_step
from ltgnn_pyg.nn.conv.lt_conv import LTConv
from ltgnn_pyg.nn.conv.noisy_layers import noisy_layers
from ltgnn_pyg.nn.conv.pin_sage_conv import PinSageConv

__all__ = [
    "LTConv",
    "PinSageConv",
    "SolveReport",
    "edge_dot",
    "edge_sum",
    "exact_coefficients",
    "exact_steps",
    "history_step",
    "noisy_layers",
    "solve",
]
