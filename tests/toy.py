"""A data set whose right lists are known, and the models of the family."""

import torch
from torch.nn import Linear, ModuleList

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.nn import (
    DGCF,
    EGCF,
    LTGNN,
    NGCF,
    SGL,
    LightGCN,
    LightGCNPlusPlus,
    LightGODE,
    MatrixFactorization,
    PinSage,
    Recommender,
    SimGCL,
    UltraGCN,
    XSimGCL,
)


class ThreeLayers(Recommender):
    """What a user writes: three layers with weights, and nothing but an encoder."""

    def __init__(self, num_users, num_items, embedding_dim=64):
        super().__init__(num_users, num_items, embedding_dim)
        dim = embedding_dim
        self.layers = ModuleList(Linear(dim, dim) for _ in range(3))

    def encode(self, graph):
        z = self.inputs.table()
        for layer in self.layers:
            z = z + layer((graph.operator @ z).to(z.dtype)).tanh()
        return z


#: Every model, with its default arguments. A new one is a line here.
MODELS = [
    MatrixFactorization,
    LightGCN,
    LightGCNPlusPlus,
    NGCF,
    DGCF,
    EGCF,
    LTGNN,
    LightGODE,
    UltraGCN,
    SGL,
    SimGCL,
    XSimGCL,
    PinSage,
    ThreeLayers,
]


def blocks(num_blocks: int = 4, size: int = 8, rounds: int = 2) -> Split:
    """Users of a block take all items of their block but two, and none of others.

    One of the two is to validate on and one to test on. So the only item of its block
    that a user has not taken, the other ones known, is the one held out: whoever has
    understood the blocks ranks it first.
    """
    num_users, num_items = rounds * num_blocks * size, num_blocks * size
    user = torch.arange(num_users).repeat_interleave(size)
    place = torch.arange(size).repeat(num_users)
    item = user % num_blocks * size + place
    turn = user // num_blocks
    val, test = place == turn % size, place == (turn + 1) % size
    everything = Interactions(user, item, num_users, num_items)
    parts = [everything[mask] for mask in (~(val | test), val, test)]
    return Split(*parts, order="random")
