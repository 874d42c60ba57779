"""The seconds of an epoch: LTGNN beside matrix factorisation and LightGCN.

    python benchmarks/speed.py --root data --dataset gowalla --json out.jsonl

All train with BPR and one negative at the same batch size, in one process, in turns;
figures are medians over the turns. LTGNN and MF are timed over whole epochs, the
LightGCNs over a few steps, times the steps of an epoch.

- ltgnn: ltgnn_pyg.nn.LTGNN, the paper's step on the batches of a VRNeighborLoader.
- ltgnn_rounds: the same model on the 80 exact rounds of a PairLoader.
- mf: ltgnn_pyg.nn.MatrixFactorization, a PairLoader of single batches.
- bags_, matmul_ and reduction_lightgcn: ltgnn_pyg.nn.LightGCN, three layers, over the
  whole graph in each batch, as in its paper, with a matrix normalised once; by each
  kernel of ltgnn_pyg.graph.product. best_lightgcn is the fastest of them, and
  chosen_kernel what the package takes here of itself.
- pyg_lightgcn: torch_geometric.nn.LightGCN, three layers, trained as PyG's example
  trains it.
"""

import warnings
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

import torch
from record import arguments, begin, seconds, write
from sets import load_split
from torch_geometric.nn import LightGCN as PyGLightGCN

from ltgnn_pyg import LTGNN, Graph, PairLoader, VRNeighborLoader
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.graph.product import KERNELS
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization

PRODUCT = "product on cpu in float32"

parser = arguments(__doc__)
parser.add_argument("--batch-size", type=int, default=2048)
parser.add_argument("--num-neighbors", type=int, default=5)
parser.add_argument("--turns", type=int, default=3)
parser.add_argument("--steps", type=int, default=15, help="of LightGCN, a turn")
parser.add_argument("--pyg-steps", type=int, default=4, help="of PyG's, a turn")
args = begin(parser)

warnings.filterwarnings("ignore", message="Using 'NeighborSampler' without")
train = load_split(args.dataset, args.root).train
graph = Graph.from_interactions(train)
data, pairs = graph.to_data(), graph.target_edges
sizes = (train.num_users, train.num_items, args.embedding_dim)
settings = {"loss_fn": BPRLoss(), "weight_decay": 2e-4, "init_std": 0.1}
models = {
    "ltgnn": LTGNN(*sizes, alpha=0.45, **settings),
    "ltgnn_rounds": LTGNN(*sizes, **settings),
    "mf": MatrixFactorization(*sizes, **settings),
    "lightgcn": LightGCN(*sizes, **settings),
}
batch = {"batch_size": args.batch_size, "neg_sampling": "triplet"}
num_steps = -(-len(train) // args.batch_size)
by_batch = PairLoader(graph, **batch, num_rounds=num_steps, leave_out=False)
loaders: dict[str, Any] = {
    "ltgnn": VRNeighborLoader(graph, models["ltgnn"], args.num_neighbors, **batch),
    "ltgnn_rounds": PairLoader(graph, **batch),
    "mf": by_batch,
    "lightgcn": by_batch,
}
optimizers = {name: RowAdam(model.parameters()) for name, model in models.items()}


def run(name: str, steps: int | None = None) -> None:
    """An epoch of a model or some steps of it, as a user writes them."""
    model, optimizer = models[name], optimizers[name]
    for batch in islice(loaders[name], steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()


def run_by(kernel: str, steps: int) -> None:
    """Some steps of LightGCN by a kernel."""
    with kernels.run({PRODUCT: kernel}):
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


contestants = {n: (partial(run, n), None) for n in ("ltgnn", "ltgnn_rounds", "mf")}
for kernel in KERNELS:
    contestants[f"{kernel}_lightgcn"] = (partial(run_by, kernel), args.steps)
contestants["pyg_lightgcn"] = (run_pyg, args.pyg_steps)
for name, (function, _) in contestants.items():
    function(20 if name in ("ltgnn", "mf") else 1)  # Warms up.
times: dict[str, list[float]] = {name: [] for name in contestants}
for _ in range(args.turns):
    for name, (function, steps) in contestants.items():
        times[name].append(seconds(partial(function, steps)))
epoch = {
    name: median(times[name]) * (num_steps / steps if steps else 1)
    for name, (_, steps) in contestants.items()
}
best = min(KERNELS, key=lambda kernel: epoch[f"{kernel}_lightgcn"])
epoch["best_lightgcn"] = epoch[f"{best}_lightgcn"]
result = {
    **{f"{name}_epoch_s": round(value, 3) for name, value in epoch.items()},
    "best_lightgcn_kernel": best,
    "chosen_kernel": kernels.chosen()[PRODUCT],
    "ratio_ltgnn_mf": round(epoch["ltgnn"] / epoch["mf"], 3),
    "ratio_rounds_ltgnn": round(epoch["ltgnn_rounds"] / epoch["ltgnn"], 3),
    "ratio_best_ltgnn": round(epoch["best_lightgcn"] / epoch["ltgnn"], 1),
    "ratio_pyg_ltgnn": round(epoch["pyg_lightgcn"] / epoch["ltgnn"], 1),
    "turns_s": {k: [round(s, 3) for s in v] for k, v in times.items()},
    "steps_per_epoch": num_steps,
    "rounds_per_epoch": len(loaders["ltgnn_rounds"]),
    "objective": repr(settings["loss_fn"]),
    "weight_decay": settings["weight_decay"],
    "alpha": {name: models[name].alpha for name in ("ltgnn", "ltgnn_rounds")},
    "lightgcn_steps_timed": args.steps,
    "pyg_steps_timed": args.pyg_steps,
}
given = ("batch_size", "num_neighbors", "embedding_dim")
write(args, result | {name: vars(args)[name] for name in given})
