"""Vectors that need no training: what trained ones are to be held against."""

import torch
from ltgnn_pyg.graph.adjacency import propagate

from ltgnn_pyg import Vectors, normalized_adj
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn.init import spectral_


def spectral(known: Interactions, dim: int = 64) -> Vectors:
    """The leading singular vectors of the normalised interactions, which training
    starts from.
    """
    data, num_users = known.to_data(), known.num_users
    adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)
    z = spectral_(torch.empty(data.num_nodes, dim), adj_t, num_users)
    value = (propagate(adj_t, z) * z).sum(0) / z.square().sum(0)
    z *= torch.bincount(data.edge_index[1], minlength=data.num_nodes).sqrt().view(-1, 1)
    z[:num_users] *= value
    return Vectors.from_embedding(z, num_users)
