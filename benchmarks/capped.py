"""Trains a graph whose tables exceed the memory a process may have.

    python benchmarks/capped.py --json out.json

Runs the same steps twice under a cap on private memory (RLIMIT_DATA, the `ulimit -d`
of a shell): with all tables in memory, and with tables and graph mapped from files
(ltgnn_pyg.inputs.memory_map). The first is to fail, the second to end with the very
loss of a run in memory without the cap.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from torch_geometric.data import Data

from ltgnn_pyg import LTGNN, StratifiedNeighborSampler, VRNeighborLoader
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions
from ltgnn_pyg.graph.adjacency import normalized_adj
from ltgnn_pyg.inputs.memory_map import memory_map, memory_map_
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import BPRLoss

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--interactions", type=int, default=3_000_000)
parser.add_argument("--cap-mb", type=int, default=1000)
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--json", type=Path)
parser.add_argument("--run", nargs=3, metavar=("KIND", "CAP_MB", "FOLDER"))
args = parser.parse_args()
sizes = (args.interactions // 10, args.interactions // 20)
torch.set_num_threads(args.threads)


def build(folder: Path) -> None:
    """Leaves the graph and the training pairs on files."""
    interactions = synthetic_interactions(*sizes, args.interactions, seed=args.seed)
    train = split_ratio(interactions, val_ratio=0.0).train
    adj_t = normalized_adj(train.to_data().edge_index, num_nodes=sum(sizes))
    memory_map(adj_t, folder / "adj")
    memory_map(train.edge_label_index, folder / "pairs")
    meta = {"nnz": adj_t.values().numel(), "pairs": len(train)}
    (folder / "meta.json").write_text(json.dumps(meta))


def train(kind: str, cap_mb: int, folder: Path) -> None:
    """Some steps under the cap; prints a JSON line."""
    if cap_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (cap_mb * 2**20,) * 2)
    meta = json.loads((folder / "meta.json").read_text())
    num_nodes = sum(sizes)

    def load(name: str, size: int, dtype: torch.dtype) -> torch.Tensor:
        mapped = torch.from_file(str(folder / name), True, size, dtype=dtype)
        return mapped if kind == "mapped" else mapped.clone()

    adj_t = torch.sparse_csr_tensor(
        load("adj.crow", num_nodes + 1, torch.int32),
        load("adj.col", meta["nnz"], torch.int32),
        load("adj.value", meta["nnz"], torch.float),
        (num_nodes, num_nodes),
        check_invariants=False,
    )
    pairs = load("pairs", 2 * meta["pairs"], torch.long).view(2, -1)
    with torch.device("meta" if kind == "mapped" else "cpu"):
        model = LTGNN(*sizes, loss_fn=BPRLoss(), init_std=0.1)
        model.history.allocate()
    if kind == "mapped":
        memory_map_(model, folder / "tables")
    torch.manual_seed(args.seed)
    model.reset_parameters()
    optimizer = RowAdam(model.parameters())
    if kind == "mapped":
        memory_map_(optimizer, folder / "tables")
    loader = VRNeighborLoader(
        Data(num_nodes=num_nodes, num_users=sizes[0]),
        model,
        edge_label_index=pairs,
        batch_size=2048,
        neg_sampling="triplet",
        sampler=StratifiedNeighborSampler(adj_t),
    )
    next(iter(loader))  # Fills the history.
    torch.manual_seed(args.seed)
    start = time.perf_counter()
    for batch in islice(loader, args.steps):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
    seconds = (time.perf_counter() - start) / args.steps
    print(json.dumps({"loss": float(loss.detach()), "seconds_per_step": seconds}))


if args.run:
    train(args.run[0], int(args.run[1]), Path(args.run[2]))
    sys.exit()
with tempfile.TemporaryDirectory() as temp:
    build(Path(temp))
    rows: dict[str, dict | None] = {}
    for name, kind, cap in (
        ("in memory", "memory", 0),
        ("in memory, capped", "memory", args.cap_mb),
        ("mapped, capped", "mapped", args.cap_mb),
    ):
        command = [sys.executable, __file__, "--run", kind, str(cap), temp]
        command += ["--interactions", str(args.interactions)]
        command += ["--steps", str(args.steps), "--seed", str(args.seed)]
        command += ["--threads", str(args.threads)]
        out = subprocess.run(command, capture_output=True, text=True)
        rows[name] = json.loads(out.stdout) if out.returncode == 0 else None
        end = out.stderr.strip().splitlines()[-1:] if out.returncode else ""
        print(name, rows[name] or end, flush=True)
    tables = sum(p.stat().st_size for p in Path(temp).rglob("*") if p.is_file())
result = {
    "interactions": args.interactions,
    "num_users": sizes[0],
    "num_items": sizes[1],
    "tables_and_graph_mb": round(tables / 2**20),
    "cap_mb": args.cap_mb,
    "runs": rows,
    "steps": args.steps,
    "threads": args.threads,
    "seed": args.seed,
}
print(json.dumps(result))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
