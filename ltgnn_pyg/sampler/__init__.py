from ltgnn_pyg.sampler.item_negative_sampling import ItemNegativeSampling
from ltgnn_pyg.sampler.link_sampler import LinkSampler
from ltgnn_pyg.sampler.random_walk_sampler import RandomWalkSampler
from ltgnn_pyg.sampler.stratified_neighbor_sampler import StratifiedNeighborSampler

__all__ = [
    "ItemNegativeSampling",
    "LinkSampler",
    "RandomWalkSampler",
    "StratifiedNeighborSampler",
]
