"""Moves an existing LightGCN to linear time in two small steps.

    python examples/lightgcn_dropin.py

1. Swap the layers: one LTConv of three steps in place of three LGConvs. The rest stays
   as it is, and still propagates over the whole graph for each batch of pairs.
2. Swap the batches, one way or the other:
   - rounds: PairLoader cuts an epoch into a fixed number of batches and brings the
     graph of each along; the layer propagates over that one;
   - history: VRNeighborLoader samples neighbours and pulls rows of a History; the layer
     becomes one step for the nodes of the batch, whatever the size of the graph.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import LGConv
from tqdm import tqdm

from ltgnn_pyg import Graph, History, LTConv, PairLoader, Vectors, VRNeighborLoader
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import history_step

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--interactions", type=int, default=50_000)
args = parser.parse_args()

sizes = (args.interactions // 17, args.interactions // 25)  # Users and items.
split = split_ratio(synthetic_interactions(*sizes, args.interactions))
data = Graph.from_interactions(split.train).to_data()  # PyG's, as anybody's code has.


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

    def forward(self, batch) -> Tensor:
        """Returns the embeddings of the nodes of a batch."""
        return self.get_embedding(data.edge_index)[batch.n_id]


class WithLTConv(LightGCN):
    """Step 1: the layers are one LTConv of three steps."""

    def __init__(self, num_nodes: int, dim: int = 32):
        super().__init__(num_nodes, dim)
        self.convs = None
        self.conv = LTConv(alpha=0.2, K=3)

    def get_embedding(self, edge_index: Tensor) -> Tensor:
        """Propagates over the whole graph."""
        return self.conv(self.embedding.weight, edge_index)


class WithRounds(WithLTConv):
    """Step 2, by rounds: the graph is that of the batch, without its pairs."""

    def forward(self, batch) -> Tensor:
        """Returns the embeddings of the nodes of a batch."""
        return self.conv(self.embedding.weight, batch.graph.operator)[batch.n_id]


class WithHistory(WithLTConv):
    """Step 2, by history: one step for the nodes of the batch."""

    def __init__(self, num_nodes: int, dim: int = 32):
        super().__init__(num_nodes, dim)
        self.embedding.sparse = True  # A step touches the rows of its seeds only.
        self.history = History(num_nodes, dim)

    def refresh(self, graph: Graph) -> None:
        """Renews the history, as the loader asks when an epoch starts."""
        first = self.history.num_refreshes == 0
        z = self.get_embedding(data.edge_index).detach() if first else None
        self.history.refresh(graph, z)

    def forward(self, batch) -> Tensor:
        """Returns the embeddings of the nodes of a batch, its seeds."""
        seed = batch.n_id[: batch.num_seeds]
        z = history_step(self.embedding(seed), batch.aggregate, self.conv.alpha)
        self.history.push(seed, z.detach())
        return z


def bpr(z: Tensor, src: Tensor, pos: Tensor, neg: Tensor) -> Tensor:
    """The loss of the existing code."""
    return -F.logsigmoid((z[src] * (z[pos] - z[neg])).sum(-1)).mean()


def fit(model: LightGCN, loader, lr: float = 0.02) -> None:
    """The existing training loop, the same for all, and its evaluation."""
    optimizer = RowAdam(model.parameters(), lr=lr)  # Adam, row by row where it can.
    start = time.perf_counter()
    for epoch in range(args.epochs):
        for batch in tqdm(loader, f"Epoch {epoch + 1}", leave=False, disable=None):
            optimizer.zero_grad()
            index = (batch.src_index, batch.dst_pos_index, batch.dst_neg_index)
            loss = bpr(model(batch), *index)
            loss.backward()
            optimizer.step()
    seconds = (time.perf_counter() - start) / args.epochs
    with torch.no_grad():
        z = model.get_embedding(data.edge_index)
    vectors = Vectors(z[: data.num_users], z[data.num_users :])
    result = evaluate(vectors, split.val, exclude=split.train)
    print(
        f"{type(model).__name__:12s} {seconds:6.2f} s an epoch, "
        f"validation recall@20 {result['recall@20']:.4f}"
    )


torch.manual_seed(0)
pairs = {"batch_size": 512, "neg_sampling": "triplet"}
each_batch = {"num_rounds": len(split.train) // 512, "leave_out": False}
for model_class in (LightGCN, WithLTConv):
    fit(model_class(data.num_nodes), PairLoader(data, **pairs, **each_batch))
fit(WithRounds(data.num_nodes), PairLoader(data, **pairs))
model = WithHistory(data.num_nodes)
fit(model, VRNeighborLoader(data, model, **pairs))
