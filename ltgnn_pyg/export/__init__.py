r"""A trained model in the formats of others.

Each takes a :class:`~ltgnn_pyg.runs.RunFolder` and a folder to write to, and
returns the files it wrote, each written all or nothing. None of them holds a pickle.
The numbers are those of :class:`~ltgnn_pyg.scorers.Vectors`: a user and an item score
:math:`\mathbf{z}_u^{\top} \mathbf{z}_i + b_i`.
"""

from ltgnn_pyg.export.to_huggingface import to_huggingface
from ltgnn_pyg.export.to_int8 import quantize_rows, to_int8
from ltgnn_pyg.export.to_numpy import to_numpy
from ltgnn_pyg.export.to_onnx import to_onnx
from ltgnn_pyg.export.to_parquet import to_parquet
from ltgnn_pyg.export.to_safetensors import to_safetensors

__all__ = [
    "quantize_rows",
    "to_huggingface",
    "to_int8",
    "to_numpy",
    "to_onnx",
    "to_parquet",
    "to_safetensors",
]
