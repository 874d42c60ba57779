import itertools

import pytest
import torch
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling

from ltgnn_pyg import Graph, History, StratifiedNeighborSampler, normalized_adj
from tests.dense import dense_adj, padded


@pytest.fixture
def adj_t(graph):
    return normalized_adj(graph.edge_index, None, graph.num_nodes)


def double(graph):
    """The graph, with a matrix of double precision."""
    graph = Graph.from_data(graph)
    return graph.with_operator(graph.matrix.to(torch.double))


def draws(sampler, seed, monkeypatch):
    """All samples of one seed: one for each way to draw from the strata."""
    adj_t = sampler.operator
    degree = int(adj_t.rowptr[seed + 1] - adj_t.rowptr[seed])
    k = min(degree, sampler.num_neighbors)
    sizes = [(t + 1) * degree // k - t * degree // k for t in range(k)]
    for choice in itertools.product(*map(range, sizes)):
        u = torch.tensor([(c + 0.5) / s for c, s in zip(choice, sizes, strict=True)])
        monkeypatch.setattr(torch, "rand", lambda *size, u=u, **kw: padded(u, size))
        yield sampler.sample(torch.tensor([seed]))
    monkeypatch.undo()


@pytest.mark.parametrize("num_neighbors", [1, 2, 3, 4, 6])
def test_unbiased_by_enumeration(graph, adj_t, num_neighbors, monkeypatch):
    """The mean over all samples is the exact aggregate, and no draw repeats."""
    z = torch.randn(graph.num_nodes, 3, dtype=torch.double)
    exact = dense_adj(graph.edge_index, graph.num_nodes) @ z
    sampler = StratifiedNeighborSampler(adj_t.to(torch.double), num_neighbors)
    for seed in range(graph.num_nodes):
        total, num = 0.0, 0
        for neighbor, weight, ptr in draws(sampler, seed, monkeypatch):
            assert neighbor.unique().numel() == neighbor.numel() <= num_neighbors
            assert ptr.tolist() == [0, neighbor.numel()]
            total, num = total + weight @ z[neighbor], num + 1
        torch.testing.assert_close(total / num, exact[seed])


@pytest.mark.parametrize("num_neighbors", [1, 2, 3])
def test_control_variate_variance(graph, num_neighbors, monkeypatch):
    """Zero when the history is the reference; below plain sampling's near it."""
    whole, n = double(graph), graph.num_nodes
    z_ref = torch.randn(n, 3, dtype=torch.double)
    adj = dense_adj(graph.edge_index, n)
    sampler = StratifiedNeighborSampler(whole.matrix, num_neighbors)
    history = History(n, 3, dtype=torch.double)
    for z_hist in (z_ref, z_ref + 0.1 * torch.randn_like(z_ref)):
        history.refresh(whole, z_ref)
        history.push(torch.arange(n), z_hist)
        exact = adj @ z_hist
        variance = {"control variate": 0.0, "plain": 0.0}
        for seed in range(n):
            samples = list(draws(sampler, seed, monkeypatch))
            index = torch.tensor([seed])
            with_cv = torch.cat(
                [
                    history.pull("aggregate", index)
                    + history.pull("difference", *sample)
                    for sample in samples
                ]
            )
            plain = torch.cat([history.pull("output", *sample) for sample in samples])
            for name, rows in (("control variate", with_cv), ("plain", plain)):
                torch.testing.assert_close(rows.mean(0), exact[seed])
                variance[name] += float(rows.var(0, correction=0).sum())
        assert variance["plain"] > 0.0
        if z_hist is z_ref:
            assert variance["control variate"] < 1e-24
        else:
            assert 0.0 < variance["control variate"] < variance["plain"]


def test_all_neighbors_are_the_matrix_rows(graph, adj_t):
    sampler = StratifiedNeighborSampler(adj_t, -1)
    seed = torch.randperm(graph.num_nodes)
    neighbor, weight, ptr = sampler.sample(seed)
    dense = torch.zeros(graph.num_nodes, graph.num_nodes)
    dense[seed.repeat_interleave(ptr.diff()), neighbor] = weight
    torch.testing.assert_close(dense, adj_t.to_dense())


def test_no_neighbors(graph, adj_t):
    seed = torch.arange(graph.num_nodes)
    neighbor, weight, ptr = StratifiedNeighborSampler(adj_t, 0).sample(seed)
    assert neighbor.numel() == weight.numel() == ptr.sum() == 0


def test_large_strata_stay_in_their_row():
    """A hub next to another row: no draw leaves the hub's neighbours."""
    num = 100_000
    hub = torch.zeros(num, dtype=torch.long)
    edge_index = torch.stack([torch.arange(1, num + 1), hub])
    adj_t = normalized_adj(torch.cat([edge_index, edge_index.flip(0)], 1))
    neighbor, _, ptr = StratifiedNeighborSampler(adj_t, 7).sample(
        torch.tensor([0, num])
    )
    assert ptr.tolist() == [0, 7, 8] and neighbor[-1] == 0
    assert neighbor[:7].min() >= 1
    expected = torch.arange(7) * num // 7
    assert (neighbor[:7] - 1 >= expected).all()
    assert (neighbor[:7] - 1 < (torch.arange(7) + 1) * num // 7).all()


def test_generator_decides(graph, adj_t):
    def sample(seed):
        generator = torch.Generator().manual_seed(seed)
        sampler = StratifiedNeighborSampler(adj_t, 2, generator)
        return sampler.sample(torch.arange(graph.num_nodes))[0].tolist()

    assert sample(1) == sample(1) != sample(2)


def test_isolated_seeds_have_no_neighbors():
    adj_t = normalized_adj(torch.tensor([[0], [1]]), None, 4)
    neighbor, _, ptr = StratifiedNeighborSampler(adj_t, 3).sample(torch.arange(4))
    assert ptr.tolist() == [0, 0, 1, 1, 1] and neighbor.tolist() == [0]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_in_pyg_node_loader(graph, adj_t, num_workers):
    graph.x = torch.randn(graph.num_nodes, 2)
    loader = NodeLoader(
        graph,
        StratifiedNeighborSampler(adj_t, 2),
        batch_size=3,
        num_workers=num_workers,
    )
    edges = set(zip(*graph.edge_index.tolist(), strict=True))
    seen = 0
    for batch in loader:
        seeds = batch.num_sampled_nodes[0]
        seen += seeds
        assert torch.equal(batch.n_id[:seeds], batch.input_id)
        assert torch.equal(batch.x, graph.x[batch.n_id])
        assert batch.edge_index.size(1) <= 2 * seeds
        source, target = batch.n_id[batch.edge_index]
        assert set(zip(source.tolist(), target.tolist(), strict=True)) <= edges
    assert seen == graph.num_nodes


@pytest.mark.parametrize("mode", ["triplet", "binary", None])
def test_in_pyg_link_loader(graph, adj_t, pairs, mode):
    loader = LinkLoader(
        graph,
        StratifiedNeighborSampler(adj_t, 2),
        pairs,
        neg_sampling=None if mode is None else NegativeSampling(mode, 2),
        batch_size=4,
    )
    for batch in loader:
        if mode == "triplet":
            src, dst = batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]
            assert batch.dst_neg_index.shape == (src.numel(), 2)
        else:
            positive = batch.edge_label == 1 if mode else slice(None)
            src, dst = batch.n_id[batch.edge_label_index[:, positive]]
        assert torch.equal(torch.stack([src, dst]), pairs[:, batch.input_id])


def test_bad_arguments(graph, adj_t):
    with pytest.raises(ValueError, match="CSROperator"):
        StratifiedNeighborSampler(graph.edge_index)
    with pytest.raises(ValueError, match="'num_neighbors'"):
        StratifiedNeighborSampler(adj_t, -2)
