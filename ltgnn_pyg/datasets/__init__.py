r"""Files to interactions to a graph and its split; ids are mapped here alone."""

from ltgnn_pyg.datasets.align_ids import align_ids
from ltgnn_pyg.datasets.confidence_weight import confidence_weight
from ltgnn_pyg.datasets.interaction_dataset import InteractionDataset
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.k_core import k_core
from ltgnn_pyg.datasets.lightgcn_text import (
    AlibabaIFashion,
    AmazonBook,
    AmazonLarge,
    Gowalla,
    LightGCNText,
    Yelp2018,
)
from ltgnn_pyg.datasets.readers.map_interactions import map_interactions
from ltgnn_pyg.datasets.readers.read_interactions import read_interactions
from ltgnn_pyg.datasets.recency import recency_weight
from ltgnn_pyg.datasets.split import (
    Split,
    split_leave_one_out,
    split_ratio,
    split_temporal,
)
from ltgnn_pyg.datasets.split_given import split_given
from ltgnn_pyg.datasets.synthetic import synthetic_interactions

__all__ = [
    "AlibabaIFashion",
    "AmazonBook",
    "AmazonLarge",
    "Gowalla",
    "InteractionDataset",
    "Interactions",
    "LightGCNText",
    "Split",
    "Yelp2018",
    "align_ids",
    "confidence_weight",
    "k_core",
    "map_interactions",
    "read_interactions",
    "recency_weight",
    "split_given",
    "split_leave_one_out",
    "split_ratio",
    "split_temporal",
    "synthetic_interactions",
]
