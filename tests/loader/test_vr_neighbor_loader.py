import copy
import itertools

import pytest
import torch
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.nn import LGConv
from torch_geometric.nn import LightGCN as PyGLightGCN
from torch_geometric.sampler import BaseSampler, NeighborSampler, SamplerOutput
from torch_geometric.transforms import AddSelfLoops
from torch_geometric.typing import WITH_TORCH_SPARSE

from ltgnn_pyg import (
    LTGNN,
    Graph,
    ItemNegativeSampling,
    StratifiedNeighborSampler,
    VRNeighborLoader,
    normalized_adj,
)
from ltgnn_pyg.nn import LightGCN, history_step
from tests.dense import dense_adj, padded
from tests.loader.test_pair_loader import asymmetric


def filled(graph, **kwargs):
    """A model whose history holds random rows."""
    model = LTGNN(graph.num_users, graph.num_items, 4, alpha=0.3, **kwargs)
    model.history.refresh(Graph.from_data(graph), torch.randn(graph.num_nodes, 4))
    everything = torch.arange(graph.num_nodes)
    model.history.push(everything, torch.randn(graph.num_nodes, 4))
    model.refresh = lambda graph: None  # And keeps them.
    return model


def test_batch_fields(graph, pairs):
    loader = VRNeighborLoader(
        graph, filled(graph), 2, pairs, batch_size=4, neg_sampling="triplet"
    )
    seen = []
    for batch in loader:
        seed, size = batch.n_id[: batch.num_seeds], batch.input_id.numel()
        assert seed.unique().numel() == seed.numel()
        label = torch.stack(
            [batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]]
        )
        assert torch.equal(label, pairs[:, batch.input_id])
        assert batch.dst_neg_index.shape == (size,)
        assert (batch.n_id[batch.dst_neg_index] >= graph.num_users).all()
        index = torch.cat([batch.src_index, batch.dst_pos_index, batch.dst_neg_index])
        assert index.unique().tolist() == list(range(batch.num_seeds))
        assert batch.edge_index.size(1) == batch.edge_weight.numel()
        assert batch.edge_index.size(1) <= 2 * batch.num_seeds
        assert batch.edge_index[1].max() < batch.num_seeds
        assert batch.aggregate.shape == (batch.num_seeds, 4)
        seen += batch.input_id.tolist()
    assert sorted(seen) == list(range(pairs.size(1)))
    assert len(loader) == -(-pairs.size(1) // 4)


def test_all_neighbors_are_the_full_graph_step(graph):
    model = filled(graph)
    x = torch.randn(graph.num_nodes, 4)
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    expected = 0.7 * dense @ model.history.output() + 0.3 * x
    for num_neighbors in (-1, graph.num_nodes):
        for batch in VRNeighborLoader(graph, model, num_neighbors, batch_size=5):
            seed = batch.n_id[: batch.num_seeds]
            z = history_step(x[seed], batch.aggregate, 0.3)
            torch.testing.assert_close(z, expected[seed])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_never_serves_stale_rows(graph, num_workers):
    """What was pushed before a batch is handed out is in it, workers or not."""
    model = filled(graph)
    loader = VRNeighborLoader(graph, model, -1, batch_size=2, num_workers=num_workers)
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    for batch in loader:
        seed = batch.n_id[: batch.num_seeds]
        expected = (dense @ model.history.output())[seed]
        torch.testing.assert_close(batch.aggregate, expected)
        model.history.push(seed, torch.randn(batch.num_seeds, 4))


def test_renews_the_snapshot_when_an_epoch_starts(graph, pairs):
    """The loop needs no call of its own: the first epoch fills the history."""
    model = LTGNN(graph.num_users, graph.num_items, 4, alpha=0.3)
    names = {"inputs.weight", "history._extra_state", "loss_fn.tau"}
    assert set(model.state_dict()) == names
    loader = VRNeighborLoader(graph, model, 2, pairs, 4)
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    for epoch in range(2):
        for i, batch in enumerate(loader):
            table = model.history.pull("reference", torch.arange(12))
            if epoch == i == 0:
                x = z = model.inputs.weight.detach()
                for _ in range(7):
                    z = 0.7 * dense @ z + 0.3 * x
                last = z
            if i == 0:
                torch.testing.assert_close(table, last)
                torch.testing.assert_close(
                    model.history.pull("aggregate", torch.arange(12)), dense @ last
                )
            model.loss(batch)
        last = model.history.output()
        assert not torch.allclose(last, table)


def test_refuses_the_history_of_another_model(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    batch = next(iter(VRNeighborLoader(graph, model, 2, pairs, 4)))
    with pytest.raises(ValueError, match="this model's history"):
        copy.deepcopy(model).loss(batch)
    with pytest.raises(ValueError, match="'PairLoader'"):
        VRNeighborLoader(graph, LightGCN(graph.num_users, graph.num_items, 4))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_generator_decides(graph, num_workers):
    def epochs(seed):
        loader = VRNeighborLoader(
            graph,
            filled(graph),
            2,
            batch_size=4,
            neg_sampling="triplet",
            num_workers=num_workers,
            generator=torch.Generator().manual_seed(seed),
        )
        return [[b.n_id.tolist() for b in loader] for _ in range(2)]

    first = epochs(1)
    torch.rand(3)  # The global generator has no say.
    assert first == epochs(1) != epochs(2)
    assert first[0] != first[1]


def test_in_batch_and_shared_negatives(graph):
    model = filled(graph)
    for batch in VRNeighborLoader(graph, model, 2, batch_size=4):
        assert batch.negatives is None and batch.get("log_q") is None
    shared = ItemNegativeSampling(graph.num_users, graph.num_items, 3, shared=True)
    for batch in VRNeighborLoader(graph, model, 2, batch_size=4, neg_sampling=shared):
        assert batch.dst_neg_index.shape == (1, 3)


def test_rejects_seen(graph, pairs):
    neg = ItemNegativeSampling(
        graph.num_users,
        graph.num_items,
        4,
        edge_index=pairs[:, 1:],
        reject_seen=True,
    )
    seen = set(zip(*pairs[:, 1:].tolist(), strict=True))
    for batch in VRNeighborLoader(graph, filled(graph), 2, pairs, 4, neg):
        src = batch.n_id[batch.src_index].repeat_interleave(4).tolist()
        drawn = batch.n_id[batch.dst_neg_index].view(-1).tolist()
        assert not seen & set(zip(src, drawn, strict=True))


def test_pyg_lightgcn_training_step(graph, pairs):
    """A plain PyG LightGCN step consumes the batch, whole graph or sampled."""
    model = PyGLightGCN(graph.num_nodes, 4, 2)
    loader = VRNeighborLoader(graph, filled(graph), 3, pairs, 4, "triplet")
    optimizer = torch.optim.Adam(model.parameters())
    for batch in loader:
        src, pos, neg = (
            batch.n_id[i]
            for i in (batch.src_index, batch.dst_pos_index, batch.dst_neg_index)
        )
        label = torch.stack([src.repeat(2), torch.cat([pos, neg])])
        rank = model(graph.edge_index, label)
        loss = model.recommendation_loss(*rank.chunk(2), node_id=label.unique())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    # Sampled: with all neighbours, a convolution over the batch is the full one.
    x, conv = model.embedding.weight.detach(), LGConv(normalize=False)
    adj = normalized_adj(graph.edge_index, None, graph.num_nodes)
    for batch in VRNeighborLoader(graph, filled(graph), -1, pairs, 4, "triplet"):
        out = conv(x[batch.n_id], batch.edge_index, batch.edge_weight)
        seed = batch.n_id[: batch.num_seeds]
        torch.testing.assert_close(out[: batch.num_seeds], (adj @ x)[seed])


def test_features_and_transform(graph):
    graph.x = torch.randn(graph.num_nodes, 2)

    def transform(batch):
        assert "aggregate" in batch
        batch.mark = True
        return batch

    loader = VRNeighborLoader(graph, filled(graph), 2, transform=transform)
    for batch in loader:
        assert batch.mark and torch.equal(batch.x, graph.x[batch.n_id])


@pytest.mark.parametrize("form", ["weighted", "loops", "adj_t", "own sampler"])
def test_graph_forms(graph, pairs, form):
    """The loader's matrix is the one its batches are drawn from."""
    weight = torch.rand(pairs.size(1)) + 0.1
    weight = torch.cat([weight, weight]) if form != "loops" else None
    if form == "loops":
        graph = AddSelfLoops(attr=None)(graph)
    dense = dense_adj(graph.edge_index, graph.num_nodes, weight).float()
    model, sampler = filled(graph), None
    history = model.history
    expected = dense @ history.difference + history.aggregate
    if form == "adj_t":
        size = (graph.num_nodes, graph.num_nodes)
        adj_t = torch.sparse_coo_tensor(graph.edge_index.flip(0), weight, size)
        graph.adj_t = adj_t.coalesce().to_sparse_csr()
        del graph.edge_index
    else:
        graph.edge_weight = weight
    if form == "own sampler":
        graph = Graph.from_data(graph)
        adj_t = normalized_adj(*graph.coo(), graph.num_nodes)  # The same, made again.
        sampler = StratifiedNeighborSampler(adj_t, -1)
    loader = VRNeighborLoader(graph, model, -1, pairs, 5, sampler=sampler)
    torch.testing.assert_close(loader.graph.matrix.to_dense(), dense)
    for batch in loader:
        seed = batch.n_id[: batch.num_seeds]
        torch.testing.assert_close(batch.aggregate, expected[seed])
        assert batch.edge_index.size(1) == batch.edge_weight.numel()


@pytest.mark.parametrize("own", [False, True])
def test_unbiased_by_enumeration(graph, pairs, own, monkeypatch):
    """The mean of what the loader pulls, over all samples, is exact."""
    model = filled(graph)
    history = model.history
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    expected = adj_t.to_dense() @ history.difference + history.aggregate
    sampler = StratifiedNeighborSampler(adj_t, 2) if own else None
    loader = VRNeighborLoader(graph, model, 2, pairs[:, :1], sampler=sampler)
    seed = pairs[:, 0]  # In order: a user, then an item.
    degree = adj_t.rowptr.diff()[seed].tolist()
    sizes = [s for d in degree for s in (d // 2, d - d // 2)]
    total, num = 0.0, 0
    for choice in itertools.product(*map(range, sizes)):
        u = torch.tensor([(c + 0.5) / s for c, s in zip(choice, sizes, strict=True)])
        monkeypatch.setattr(torch, "rand", lambda *size, u=u, **kw: padded(u, size))
        batch = loader([0])
        assert torch.equal(batch.n_id[:2], seed)
        total, num = total + batch.aggregate, num + 1
    torch.testing.assert_close(total / num, expected[seed])


class AllNeighbors(BaseSampler):
    """What a user writes: all edges to the seeds, by their place in the data."""

    def __init__(self, edge_index):
        self.edge_index = edge_index

    def sample_from_nodes(self, index, **kwargs):
        seed = index.node.tolist()
        edges = [
            (e, s, seed.index(t))
            for e, (s, t) in enumerate(self.edge_index.t().tolist())
            if t in seed
        ]
        edge, source, col = torch.tensor(edges).view(-1, 3).t()
        others = sorted(set(source.tolist()) - set(seed))
        node = seed + others
        row = torch.tensor([node.index(s) for s in source.tolist()]).long()
        num = [len(seed), len(others)]
        return SamplerOutput(torch.tensor(node), row, col, edge, num_sampled_nodes=num)

    def sample_from_edges(self, index, **kwargs):
        raise NotImplementedError


@pytest.mark.parametrize("form", ["plain", "weighted", "loops", "adj_t", "Graph"])
def test_a_sampler_of_your_own(graph, pairs, form):
    """Exact with all neighbours, in whichever order the edges stand."""
    num, weight = graph.num_edges, None
    order = torch.randperm(num)
    if form in ("weighted", "adj_t", "Graph"):
        weight = (torch.rand(num // 2) + 0.1).repeat(2)[order]
        graph.edge_weight = weight
    graph.edge_index = graph.edge_index[:, order]
    if form == "loops":
        graph = AddSelfLoops(attr=None)(graph)
    dense = dense_adj(graph.edge_index, graph.num_nodes, weight).float()
    model = filled(graph)
    history = model.history
    expected = dense @ history.difference + history.aggregate
    if form == "adj_t":
        size = (graph.num_nodes, graph.num_nodes)
        adj_t = torch.sparse_coo_tensor(graph.edge_index.flip(0), weight, size)
        graph.adj_t = adj_t.coalesce().to_sparse_csr()
        del graph.edge_index, graph.edge_weight
        row, col = graph.adj_t.to_sparse_coo().indices()
        sampler = AllNeighbors(torch.stack([col, row]))
    elif form == "Graph":
        graph = Graph.from_data(graph)
        sampler = AllNeighbors(graph.coo()[0])
    else:
        sampler = AllNeighbors(graph.edge_index)
    loader = VRNeighborLoader(
        graph, model, edge_label_index=pairs, batch_size=4, sampler=sampler
    )
    for batch in loader:
        torch.testing.assert_close(batch.aggregate, expected[batch.seeds])


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_other_sampler(graph, pairs, num_workers, weighted):
    """PyG's sampler with the torch-sparse backend: exact with all neighbours."""
    model = filled(graph)
    history = model.history
    if weighted:
        weight = torch.rand(pairs.size(1)) + 0.1
        graph.edge_weight = torch.cat([weight, weight])
    dense = dense_adj(graph.edge_index, graph.num_nodes, graph.edge_weight).float()
    expected = dense @ history.difference + history.aggregate
    for num_neighbors in (-1, 2):
        sampler = NeighborSampler(graph, [num_neighbors], replace=True)
        loader = VRNeighborLoader(
            graph,
            model,
            edge_label_index=pairs,
            batch_size=4,
            neg_sampling="triplet",
            sampler=sampler,
            num_workers=num_workers,
        )
        for batch in loader:
            seed = batch.n_id[: batch.num_seeds]
            label = [batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]]
            assert torch.equal(torch.stack(label), pairs[:, batch.input_id])
            if num_neighbors == -1:
                torch.testing.assert_close(batch.aggregate, expected[seed])
            else:
                assert batch.edge_index.size(1) <= 2 * batch.num_seeds


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
def test_other_sampler_is_unbiased(graph, pairs):
    model = filled(graph)
    history = model.history
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    expected = dense @ history.difference + history.aggregate
    sampler = NeighborSampler(graph, [2], replace=True)
    loader = VRNeighborLoader(graph, model, sampler=sampler, batch_size=100)
    mean = sum(next(iter(loader)).aggregate for _ in range(2000)) / 2000
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0)


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
def test_two_hop_samplers_are_refused(graph):
    sampler = NeighborSampler(graph, [2, 2])
    with pytest.warns(UserWarning, match="pass 'replace=True'"):
        loader = VRNeighborLoader(graph, filled(graph), sampler=sampler, batch_size=1)
    with pytest.raises(ValueError, match="one-hop"):
        next(iter(loader))


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
def test_items_only_in_pygs_own_loader(graph, pairs):
    neg = ItemNegativeSampling(graph.num_users, graph.num_items, 2)
    loader = LinkNeighborLoader(graph, [2], pairs, neg_sampling=neg, batch_size=4)
    for batch in loader:
        assert (batch.n_id[batch.dst_neg_index] >= graph.num_users).all()


@pytest.mark.parametrize(
    "how",
    [
        "reverse edges permuted",
        "weights of one direction",
        "between users",
        "one direction",
    ],
)
def test_asymmetric_graphs_are_refused(graph, pairs, how):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    with pytest.raises(ValueError, match="both directions"):
        VRNeighborLoader(asymmetric(graph, pairs, how), model)
    adj_t = normalized_adj(pairs, None, graph.num_nodes)
    sampler = StratifiedNeighborSampler(adj_t)
    with pytest.raises(ValueError, match="both directions"):
        VRNeighborLoader(graph, model, edge_label_index=pairs, sampler=sampler)


def test_samplers_over_another_matrix_are_refused(graph, pairs):
    """The exact aggregates are of the graph, so what is sampled must be too."""
    whole = Graph.from_data(graph)
    model = LTGNN(graph.num_users, graph.num_items, 4)
    VRNeighborLoader(whole, model, sampler=StratifiedNeighborSampler(whole.matrix))
    for other in (
        whole.without(pairs[:, :2]).matrix,
        normalized_adj(pairs, None, graph.num_nodes),
    ):
        with pytest.raises(ValueError, match="over the matrix of the graph"):
            VRNeighborLoader(whole, model, sampler=StratifiedNeighborSampler(other))


def test_bad_arguments(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    with pytest.raises(ValueError, match="history of the graph's 12 nodes"):
        VRNeighborLoader(graph, LTGNN(2, 3, 4))
    with pytest.raises(ValueError, match=r"see 'Graph\.pairs'"):
        VRNeighborLoader(graph, model, 2, pairs - torch.tensor([[0], [7]]))
    with pytest.raises(ValueError, match="persistent_workers"):
        VRNeighborLoader(graph, model, num_workers=1, persistent_workers=True)
    del graph.num_users
    with pytest.raises(ValueError, match=r"data.num_users"):
        VRNeighborLoader(graph, model)


def test_log_q(graph, pairs):
    """What the batch says of its negatives, against enumeration."""
    U, powered = graph.num_users, torch.zeros(graph.num_nodes)
    for item in pairs[1].tolist():
        powered[item] += 1
    powered = powered.pow(0.5) / powered.pow(0.5).sum()
    neg = ItemNegativeSampling(U, graph.num_items, edge_index=pairs, power=0.5)
    model = filled(graph)
    for batch in VRNeighborLoader(graph, model, 2, pairs, 5, neg):
        seed = batch.n_id[: batch.num_seeds]
        item = seed >= U
        torch.testing.assert_close(batch.log_q[item], powered[seed[item]].log())
    for batch in VRNeighborLoader(graph, model, 2, pairs, 5, "triplet"):
        assert batch.get("log_q") is None  # All alike.
