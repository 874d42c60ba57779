import itertools
from collections import Counter

import pytest
import torch
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.sampler import RandomWalkSampler


@pytest.fixture
def adj_t(graph):
    return normalized_adj(graph.edge_index, None, graph.num_nodes)


#: Users 0 to 2, items 3 and 4: every degree divides 6.
TINY = torch.tensor([[0, 0, 1, 2], [3, 4, 3, 3]])


def tiny():
    return normalized_adj(torch.cat([TINY, TINY.flip(0)], 1))


def transition(adj_t):
    dense = (adj_t.to_dense() != 0).double()
    return dense / dense.sum(1, keepdim=True).clamp(min=1)


@pytest.mark.parametrize("num_hops", [1, 2])
def test_visits_by_enumeration(num_hops, monkeypatch):
    """Over all draws, nodes are counted as often as the equation says."""
    adj_t, num_steps, p = tiny(), 2, 0.5
    # Each draw takes six values (an edge) or two (the end): all ways to draw.
    edges, ends = [(i + 0.5) / 6 for i in range(6)], [0.25, 0.75]
    kinds = [*[edges] * num_hops, ends, *[edges] * num_hops]
    ways = torch.tensor(list(itertools.product(*kinds)), dtype=torch.double)
    sampler = RandomWalkSampler(
        adj_t,
        num_walks=1,
        num_steps=num_steps,
        num_hops=num_hops,
        termination_prob=p,
    )
    power = torch.linalg.matrix_power(transition(adj_t), num_hops)
    for seed in range(5):
        draws = iter(ways.t())
        monkeypatch.setattr(torch, "rand", lambda *size, d=draws, **kw: next(d).clone())
        node = sampler.walk(torch.full((len(ways),), seed))
        monkeypatch.undo()
        assert next(draws, None) is None
        counted = torch.bincount(node[node >= 0], minlength=5) / len(ways)
        expected = power[seed] + (1 - p) * (power @ power)[seed]
        torch.testing.assert_close(counted.double(), expected)
        other_side = torch.arange(5) >= 3 if seed < 3 else torch.arange(5) < 3
        if num_hops == 2:
            assert counted[other_side].sum() == 0


def test_most_visited_is_the_slow_form(graph, adj_t):
    sampler = RandomWalkSampler(adj_t, 3, num_walks=4, num_steps=3)
    seed = torch.arange(graph.num_nodes).repeat(5)
    for _ in range(5):
        state = torch.get_rng_state()
        walked = sampler.walk(seed).tolist()
        torch.set_rng_state(state)
        neighbor, count = sampler.sample(seed)
        assert neighbor.size() == count.size() == (seed.numel(), 3)
        for row, nodes, counts in zip(walked, neighbor, count, strict=True):
            counter = Counter(node for node in row if node >= 0)
            order = sorted(((c, v) for v, c in counter.items()), reverse=True)[:3]
            both = zip(counts.tolist(), nodes.tolist(), strict=True)
            assert [pair for pair in both if pair[0] > 0] == order


def test_walks_end(graph, adj_t):
    seed = torch.arange(graph.num_nodes)
    for p, left in ((1.0, 1), (0.0, 4)):
        sampler = RandomWalkSampler(adj_t, num_steps=4, termination_prob=p)
        node = sampler.walk(seed).view(len(seed), 10, 4)
        assert (node[..., :left] >= 0).all() and (node[..., left:] < 0).all()


def test_no_walk_along_what_is_left_out(graph, pairs, adj_t):
    out = pairs[:, torch.randperm(pairs.size(1))[:6]]
    sampler = RandomWalkSampler(adj_t.without(out), 50, num_walks=200, num_steps=1)
    neighbor, count = sampler.sample(torch.arange(graph.num_nodes))
    edges = set(zip(*graph.edge_index.tolist(), strict=True))
    gone = set(zip(*torch.cat([out, out.flip(0)], 1).tolist(), strict=True))
    found = {
        (row, int(node))
        for row, (nodes, counts) in enumerate(zip(neighbor, count, strict=True))
        for node in nodes[counts > 0]
    }
    assert found == edges - gone  # 200 walks find every edge that is there.


def test_isolated_seeds_have_no_neighbors():
    adj_t = normalized_adj(torch.tensor([[0, 1], [1, 0]]), None, 4)
    neighbor, count = RandomWalkSampler(adj_t).sample(torch.arange(4))
    assert (count[2:] == 0).all() and (count[:2].sum(1) > 0).all()
    assert neighbor.min() >= 0 and neighbor.max() < 4
    empty = adj_t.without(torch.tensor([[0], [1]]))
    assert (RandomWalkSampler(empty).sample(torch.arange(4))[1] == 0).all()


def test_generator_decides(adj_t):
    def sample(seed):
        generator = torch.Generator().manual_seed(seed)
        return RandomWalkSampler(adj_t, generator=generator).walk(torch.arange(12))

    assert torch.equal(sample(1), sample(1)) and not torch.equal(sample(1), sample(2))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_in_pyg_node_loader(graph, adj_t, num_workers):
    graph.x = torch.randn(graph.num_nodes, 2)
    sampler = RandomWalkSampler(adj_t, 2)
    seen = 0
    for batch in NodeLoader(graph, sampler, batch_size=3, num_workers=num_workers):
        seeds = batch.num_sampled_nodes[0]
        seen += seeds
        assert torch.equal(batch.n_id[:seeds], batch.input_id)
        assert torch.equal(batch.x, graph.x[batch.n_id])
        assert 0 < batch.edge_index.size(1) <= 2 * seeds
    assert seen == graph.num_nodes


def test_in_pyg_link_loader(graph, adj_t, pairs):
    loader = LinkLoader(
        graph,
        RandomWalkSampler(adj_t, 2),
        pairs,
        neg_sampling=NegativeSampling("triplet", 2),
        batch_size=4,
    )
    for batch in loader:
        src, dst = batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]
        assert torch.equal(torch.stack([src, dst]), pairs[:, batch.input_id])


def test_bad_arguments(graph, adj_t):
    with pytest.raises(ValueError, match="CSROperator"):
        RandomWalkSampler(graph.edge_index)
    for name in ("num_neighbors", "num_walks", "num_steps", "num_hops"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            RandomWalkSampler(adj_t, **{name: 0})
    with pytest.raises(ValueError, match="'termination_prob'"):
        RandomWalkSampler(adj_t, termination_prob=1.5)
