r"""A score for each query and item: what evaluation, lists and run folders take."""

from ltgnn_pyg.scorers.blend import Blend
from ltgnn_pyg.scorers.fold_in import FoldIn
from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.scorer import Scorer
from ltgnn_pyg.scorers.top_k import top_k
from ltgnn_pyg.scorers.vectors import Vectors

__all__ = ["Blend", "FoldIn", "Query", "Scorer", "Vectors", "top_k"]
