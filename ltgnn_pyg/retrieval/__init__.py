r"""Scores to ranked items."""

from ltgnn_pyg.retrieval.index import Index
from ltgnn_pyg.retrieval.similar import similar_items, similar_users
from ltgnn_pyg.scorers.top_k import top_k

__all__ = ["Index", "similar_items", "similar_users", "top_k"]
