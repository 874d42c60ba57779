# %% [markdown]
# # From LightGCN to linear time
#
# Starts from a LightGCN as in anybody's code, changes its layer, then its loader, and
# looks at what each change does. Open it as a notebook with
# [jupytext](https://jupytext.readthedocs.io), or run it as a script:
#
#     python examples/notebooks/lightgcn_to_ltconv.py

# %% [markdown]
# ## A graph of users and items

# %%
import time

import torch
import torch.nn.functional as F
from torch_geometric.nn import LGConv

from ltgnn_pyg import Graph, LTConv, PairLoader, Vectors
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import solve

torch.manual_seed(0)
split = split_ratio(synthetic_interactions(1500, 1000, 30_000))
graph = Graph.from_interactions(split.train)
data = graph.to_data()  # PyG's own, as anybody's code has it.
print(graph, data)

# %% [markdown]
# ## The layer
#
# LightGCN passes the table through some layers and takes the mean of all. `LTConv`
# takes `K` steps towards a fixed point,
# $Z = (1 - \alpha) \hat{A} Z + \alpha X$, in which the table itself always has its
# share. So it may take any number of steps.

# %%
x = torch.randn(data.num_nodes, 32)
layers = [x]
for _ in range(3):
    layers.append(LGConv()(layers[-1], data.edge_index))
z_lightgcn = torch.stack(layers).mean(0)

z = LTConv(alpha=0.2, K=3)(x, data.edge_index)
print("cosine of the two:", float(F.cosine_similarity(z, z_lightgcn).mean()))

# %% [markdown]
# Each step comes nearer to the fixed point, by 1 - alpha at least. `solve` finds it to
# any precision, with a gradient that does not remember the steps.

# %%
fixed, how = solve(x, graph.matrix, alpha=0.2)
print(how)
errors = []
for K in (1, 3, 10, 30):
    z = LTConv(alpha=0.2, K=K)(x, data.edge_index)
    errors.append(float((z - fixed).norm() / (x - fixed).norm()))
    print(f"after {K:2d} steps {errors[-1]:.4f} of the way is left")

# %% [markdown]
# ## The loader
#
# The loop is PyTorch's own. What a batch propagates over, the batch brings along: in
# the batches of LightGCN the whole graph, in a *round* the graph without the pairs that
# the model is asked about.


# %%
class Model(torch.nn.Module):
    """A table, and a layer over a graph."""

    def __init__(self, num_nodes: int, dim: int = 32):
        super().__init__()
        self.embedding = torch.nn.Embedding(num_nodes, dim)
        torch.nn.init.normal_(self.embedding.weight, std=0.1)
        self.conv = LTConv(alpha=0.2, K=3)  # An operator is taken as it is.

    def forward(self, graph: Graph) -> torch.Tensor:
        """Returns the rows of all nodes."""
        return self.conv(self.embedding.weight, graph.operator)


def bpr(z, batch):
    """The loss of the existing code."""
    src, pos, neg = (
        z[batch.n_id[index]]
        for index in (batch.src_index, batch.dst_pos_index, batch.dst_neg_index)
    )
    return -F.logsigmoid((src * (pos - neg)).sum(-1)).mean()


def train(model, loader, epochs):
    """PyTorch's own loop; returns the seconds of an epoch."""
    optimizer = RowAdam(model.parameters(), lr=0.02)
    start = time.perf_counter()
    for _ in range(epochs):
        for batch in loader:
            optimizer.zero_grad()
            bpr(model(batch.graph), batch).backward()
            optimizer.step()
    return (time.perf_counter() - start) / epochs


def loaders(graph):
    """The batches of LightGCN, of 256 pairs, and 40 rounds."""
    num_rounds, draw = graph.num_edges // 256, {"neg_sampling": "triplet"}
    batches = PairLoader(graph, num_rounds=num_rounds, leave_out=False, **draw)
    return {"batches": batches, "rounds": PairLoader(graph, num_rounds=40, **draw)}


for name, loader in loaders(graph).items():
    model = Model(graph.num_nodes)
    train(model, loader, epochs=3)
    with torch.no_grad():
        z = model(graph)
    vectors = Vectors(z[graph.nodes("user")], z[graph.nodes("item")])
    result = evaluate(vectors, split.val, exclude=split.train)
    print(f"{name}: validation recall@20 {result['recall@20']:.4f}")

# %% [markdown]
# ## How both grow
#
# Four times the interactions: an epoch in batches has four times the batches, each over
# four times the edges. The rounds stay 40.

# %%
for num_interactions in (20_000, 80_000):
    size = num_interactions // 20, num_interactions // 30
    large = Graph.from_interactions(synthetic_interactions(*size, num_interactions))
    seconds = {
        name: train(Model(large.num_nodes), loader, epochs=1)
        for name, loader in loaders(large).items()
    }
    text = "  ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    print(f"{num_interactions:,} interactions, an epoch:  {text}")

# %% [markdown]
# `examples/lightgcn_dropin.py` goes one step further, to the paper's step, in which a
# batch does not pass over the graph at all. `LTGNN` and `fit` bring all of it ready
# made.
