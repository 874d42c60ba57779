"""Vectors that need no training: what trained ones are to be held against."""

import torch

from ltgnn_pyg import Graph, Vectors
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn.init import spectral_


def spectral(known: Interactions, dim: int = 64) -> Vectors:
    """The leading singular vectors of the normalised interactions, which training
    starts from.
    """
    graph = Graph.from_interactions(known)
    z = spectral_(torch.empty(graph.num_nodes, dim), graph)
    value = (graph.operator @ z * z).sum(0) / z.square().sum(0)
    z *= graph.matrix.degree.sqrt().unsqueeze(1)
    return Vectors(z[graph.nodes("user")] * value, z[graph.nodes("item")])
