"""DistributedDataParallel with its default settings, two processes over gloo."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ltgnn_pyg import LTGNN, Graph, PairLoader
from ltgnn_pyg.distributed.recommender import take_share
from ltgnn_pyg.nn import LightGCN
from tests.distributed.launch import launch
from tests.toy import blocks

WORLD = 2


def build(cls):
    torch.manual_seed(7)
    train = blocks().train
    model = cls(train.num_users, train.num_items, 8, weight_decay=0.1).double()
    loader = PairLoader(Graph.from_interactions(train), batch_size=16, num_rounds=6)
    return model, list(loader)


def share(batch, rank):
    """Every other micro-batch of a round, with the graph of the whole round."""
    out = take_share(batch, rank, WORLD)
    out.graph = batch.graph
    return out


def train(model, batches):
    module = model.module if isinstance(model, DistributedDataParallel) else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for batch in batches:
        optimizer.zero_grad()
        model(batch).backward()
        optimizer.step()
    return module.inputs.weight.detach()


def even(batches):
    """Those that two processes can halve."""
    return [b for b in batches if len(b.pair_ptr) % 2 == 1 and b.pair_ptr[-1] % 32 == 0]


def work(out):
    rank = dist.get_rank()
    for cls in (LTGNN, LightGCN):
        model, batches = build(cls)
        parallel = DistributedDataParallel(model)
        table = train(parallel, [share(batch, rank) for batch in even(batches)])
        torch.save(table, out / f"{cls.__name__}.{rank}")
        # Were it the last to hold the group, the group's threads would be joined under
        # Python's lock, which one of them may wait for: neither would end.
        del parallel


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    launch(work, WORLD, tmp_path, tmp_path)
    for cls in (LTGNN, LightGCN):
        model, batches = build(cls)
        assert len(even(batches)) >= 4
        start = model.inputs.weight.detach().clone()
        expected = train(model, even(batches))
        assert not torch.allclose(expected, start)
        for rank in range(WORLD):
            table = torch.load(tmp_path / f"{cls.__name__}.{rank}")
            torch.testing.assert_close(table, expected, atol=1e-6, rtol=1e-6)
