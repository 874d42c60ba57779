r"""The inputs of models, their histories, and the optimizer of their rows."""

from ltgnn_pyg.inputs.embeddings import Embeddings
from ltgnn_pyg.inputs.features import Features
from ltgnn_pyg.inputs.history import History
from ltgnn_pyg.inputs.inputs import Inputs
from ltgnn_pyg.inputs.memory_map import memory_map_
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.inputs.sum_inputs import SumInputs

__all__ = [
    "Embeddings",
    "Features",
    "History",
    "Inputs",
    "RowAdam",
    "SumInputs",
    "memory_map_",
]
