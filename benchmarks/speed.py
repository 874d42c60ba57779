"""How long an epoch takes: LTGNN beside matrix factorisation and two LightGCNs.

    python benchmarks/speed.py --root data --dataset gowalla --json out.json

All train with BPR and one negative at the same batch size, in one process, in turns;
figures are medians over the rounds. LTGNN and MF share loader, optimizer and loss,
and are timed over whole epochs; the LightGCNs over a few steps, times the steps of
an epoch.

- ltgnn: ltgnn_pyg.nn.LTGNN with the paper's step, gradient="local".
- delayed: the same with its default, gradient="delayed", 80 exact rounds an epoch.
- mf: ltgnn_pyg.nn.MatrixFactorization, no neighbours sampled.
- csr_lightgcn: ltgnn_pyg.nn.LightGCN, three layers, one product with a matrix
  normalised once for each, the backward likewise; dense Adam. The product is torch's
  for CSR matrices.
- bag_lightgcn: the same with this package's product (torch's embedding_bag), as
  LightGCN runs here: the fastest we know.
- pyg_lightgcn: torch_geometric.nn.LightGCN, three layers, trained as PyG's example
  trains it.

Then the stages of a step of LTGNN, beside the time to move the bytes each must move
at the bandwidth of a large copy; and the loader alone, beside PyG's
LinkNeighborLoader where torch-sparse is installed.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.nn import LightGCN as PyGLightGCN
from torch_geometric.typing import WITH_TORCH_SPARSE

from ltgnn_pyg import LTGNN, ItemNegativeSampling, VRNeighborLoader
from ltgnn_pyg.datasets import Gowalla, Yelp2018
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization, Recommender
from ltgnn_pyg.nn.models import light_gcn
from ltgnn_pyg.optim import RowAdam

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", choices=["gowalla", "yelp2018"], default="gowalla")
parser.add_argument("--root", default="data")
parser.add_argument("--batch_size", type=int, default=2048)
parser.add_argument("--num_neighbors", type=int, default=15)
parser.add_argument("--embedding_dim", type=int, default=64)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=15, help="of csr_lightgcn, a round")
parser.add_argument("--pyg_steps", type=int, default=4, help="of pyg_lightgcn, a round")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
warnings.filterwarnings("ignore", message="Using 'NeighborSampler' without")
dataset = {"gowalla": Gowalla, "yelp2018": Yelp2018}[args.dataset](args.root)
data, split = dataset.split()
sizes = (data.num_users, data.num_items, args.embedding_dim)
settings = {"loss_fn": BPRLoss(), "weight_decay": 2e-4, "init_std": 0.1}
models = {
    "ltgnn": LTGNN(*sizes, gradient="local", alpha=0.45, **settings),
    "delayed": LTGNN(*sizes, **settings),
    "mf": MatrixFactorization(*sizes, **settings),
    "bag_lightgcn": LightGCN(*sizes, num_layers=3, **settings),
}
loaders = {
    name: VRNeighborLoader(
        data,
        model.history,
        args.num_neighbors if name == "ltgnn" else 0,
        split.train,
        args.batch_size,
        neg_sampling="triplet",
    )
    for name, model in models.items()
}
adj_t = loaders["ltgnn"].adj_t
optimizers = {
    name: RowAdam(model.parameters())
    if model.embedding.sparse
    else torch.optim.Adam(model.parameters(), fused=True)
    for name, model in models.items()
}
num_steps = len(loaders["ltgnn"])


def clock(function: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def train(name: str, steps: int = num_steps) -> None:
    """Some steps of a model, as a user writes them."""
    product = light_gcn.propagate
    if name == "csr_lightgcn":
        name, product = "bag_lightgcn", torch.sparse.mm
    model, optimizer = models[name], optimizers[name]
    model.refresh(adj_t)
    with patch.object(light_gcn, "propagate", product):
        _train(name, model, optimizer, steps)


def _train(name: str, model: Recommender, optimizer: Any, steps: int) -> None:
    for batch in islice(loaders[name], steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()


pyg = PyGLightGCN(data.num_nodes, args.embedding_dim, 3)
pyg_optimizer = torch.optim.Adam(pyg.parameters())


def train_pyg(steps: int) -> None:
    """Some steps as in examples/lightgcn.py of PyG."""
    for _ in range(steps):
        index = torch.randint(split.train.size(1), (args.batch_size,))
        pos = split.train[:, index]
        neg = torch.randint(data.num_users, data.num_nodes, (args.batch_size,))
        label = torch.cat([pos, torch.stack([pos[0], neg])], dim=1)
        pyg_optimizer.zero_grad()
        pos_rank, neg_rank = pyg(data.edge_index, label).chunk(2)
        loss = pyg.recommendation_loss(pos_rank, neg_rank, node_id=label.unique())
        loss.backward()
        pyg_optimizer.step()


train("ltgnn", 20)
train("delayed", 20)
train("mf", 20)
train("csr_lightgcn", 2)
train("bag_lightgcn", 2)
train_pyg(1)
seconds: dict[str, list[float]] = {}
for _ in range(args.rounds):
    for name, run in (
        ("ltgnn", lambda: train("ltgnn")),
        ("delayed", lambda: train("delayed")),
        ("mf", lambda: train("mf")),
        ("csr_lightgcn", lambda: train("csr_lightgcn", args.steps)),
        ("bag_lightgcn", lambda: train("bag_lightgcn", args.steps)),
        ("pyg_lightgcn", lambda: train_pyg(args.pyg_steps)),
    ):
        seconds.setdefault(name, []).append(clock(run))
epoch = {name: statistics.median(values) for name, values in seconds.items()}
epoch["csr_lightgcn"] *= num_steps / args.steps
epoch["bag_lightgcn"] *= num_steps / args.steps
epoch["pyg_lightgcn"] *= num_steps / args.pyg_steps

# The stages of a step, and the bytes they cannot but move.
big = torch.empty(2**26)
other = torch.empty_like(big)
other.copy_(big)
copy = statistics.median(clock(lambda: other.copy_(big)) for _ in range(5))
bandwidth = 2 * big.numel() * 4 / copy
loader, model, optimizer = loaders["ltgnn"], models["ltgnn"], optimizers["ltgnn"]
stage: dict[str, float] = dict.fromkeys(
    [
        "pairs, negatives, neighbours",
        "pull",
        "forward and push",
        "backward",
        "optimizer",
    ],
    0.0,
)
num_seeds = num_edges = 0
index_batches = list(islice(loader.batch_sampler, 100))
history, loader.history = loader.history, None
for index in index_batches:
    marks = [time.perf_counter()]
    out = loader.collate_fn(index)
    batch = loader.filter_fn(out)
    marks.append(time.perf_counter())
    loader.history = history
    seed = batch.n_id[: batch.num_seeds]
    loader._pull(batch, seed, batch.n_id[batch.num_seeds :], out.edge_weight, out.ptr)
    loader.history = None
    marks.append(time.perf_counter())
    optimizer.zero_grad()
    loss = model.loss(batch)
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    optimizer.step()
    marks.append(time.perf_counter())
    for i, name in enumerate(stage):
        stage[name] += (marks[i + 1] - marks[i]) / len(index_batches)
    num_seeds += batch.num_seeds / len(index_batches)
    num_edges += batch.edge_index.size(1) / len(index_batches)
loader.history = history
row, rows, pairs = args.embedding_dim * 4, num_seeds, args.batch_size
limit = {
    "pairs, negatives, neighbours": num_edges * (8 + 4) * 2 + 6 * pairs * 8,
    "pull": num_edges * (row + 12) + 3 * rows * row,  # Neighbours, M, the sum.
    "forward and push": rows * row * (3 + 3) + 3 * pairs * row,
    "backward": 2 * 3 * pairs * row + 3 * rows * row,
    "optimizer": 7 * rows * row,  # Three tables read and written, one gradient.
}
stages = {
    name: {
        "ms": round(1e3 * value, 3),
        "limit_ms": round(1e3 * limit[name] / bandwidth, 3),
        "measured_over_limit": round(value * bandwidth / limit[name], 1),
    }
    for name, value in stage.items()
}

alone = {"ours_ms": [], "pyg_ms": []}
pyg_loader = None
if WITH_TORCH_SPARSE:
    pyg_loader = LinkNeighborLoader(
        data,
        [args.num_neighbors],
        split.train,
        neg_sampling=ItemNegativeSampling(data.num_users, data.num_items),
        batch_size=args.batch_size,
        shuffle=True,
    )
for _ in range(args.rounds):
    for name, each in (("ours_ms", loader), ("pyg_ms", pyg_loader)):
        if each is not None:
            iterator = iter(each)
            next(iterator)
            span = clock(lambda i=iterator: [next(i) for _ in range(60)])
            alone[name].append(1e3 * span / 60)
alone = {name: round(statistics.median(v), 3) for name, v in alone.items() if v}

result = {
    "dataset": args.dataset,
    **{f"{name}_epoch_s": round(value, 3) for name, value in epoch.items()},
    "ratio_ltgnn_mf": round(epoch["ltgnn"] / epoch["mf"], 3),
    "ratio_delayed_mf": round(epoch["delayed"] / epoch["mf"], 3),
    "ratio_pyg_ltgnn": round(epoch["pyg_lightgcn"] / epoch["ltgnn"], 1),
    "ratio_csr_ltgnn": round(epoch["csr_lightgcn"] / epoch["ltgnn"], 1),
    "ratio_bag_ltgnn": round(epoch["bag_lightgcn"] / epoch["ltgnn"], 1),
    "rounds_s": {k: [round(s, 3) for s in v] for k, v in seconds.items()},
    "steps_per_epoch": num_steps,
    "stages": stages,
    "copy_gb_per_s": round(bandwidth / 1e9, 1),
    "seeds_per_step": round(num_seeds),
    "edges_per_step": round(num_edges),
    "loader": alone,
    "batch_size": args.batch_size,
    "num_neighbors": args.num_neighbors,
    "embedding_dim": args.embedding_dim,
    "threads": args.threads,
    "seed": args.seed,
}
print(json.dumps(result, indent=1))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
