"""The price of smaller item tables: recall, overlap with the exact lists, bytes, time.

    python benchmarks/export.py --dataset gowalla --root data --json out.jsonl

LTGNN is trained by `fit` and exported. Each way makes the lists of all users of the
test part: `float32` (`top_k`), `int8` (`to_int8`), and `onnx` (`to_onnx` under
onnxruntime). `item_bytes` are those of an item, its bias included. `ms` is the time of
one list, a user at a time.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from ranks import Ranks
from record import arguments, begin, seconds, write
from sets import load_split
from torch import Tensor

from ltgnn_pyg import LTGNN, Vectors, fit
from ltgnn_pyg.export import quantize_rows, to_int8, to_onnx
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import top_k

parser = arguments(__doc__)
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--queries", type=int, default=500, help="that are timed")
args = begin(parser)
split = load_split(args.dataset, args.root, 0.1, args.order)
model = LTGNN(split.train.num_users, split.train.num_items)
report = fit(model, split, max_epochs=args.epochs)
vectors = report.vectors
work = Path(tempfile.mkdtemp())
run = RunFolder.write(work / "run", vectors, split, {"model": model.settings()})
users, row = split.test.user.unique(return_inverse=True)
few = users[torch.randperm(len(users))[: args.queries]].split(1)
rowptr, col = run.seen


def listed(scorer: Vectors, user: Tensor = users) -> Tensor:
    """The lists of users, the items they know left out."""
    return top_k(scorer, 20, user=user, exclude=run.seen)[1]


def clock(query: Callable[[Tensor], Any]) -> float:
    """Milliseconds of a query, the median of many."""
    times = [seconds(lambda user=user: query(user)) for user in (*few[:20], *few)]
    return round(1e3 * median(times[len(few[:20]) :]), 3)  # The first ones warm up.


def measured(items: Tensor, item_bytes: int, ms: float | None) -> dict[str, Any]:
    """The recall of lists, and their overlap with the exact ones."""
    recall, base = (
        float(Ranks.of_lists(row, split.test.item, users, lists).recall().mean())
        for lists in (items, exact)
    )
    same = (items.unsqueeze(2) == exact.unsqueeze(1)).any(2) & (items >= 0)
    overlap = round(float(same.sum() / (exact >= 0).sum()), 4)
    lost = {"recall@20": round(recall, 5), "loss": round(base - recall, 5)}
    return {**lost, "overlap@20": overlap, "item_bytes": item_bytes, "ms": ms}


exact = listed(vectors)
bias_bytes = 0 if vectors.item_bias is None else 4
dim, ms = vectors.dim, clock(lambda user: listed(vectors, user))
ways = {"float32": measured(exact, 4 * dim + bias_bytes, ms)}

(file,) = to_int8(run, work)  # A byte a number, to be read elsewhere.
tables = map(quantize_rows, (vectors.user, vectors.item))
rounded = Vectors(*(q * a.unsqueeze(1) for q, a in tables), vectors.item_bias)
ways["int8"] = measured(listed(rounded), dim + 4 + bias_bytes, None)
ways["int8"]["file_bytes"] = file.stat().st_size

graph = to_onnx(run, work)[0]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = args.threads
session = onnxruntime.InferenceSession(graph, options)


def by_onnx(index: Tensor) -> np.ndarray:
    """Lists of some users."""
    rows = [col[rowptr[u] : rowptr[u + 1]] for u in index.tolist()]
    exclude = torch.nn.utils.rnn.pad_sequence(rows, True, -1).numpy()
    feed = {"user": index.numpy(), "exclude": exclude, "k": np.array([20])}
    return session.run(["items"], feed)[0]


items = torch.from_numpy(np.concatenate([by_onnx(part) for part in users.split(64)]))
ways["onnx"] = measured(items, 4 * dim + 4, clock(by_onnx))
ways["onnx"]["file_bytes"] = graph.stat().st_size
shutil.rmtree(work)
size = {"users": vectors.num_users, "items": vectors.num_items, "dim": dim}
write(args, {**size, "epochs": report.epochs, "ways": ways, "queries": len(few)})
