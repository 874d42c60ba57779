r"""Recommenders without training: filters of what a user has taken."""

from ltgnn_pyg.filters.bspm import BSPM
from ltgnn_pyg.filters.cheby_cf import ChebyCF
from ltgnn_pyg.filters.ease import EASE
from ltgnn_pyg.filters.filter import Filter
from ltgnn_pyg.filters.gf_cf import GFCF
from ltgnn_pyg.filters.item_knn import ItemKNN
from ltgnn_pyg.filters.popularity import Popularity
from ltgnn_pyg.filters.sparse_ease import SparseEASE
from ltgnn_pyg.gram import Gram

__all__ = [
    "BSPM",
    "EASE",
    "GFCF",
    "ChebyCF",
    "Filter",
    "Gram",
    "ItemKNN",
    "Popularity",
    "SparseEASE",
]
