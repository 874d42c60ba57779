from ltgnn_pyg.loader.pair_batch_sampler import PairBatchSampler
from ltgnn_pyg.loader.pair_loader import PairLoader
from ltgnn_pyg.loader.vr_neighbor_loader import VRNeighborLoader

__all__ = ["PairBatchSampler", "PairLoader", "VRNeighborLoader"]
