r"""Times :meth:`~ltgnn_pyg.evaluation.evaluate` over all Gowalla users.

Vectors are random with norms that grow with popularity, and items have biases: the
time does not depend on their quality. The stages are the operators' own times in one
profiled run; `rest` is everything else (sorting and checking the pairs, the metrics,
bookkeeping). Run

    python benchmarks/evaluation.py --root DIR

which takes seconds: about 1.5 s an evaluation on two cores (AMD EPYC 9004, AVX-512).
"""

import argparse
import json
import os
import platform
from statistics import median
from time import perf_counter

import torch
from torch.profiler import ProfilerActivity, profile

from ltgnn_pyg.datasets import Gowalla
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.scorers import Vectors

STAGES = {
    "product": ["aten::addmm"],
    "masking": ["aten::_index_put_impl_"],
    "top_k": ["aten::amax", "aten::topk", "aten::gather"],
}

parser = argparse.ArgumentParser()
parser.add_argument("--root", required=True, help="the folder that holds Gowalla")
parser.add_argument("--json", help="also write the result to this file")
parser.add_argument("--embedding_dim", type=int, default=64)
parser.add_argument("--k", type=int, default=20)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(args.threads)
generator = torch.Generator().manual_seed(args.seed)

split = Gowalla(args.root).split()
train, test = split.train.edge_label_index, split.test.edge_label_index
num_users, num_items = split.train.num_users, split.train.num_items
degree = 1 + torch.bincount(train.view(-1), minlength=num_users + num_items)
embedding = torch.randn(degree.numel(), args.embedding_dim, generator=generator)
embedding *= 0.05 * degree.sqrt().view(-1, 1)
vectors = Vectors.from_embedding(embedding, num_users, degree[num_users:].log())


def run() -> float:
    r"""Evaluates all users once and returns the seconds it took."""
    start = perf_counter()
    evaluate(vectors, test, exclude_edge_index=train, k=args.k)
    return perf_counter() - start


run()  # Warm up.
seconds = median(run() for _ in range(args.repeats))
with profile(activities=[ProfilerActivity.CPU]) as prof:
    total = run()
times = {event.key: event.self_cpu_time_total / 1e6 for event in prof.key_averages()}
stages = {name: sum(times.get(op, 0.0) for op in STAGES[name]) for name in STAGES}
stages["rest"] = total - sum(stages.values())

square = torch.randn(2048, 2048, generator=generator)  # What the cores can do at best.
start = perf_counter()
for _ in range(10):
    square @ square
peak = 10 * 2 * 2048**3 / (perf_counter() - start) / 1e9

gflop = 2 * num_users * num_items * args.embedding_dim / 1e9
result = {
    "benchmark": "evaluation",
    "dataset": "gowalla",
    "num_users": num_users,
    "num_items": num_items,
    "embedding_dim": args.embedding_dim,
    "k": args.k,
    "seconds": round(seconds, 3),
    "stages": {name: round(value, 3) for name, value in stages.items()},
    "product_gflops": round(gflop / stages["product"]),
    "peak_gflops": round(peak),
    "repeats": args.repeats,
    "threads": args.threads,
    "seed": args.seed,
    "torch": torch.__version__,
    "platform": platform.platform(),
    "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    "cores": os.cpu_count(),
}
line = json.dumps(result)
print(line)
if args.json is not None:
    with open(args.json, "w") as f:
        f.write(line + "\n")
