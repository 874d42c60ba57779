"""What smaller item tables cost: recall, overlap with the exact lists, bytes, time.

    python benchmarks/export.py --dataset gowalla --root data --json out.json

LTGNN is trained by `fit` and exported. Each way makes the lists of all users of the
test part: `float32` (`top_k`), `int8` (`to_int8`), `onnx` (`to_onnx` under
onnxruntime), and product quantisation by faiss, `pq8` to `pq32` by the bytes of a row,
also with the best 200 scored again by the rows of `int8`. `item_bytes` are those of an
item, its bias included. `ms` is what one list takes, a user at a time: of `int8` in
JavaScript, where node is installed; of `pq` nothing is left out of the list.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnxruntime
import torch
from sets import HELP, load_split
from torch import Tensor
from torch_geometric.metrics import LinkPredRecall
from tqdm import tqdm

from ltgnn_pyg import LTGNN, Vectors, fit
from ltgnn_pyg.export import quantize_rows, to_int8, to_onnx
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.runs.run_folder import RunFolder

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="gowalla", help=HELP)
parser.add_argument("--root", default="data")
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--queries", type=int, default=500, help="that are timed")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
faiss.omp_set_num_threads(args.threads)
torch.manual_seed(args.seed)
split = load_split(args.dataset, args.root, 0.1)
model = LTGNN(split.train.num_users, split.train.num_items)
report = fit(model, split, max_epochs=args.epochs)
vectors = report.vectors
work = Path(tempfile.mkdtemp())
config = {"model": model.settings()}
run = RunFolder.write(work / "run", vectors, split, config)

users, row = split.test.user.unique(return_inverse=True)
order = row.argsort()
label = row[order], split.test.item[order]
generator = torch.Generator().manual_seed(args.seed)
few = users[torch.randperm(len(users), generator=generator)[: args.queries]].tolist()


def clock(query: Callable[[int], Any]) -> float:
    """Milliseconds of a query, the median of many."""
    for user in few[:20]:  # Warms up.
        query(user)
    times = []
    for user in few:
        start = time.perf_counter()
        query(user)
        times.append(1e3 * (time.perf_counter() - start))
    return round(float(np.median(times)), 3)


def listed(scorer: Vectors, k: int = 20) -> Tensor:
    """The lists of all users, what they know left out."""
    return top_k(scorer, k, user=users, exclude=run.seen)[1]


def measured(items: Tensor, item_bytes: int, ms: float | None) -> dict[str, Any]:
    """How good the lists are, and how like the exact ones."""
    recall = LinkPredRecall(20)
    recall.update(items, label)
    value = float(recall.accum.double() / recall.total)
    same = (items.unsqueeze(2) == exact.unsqueeze(1)).any(2) & (items >= 0)
    overlap = float(same.sum() / (exact >= 0).sum())
    return {
        "recall@20": round(value, 5),
        "loss": round(baseline - value, 5) if baseline is not None else 0.0,
        "overlap@20": round(overlap, 4),
        "item_bytes": item_bytes,
        "ms": ms,
    }


def exact_query(user: int) -> None:
    """A list by `top_k`."""
    top_k(vectors, 20, user=torch.tensor([user]), exclude=run.seen)


# Exact lists, by which the others are measured.
bias_bytes = 0 if vectors.item_bias is None else 4
dim, baseline = vectors.dim, None
exact = listed(vectors)
ways = {"float32": measured(exact, 4 * dim + bias_bytes, clock(exact_query))}
baseline = ways["float32"]["recall@20"]

# A byte a number, read in JavaScript.
(file,) = to_int8(run, work)
NODE = """
const { Int8Model } = require(process.argv[1]);
const bytes = require("fs").readFileSync(process.argv[2]);
const model = new Int8Model(new Uint8Array(bytes).buffer);
const users = JSON.parse(process.argv[3]);
const times = users.map((user) => {
  const start = performance.now();
  model.topK(model.vector(user), 20, model.seen(user));
  return performance.now() - start;
});
times.sort((a, b) => a - b);
console.log(times[times.length >> 1]);
"""
ms = None
if shutil.which("node") is not None:
    reader = Path(__file__).parents[1] / "examples" / "offline" / "reader.js"
    command = ["node", "-e", NODE, str(reader), str(file), json.dumps(few)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ms = round(float(text), 3)
rounded = Vectors(
    *(q * a.unsqueeze(1) for q, a in map(quantize_rows, (vectors.user, vectors.item))),
    vectors.item_bias,
)
ways["int8"] = measured(listed(rounded), dim + 4 + bias_bytes, ms)
ways["int8"]["file_bytes"] = file.stat().st_size

# ONNX, a few users at a time, and one to be timed.
graph = to_onnx(run, work)[0]
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = args.threads
session = onnxruntime.InferenceSession(graph, settings)
rowptr, col = run.seen


def by_onnx(index: Tensor) -> np.ndarray:
    """Lists of some users."""
    rows = [col[rowptr[u] : rowptr[u + 1]] for u in index.tolist()]
    exclude = torch.nn.utils.rnn.pad_sequence(rows, True, -1).numpy()
    feed = {"user": index.numpy(), "exclude": exclude, "k": np.array([20])}
    return session.run(["items"], feed)[0]


parts = [by_onnx(part) for part in tqdm(users.split(64), "ONNX", disable=None)]
items = torch.from_numpy(np.concatenate(parts))
ms = clock(lambda user: by_onnx(torch.tensor([user])))
ways["onnx"] = measured(items, 4 * dim + 4, ms)
ways["onnx"]["file_bytes"] = graph.stat().st_size

# Product quantisation: a score is that with the decoded row, so lists are of these.
table = vectors.item.float().contiguous().numpy()
queries = vectors.user.float().contiguous().numpy()


def again(index: Tensor, found: Tensor) -> Tensor:
    """The best 20 of some items by the rows of int8."""
    safe = found.clamp(min=0)
    score = torch.einsum("ud,und->un", rounded.user[index], rounded.item[safe])
    if rounded.item_bias is not None:
        score += rounded.item_bias[safe]
    score.masked_fill_(found < 0, -torch.inf)
    return found.gather(1, score.topk(min(20, found.size(1)), 1).indices)


for size in (8, 16, 32):
    if dim % size != 0:
        continue
    index = faiss.IndexPQ(dim, size, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(table)
    index.add(table)
    decoded = torch.from_numpy(index.reconstruct_n(0, len(table)))
    near = Vectors(vectors.user, decoded, vectors.item_bias)

    def by_pq(user: int, search: Any = index) -> Tensor:
        """The best 200 of a user."""
        found = search.search(queries[user : user + 1], 200)[1]
        return torch.from_numpy(found)

    found = listed(near, 200)
    ways[f"pq{size}"] = measured(found[:, :20], size + bias_bytes, clock(by_pq))
    parts = zip(users.split(256), found.split(256), strict=True)
    items = torch.cat([again(*part) for part in parts])

    def by_both(user: int) -> None:
        """The best 20 of these."""
        again(torch.tensor([user]), by_pq(user))

    both = size + dim + 4 + bias_bytes
    ways[f"pq{size}+int8"] = measured(items, both, clock(by_both))

shutil.rmtree(work)
result = {
    "dataset": args.dataset,
    "users": vectors.num_users,
    "items": vectors.num_items,
    "dim": dim,
    "epochs": report.epochs,
    "ways": ways,
    "queries": len(few),
    "threads": args.threads,
    "seed": args.seed,
}
for name, way in ways.items():
    print(f"{name:12s}", *(f"{key} {value}" for key, value in way.items()))
if args.json is not None:
    args.json.write_text(json.dumps(result) + "\n")
