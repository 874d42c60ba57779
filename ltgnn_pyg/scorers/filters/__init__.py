r"""Recommenders without training: filters of what a user has taken."""

from ltgnn_pyg.scorers.filters.bspm import BSPM
from ltgnn_pyg.scorers.filters.cheby_cf import ChebyCF
from ltgnn_pyg.scorers.filters.ease import EASE
from ltgnn_pyg.scorers.filters.filter import Filter
from ltgnn_pyg.scorers.filters.gf_cf import GFCF
from ltgnn_pyg.scorers.filters.item_knn import ItemKNN
from ltgnn_pyg.scorers.filters.popularity import Popularity
from ltgnn_pyg.scorers.filters.sparse_ease import SparseEASE

__all__ = [
    "BSPM",
    "EASE",
    "GFCF",
    "ChebyCF",
    "Filter",
    "ItemKNN",
    "Popularity",
    "SparseEASE",
]
