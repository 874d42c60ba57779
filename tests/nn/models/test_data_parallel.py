"""DistributedDataParallel with its default settings, two processes over gloo."""

import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from ltgnn_pyg import LTGNN, PairLoader
from ltgnn_pyg.nn import LightGCN
from tests.toy import blocks

WORLD = 2


def build(cls):
    torch.manual_seed(7)
    train = blocks().train
    model = cls(train.num_users, train.num_items, 8, weight_decay=0.1).double()
    loader = PairLoader(train.to_data(), batch_size=16, num_rounds=6)
    return model, list(loader)


def share(batch, rank):
    """Every other micro-batch of a round, with the graph of the whole round."""
    out = batch.clone()
    parts = range(len(batch.pair_ptr) - 1)[rank::WORLD]
    pairs = torch.cat([torch.arange(*batch.pair_ptr[i : i + 2]) for i in parts])
    seeds = torch.cat([torch.arange(*batch.seed_ptr[i : i + 2]) for i in parts])
    place = torch.full((batch.num_seeds,), -1)
    place[seeds] = torch.arange(seeds.numel())
    out.n_id, out.num_seeds = batch.n_id[seeds], seeds.numel()
    out.src_index = place[batch.src_index[pairs]]
    out.dst_pos_index = place[batch.dst_pos_index[pairs]]
    out.pair_ptr, out.seed_ptr = [0], [0]
    for i in parts:
        for ptr, of in ((out.pair_ptr, batch.pair_ptr), (out.seed_ptr, batch.seed_ptr)):
            ptr.append(ptr[-1] + of[i + 1] - of[i])
    return out


def train(model, batches):
    module = model.module if isinstance(model, DistributedDataParallel) else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for batch in batches:
        optimizer.zero_grad()
        model(batch).backward()
        optimizer.step()
    return module.embedding.weight.detach()


def even(batches):
    """Those that two processes can halve."""
    return [b for b in batches if len(b.pair_ptr) % 2 == 1 and b.pair_ptr[-1] % 32 == 0]


def work(rank, file, out):
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # The processes are of this machine.
    dist.init_process_group(
        "gloo",
        init_method=f"file://{file}",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=60),
    )
    for cls in (LTGNN, LightGCN):
        model, batches = build(cls)
        parallel = DistributedDataParallel(model)
        table = train(parallel, [share(batch, rank) for batch in even(batches)])
        torch.save(table, os.path.join(out, f"{cls.__name__}.{rank}"))
        # Were it the last to hold the group, the group's threads would be joined under
        # Python's lock, which one of them may wait for: neither would end.
        del parallel
    dist.destroy_process_group()


def launch(folder):
    """Runs the processes, which are killed if they do not end."""
    context = mp.spawn(work, (str(folder / "store"), str(folder)), WORLD, join=False)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if context.join(timeout=1):
            return
    for process in context.processes:
        process.kill()
    raise AssertionError("the processes did not end")


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    launch(tmp_path)
    for cls in (LTGNN, LightGCN):
        model, batches = build(cls)
        assert len(even(batches)) >= 4
        start = model.embedding.weight.detach().clone()
        expected = train(model, even(batches))
        assert not torch.allclose(expected, start)
        for rank in range(WORLD):
            table = torch.load(tmp_path / f"{cls.__name__}.{rank}")
            torch.testing.assert_close(table, expected, atol=1e-6, rtol=1e-6)
