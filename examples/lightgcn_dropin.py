"""Moves an existing LightGCN to linear time in two small steps.

    python examples/lightgcn_dropin.py

1. Swap the layer: LTConv in place of LGConv, three steps in place of three
   layers; the training loop stays as it was, and still propagates over the whole
   graph for each batch.
2. Swap the loader: VRNeighborLoader with a History. The same layer now takes one
   step for the nodes of the batch, whatever the size of the graph.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import LGConv
from tqdm import tqdm

from ltgnn_pyg import History, LTConv, VRNeighborLoader
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions
from ltgnn_pyg.evaluation import evaluate

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--interactions", type=int, default=50_000)
args = parser.parse_args()

torch.manual_seed(0)
U, I = args.interactions // 33, args.interactions // 50
data, split = split_ratio(synthetic_interactions(U, I, args.interactions))


class LightGCN(torch.nn.Module):
    """Three LGConv layers and their mean, as in anybody's code."""

    def __init__(self, num_nodes: int, dim: int = 32):
        super().__init__()
        self.embedding = torch.nn.Embedding(num_nodes, dim)
        torch.nn.init.normal_(self.embedding.weight, std=0.1)
        self.convs = torch.nn.ModuleList(LGConv() for _ in range(3))

    def get_embedding(self, edge_index: Tensor) -> Tensor:
        """Propagates over the whole graph."""
        out = [self.embedding.weight]
        for conv in self.convs:
            out.append(conv(out[-1], edge_index))
        return torch.stack(out).mean(0)


class WithLTConv(LightGCN):
    """Step 1: the layers are one LTConv of three steps."""

    def __init__(self, num_nodes: int, dim: int = 32):
        super().__init__(num_nodes, dim)
        self.convs = None
        self.conv = LTConv(alpha=0.2, K=3)

    def get_embedding(self, edge_index: Tensor) -> Tensor:
        """Propagates over the whole graph."""
        return self.conv(self.embedding.weight, edge_index)


class WithHistory(WithLTConv):
    """Step 2: the layer steps from a history."""

    def __init__(self, num_nodes: int, dim: int = 32):
        super().__init__(num_nodes, dim)
        self.embedding.sparse = True  # A step touches the rows of its seeds only.
        self.history = History(num_nodes, dim)

    def forward(self, batch) -> Tensor:
        """Returns the embeddings of the batch's seeds."""
        seed = batch.n_id[: batch.num_seeds]
        z = self.conv.step(self.embedding(seed), batch.aggregate)
        self.history.push("output", seed, z.detach())
        return z


def bpr(z: Tensor, src: Tensor, pos: Tensor, neg: Tensor) -> Tensor:
    """The loss of the existing code."""
    return -F.logsigmoid((z[src] * (z[pos] - z[neg])).sum(-1)).mean()


def train(model: LightGCN) -> None:
    """The existing training loop; only the lines on the history are new."""
    history = getattr(model, "history", None)
    loader = VRNeighborLoader(
        data,
        history,
        edge_label_index=split.train,
        batch_size=512,
        neg_sampling="triplet",
    )
    optim = torch.optim.Adam if history is None else torch.optim.SparseAdam
    optimizer = optim(model.parameters(), lr=5e-3)
    start = time.perf_counter()
    for epoch in range(args.epochs):
        if history is not None:
            history.refresh(loader.adj_t)
        for batch in tqdm(loader, f"Epoch {epoch + 1}", leave=False, disable=None):
            optimizer.zero_grad()
            index = (batch.src_index, batch.dst_pos_index, batch.dst_neg_index)
            if history is None:
                z = model.get_embedding(data.edge_index)
                loss = bpr(z, *(batch.n_id[i] for i in index))
            else:
                loss = bpr(model(batch), *index)
            loss.backward()
            optimizer.step()
    seconds = (time.perf_counter() - start) / args.epochs
    with torch.no_grad():
        z = model.get_embedding(data.edge_index)
    users = {"num_users": data.num_users}
    result = evaluate(z, split.val, exclude_edge_index=split.train, **users)
    print(
        f"{type(model).__name__:12s} {seconds:6.2f} s an epoch, "
        f"validation recall@20 {result['recall@20']:.4f}"
    )


for model in (LightGCN, WithLTConv, WithHistory):
    train(model(data.num_nodes))
