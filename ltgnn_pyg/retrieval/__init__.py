r"""Embeddings to ranked items."""

from ltgnn_pyg.retrieval.top_k import top_k

__all__ = ["top_k"]
