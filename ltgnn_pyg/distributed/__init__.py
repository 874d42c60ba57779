from ltgnn_pyg.distributed.adjacency import ShardedAdjacency
from ltgnn_pyg.distributed.evaluation import evaluate
from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.distributed.process_group import (
    init_process_group,
    is_distributed,
    is_first,
)
from ltgnn_pyg.distributed.recommender import ShardedRecommender
from ltgnn_pyg.distributed.vectors import ShardedVectors

__all__ = [
    "Partition",
    "ShardedAdjacency",
    "ShardedRecommender",
    "ShardedVectors",
    "evaluate",
    "init_process_group",
    "is_distributed",
    "is_first",
]
