"""Processes of a test, which meet over a file and the loopback."""

import multiprocessing
import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ltgnn_pyg.distributed.process_group import use_loopback


def _work(rank, function, world_size, file, args):
    torch.set_num_threads(1)
    use_loopback()
    dist.init_process_group(
        "gloo",
        init_method=f"file://{file}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    function(*args)
    dist.barrier()
    dist.destroy_process_group()


def launch(function, world_size, folder, *args, seconds=90):
    """Runs a function in some processes, which are killed if they do not end."""
    # One process imports all, and the others are its copies, made before it computes.
    multiprocessing.set_forkserver_preload(["torch", "ltgnn_pyg", function.__module__])
    file = os.path.join(folder, f"{function.__name__}.{world_size}.store")
    context = mp.start_processes(
        _work,
        (function, world_size, file, args),
        nprocs=world_size,
        join=False,
        start_method="forkserver",
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if context.join(timeout=1):
            return
    for process in context.processes:
        process.kill()
    raise AssertionError("the processes did not end")
