"""How long an epoch takes: LTGNN beside matrix factorisation and LightGCN.

    python benchmarks/speed.py --root data --dataset gowalla --json out.json

All train with BPR and one negative at the same batch size, in one process, in turns;
figures are medians over the turns. LTGNN and MF are timed over whole epochs, the
LightGCNs over a few steps, times the steps of an epoch.

- ltgnn: ltgnn_pyg.nn.LTGNN, the paper's step on the batches of a VRNeighborLoader.
- ltgnn_rounds: the same model on the 80 exact rounds of a PairLoader.
- mf: ltgnn_pyg.nn.MatrixFactorization, a PairLoader of single batches.
- bags_, csr_ and reduction_lightgcn: ltgnn_pyg.nn.LightGCN, three layers, over the
  whole graph in each batch, as in its paper, with a matrix normalised once; by each
  kernel of ltgnn_pyg.graph.adjacency. best_lightgcn is the fastest of them, and
  chosen_kernel what the package takes here of itself.
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
from sets import HELP, load_split
from torch import Tensor
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.nn import LightGCN as PyGLightGCN
from torch_geometric.typing import WITH_TORCH_SPARSE

from ltgnn_pyg import (
    LTGNN,
    History,
    ItemNegativeSampling,
    PairLoader,
    VRNeighborLoader,
)
from ltgnn_pyg.graph import adjacency
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization

# The kernels of the product, and what a LightGCN that is run by one is called.
KERNELS = {"bags": "_by_bags", "csr": "_by_matmul", "reduction": "_by_reduction"}

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data")
parser.add_argument("--batch-size", type=int, default=2048)
parser.add_argument("--num-neighbors", type=int, default=5)
parser.add_argument("--embedding-dim", type=int, default=64)
parser.add_argument("--turns", type=int, default=3)
parser.add_argument("--steps", type=int, default=15, help="of LightGCN, a turn")
parser.add_argument("--pyg-steps", type=int, default=4, help="of PyG's, a turn")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
warnings.filterwarnings("ignore", message="Using 'NeighborSampler' without")
train = load_split(args.dataset, args.root).train
data, pairs = train.to_data(), train.edge_label_index
sizes = (train.num_users, train.num_items, args.embedding_dim)
settings = {"loss_fn": BPRLoss(), "weight_decay": 2e-4, "init_std": 0.1}
models = {
    "ltgnn": LTGNN(*sizes, alpha=0.45, **settings),
    "ltgnn_rounds": LTGNN(*sizes, **settings),
    "mf": MatrixFactorization(*sizes, **settings),
    "lightgcn": LightGCN(*sizes, **settings),
}
batch = {"batch_size": args.batch_size, "neg_sampling": "triplet"}
alone = {"num_rounds": -(-len(train) // args.batch_size), "leave_out": False}
by_batch = PairLoader(data, **batch, **alone)
loaders: dict[str, Any] = {
    "ltgnn": VRNeighborLoader(data, models["ltgnn"], args.num_neighbors, **batch),
    "ltgnn_rounds": PairLoader(data, **batch),
    "mf": by_batch,
    "lightgcn": by_batch,
}
optimizers = {name: RowAdam(model.parameters()) for name, model in models.items()}
num_steps = len(by_batch)


def clock(function: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def copy_bandwidth() -> float:
    """Bytes a second that a large copy reads and writes."""
    big = torch.empty(2**26)
    other = torch.empty_like(big)
    other.copy_(big)
    copy = statistics.median(clock(lambda: other.copy_(big)) for _ in range(5))
    return 2 * big.numel() * big.element_size() / copy


def run(name: str, steps: int | None = None) -> None:
    """An epoch of a model or some steps of it, as a user writes them."""
    model, optimizer = models[name], optimizers[name]
    for batch in islice(loaders[name], steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()


def run_by(kernel: str, steps: int) -> None:
    """Some steps of LightGCN by a kernel."""
    product = getattr(adjacency, KERNELS[kernel])
    with patch.object(adjacency, "kernel_for", lambda *args: product):
        run("lightgcn", steps)


pyg = PyGLightGCN(data.num_nodes, args.embedding_dim, 3)
pyg_optimizer = torch.optim.Adam(pyg.parameters())


def run_pyg(steps: int) -> None:
    """Some steps as in examples/lightgcn.py of PyG."""
    for _ in range(steps):
        index = torch.randint(pairs.size(1), (args.batch_size,))
        pos = pairs[:, index]
        neg = torch.randint(data.num_users, data.num_nodes, (args.batch_size,))
        label = torch.cat([pos, torch.stack([pos[0], neg])], dim=1)
        pyg_optimizer.zero_grad()
        pos_rank, neg_rank = pyg(data.edge_index, label).chunk(2)
        loss = pyg.recommendation_loss(pos_rank, neg_rank, node_id=label.unique())
        loss.backward()
        pyg_optimizer.step()


contestants: dict[str, tuple[Callable[[int | None], None], int | None]] = {
    name: (lambda steps, name=name: run(name, steps), None)
    for name in ("ltgnn", "ltgnn_rounds", "mf")
}
for kernel in KERNELS:
    by_kernel = lambda steps, kernel=kernel: run_by(kernel, steps)  # noqa: E731
    contestants[f"{kernel}_lightgcn"] = (by_kernel, args.steps)
contestants["pyg_lightgcn"] = (run_pyg, args.pyg_steps)
for name, (function, _) in contestants.items():
    function(20 if name in ("ltgnn", "mf") else 1)  # Warms up.
seconds: dict[str, list[float]] = {name: [] for name in contestants}
for _ in range(args.turns):
    for name, (function, steps) in contestants.items():
        seconds[name].append(clock(lambda f=function, s=steps: f(s)))
epoch = {
    name: statistics.median(seconds[name]) * (num_steps / steps if steps else 1)
    for name, (_, steps) in contestants.items()
}
best = min(KERNELS, key=lambda kernel: epoch[f"{kernel}_lightgcn"])
epoch["best_lightgcn"] = epoch[f"{best}_lightgcn"]
table = models["lightgcn"].embedding.weight.detach()
chosen = adjacency.kernel_for(by_batch.adj_t, table, table).__name__

# The stages of a step, and the bytes they cannot but move.
bandwidth = copy_bandwidth()
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
pulls: list[float] = []


def pull(*args: Any) -> Tensor:
    """Pulls rows, and notes how long it took."""
    start = time.perf_counter()
    out = History.pull(model.history, *args)
    pulls.append(time.perf_counter() - start)
    return out


num_seeds = num_edges = 0
index_batches = list(islice(loader.batch_sampler, 100))
for index in index_batches:
    marks = [time.perf_counter()]
    with patch.object(model.history, "pull", pull):
        batch = loader.filter_fn(loader.collate_fn(index))
    marks += [time.perf_counter()] * 2
    marks[1] -= sum(pulls)
    pulls.clear()
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
row, rows, size = args.embedding_dim * 4, num_seeds, args.batch_size
limit = {
    "pairs, negatives, neighbours": num_edges * (8 + 4) * 2 + 6 * size * 8,
    "pull": num_edges * (row + 12) + 3 * rows * row,  # Neighbours, M, the sum.
    "forward and push": rows * row * (3 + 3) + 3 * size * row,
    "backward": 2 * 3 * size * row + 3 * rows * row,
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

spans: dict[str, list[float]] = {"ours_ms": [], "pyg_ms": []}
pyg_loader = None
if WITH_TORCH_SPARSE:
    pyg_loader = LinkNeighborLoader(
        data,
        [args.num_neighbors],
        pairs,
        neg_sampling=ItemNegativeSampling(train.num_users, train.num_items),
        batch_size=args.batch_size,
        shuffle=True,
    )
num = max(min(60, num_steps - 1), 1)
for _ in range(args.turns):
    for name, each in (("ours_ms", loader), ("pyg_ms", pyg_loader)):
        if each is not None:
            iterator = iter(each)
            next(iterator)
            span = clock(lambda i=iterator: list(islice(i, num)))
            spans[name].append(1e3 * span / num)

result = {
    "dataset": args.dataset,
    **{f"{name}_epoch_s": round(value, 3) for name, value in epoch.items()},
    "best_lightgcn_kernel": KERNELS[best],
    "chosen_kernel": chosen,
    "ratio_ltgnn_mf": round(epoch["ltgnn"] / epoch["mf"], 3),
    "ratio_rounds_ltgnn": round(epoch["ltgnn_rounds"] / epoch["ltgnn"], 3),
    "ratio_best_ltgnn": round(epoch["best_lightgcn"] / epoch["ltgnn"], 1),
    "ratio_pyg_ltgnn": round(epoch["pyg_lightgcn"] / epoch["ltgnn"], 1),
    "turns_s": {k: [round(s, 3) for s in v] for k, v in seconds.items()},
    "steps_per_epoch": num_steps,
    "rounds_per_epoch": len(loaders["ltgnn_rounds"]),
    "stages": stages,
    "copy_gb_per_s": round(bandwidth / 1e9, 1),
    "seeds_per_step": round(num_seeds),
    "edges_per_step": round(num_edges),
    "loader": {name: round(statistics.median(v), 3) for name, v in spans.items() if v},
    "objective": repr(settings["loss_fn"]),
    "weight_decay": settings["weight_decay"],
    "alpha": {name: models[name].alpha for name in ("ltgnn", "ltgnn_rounds")},
    "batch_size": args.batch_size,
    "num_neighbors": args.num_neighbors,
    "embedding_dim": args.embedding_dim,
    "lightgcn_steps_timed": args.steps,
    "pyg_steps_timed": args.pyg_steps,
    "threads": args.threads,
    "seed": args.seed,
}
print(json.dumps(result, indent=1))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
