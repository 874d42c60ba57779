"""How fast blocks of a table pass between processes, as those of a product do.

    torchrun --nproc-per-node 2 benchmarks/bandwidth.py --json out.json

Each process sends blocks of --megabytes to the next one, and receives those of the one
before; the seconds are the median of --turns.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from ltgnn_pyg.distributed import init_process_group

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--megabytes", type=int, default=64)
parser.add_argument("--turns", type=int, default=9)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--json", type=Path)
args = parser.parse_args()

torch.set_num_threads(args.threads)
device = init_process_group()
rank, size = dist.get_rank(), dist.get_world_size()
sent = torch.ones(args.megabytes * 2**18, device=device)
received = torch.empty_like(sent)
seconds = []
for _ in range(args.turns + 1):  # The first one connects.
    dist.barrier()
    start = time.perf_counter()
    ops = [
        dist.P2POp(dist.isend, sent, (rank + 1) % size),
        dist.P2POp(dist.irecv, received, (rank - 1) % size),
    ]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds.append(time.perf_counter() - start)
if rank == 0:
    each = median(seconds[1:])
    result = {"backend": dist.get_backend(), "processes": size,
              "megabytes": args.megabytes, "seconds": each,
              "gigabytes_a_second": sent.nbytes / each / 1e9}  # fmt: skip
    print(json.dumps(result))
    if args.json is not None:
        args.json.write_text(json.dumps(result) + "\n")
dist.destroy_process_group()
