r"""Scores to ranked items."""

from ltgnn_pyg.retrieval.blend import Blend
from ltgnn_pyg.retrieval.fold_in import FoldIn
from ltgnn_pyg.retrieval.index import Index
from ltgnn_pyg.retrieval.scorer import Scorer
from ltgnn_pyg.retrieval.similar import similar_items, similar_users
from ltgnn_pyg.retrieval.top_k import top_k
from ltgnn_pyg.retrieval.vectors import Vectors

__all__ = [
    "Blend",
    "FoldIn",
    "Index",
    "Scorer",
    "Vectors",
    "similar_items",
    "similar_users",
    "top_k",
]
