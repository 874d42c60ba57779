import itertools

import pytest
import torch
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.nn import LGConv, LightGCN
from torch_geometric.sampler import NegativeSampling, NeighborSampler
from torch_geometric.typing import WITH_TORCH_SPARSE

from ltgnn_pyg import (
    LTGNN,
    History,
    ItemNegativeSampling,
    LTConv,
    StratifiedNeighborSampler,
    VRNeighborLoader,
    normalized_adj,
)
from ltgnn_pyg.loader import PairBatchSampler
from tests.dense import dense_adj, padded


def filled(graph, **kwargs):
    history = History(graph.num_nodes, 4, **kwargs)
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    history.refresh(adj_t, torch.randn(graph.num_nodes, 4))
    everything = torch.arange(graph.num_nodes)
    history.push("output", everything, torch.randn(graph.num_nodes, 4))
    return history


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
    history = filled(graph)
    x = torch.randn(graph.num_nodes, 4)
    conv = LTConv(0.3)
    expected = conv(x, graph.edge_index, z=history.output)
    for num_neighbors in (-1, graph.num_nodes):
        for batch in VRNeighborLoader(graph, history, num_neighbors, batch_size=5):
            seed = batch.n_id[: batch.num_seeds]
            z = conv.step(x[seed], batch.aggregate)
            torch.testing.assert_close(z, expected[seed])


def test_gradient_aggregate(graph):
    everything = torch.arange(graph.num_nodes)
    gradient = torch.randn(graph.num_nodes, 4)
    visits = torch.randint(1, 9, (graph.num_nodes, 1)).float()
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    for corrected in (False, True):
        history = filled(graph, gradient=True, visits=corrected)
        history.push("gradient", everything, gradient)
        expected = dense @ gradient
        if corrected:
            history.push("visits", everything, visits)
            expected = dense @ (gradient * visits) / visits
        for batch in VRNeighborLoader(graph, history, -1, batch_size=5):
            seed = batch.n_id[: batch.num_seeds]
            torch.testing.assert_close(batch.grad_aggregate, expected[seed])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_never_serves_stale_rows(graph, num_workers):
    """What was pushed before a batch is handed out is in it, workers or not."""
    history = filled(graph)
    loader = VRNeighborLoader(graph, history, -1, batch_size=2, num_workers=num_workers)
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    for batch in loader:
        seed = batch.n_id[: batch.num_seeds]
        torch.testing.assert_close(batch.aggregate, (dense @ history.output)[seed])
        history.push("output", seed, torch.randn(batch.num_seeds, 4))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("user_balanced", [False, True])
def test_generator_decides(graph, num_workers, user_balanced):
    def epochs(seed):
        loader = VRNeighborLoader(
            graph,
            None,
            2,
            batch_size=4,
            neg_sampling="triplet",
            user_balanced=user_balanced,
            num_workers=num_workers,
            generator=torch.Generator().manual_seed(seed),
        )
        return [[b.n_id.tolist() for b in loader] for _ in range(2)]

    first = epochs(1)
    torch.rand(3)  # The global generator has no say.
    assert first == epochs(1) != epochs(2)
    assert first[0] != first[1]


def test_in_batch_and_shared_negatives(graph):
    for batch in VRNeighborLoader(graph, None, 2, batch_size=4):
        assert "dst_neg_index" not in batch and "aggregate" not in batch
    shared = ItemNegativeSampling(graph.num_users, graph.num_items, 3, shared=True)
    for batch in VRNeighborLoader(graph, None, 2, batch_size=4, neg_sampling=shared):
        assert batch.dst_neg_index.shape == (1, 3)


def test_rejects_seen(graph, pairs):
    graph.num_items = graph.num_items
    neg = ItemNegativeSampling(
        graph.num_users + 0,
        graph.num_items,
        4,
        edge_index=pairs[:, 1:],
        reject_seen=True,
    )
    seen = set(zip(*pairs[:, 1:].tolist(), strict=True))
    for batch in VRNeighborLoader(graph, None, 2, pairs, 4, neg):
        src = batch.n_id[batch.src_index].repeat_interleave(4).tolist()
        drawn = batch.n_id[batch.dst_neg_index].view(-1).tolist()
        assert not seen & set(zip(src, drawn, strict=True))


def test_user_balanced_draws_users_uniformly():
    src = torch.tensor([3] * 90 + [1] * 9 + [7])
    sampler = PairBatchSampler(src, 16, user_balanced=True)
    drawn = torch.cat([torch.tensor(b) for _ in range(60) for b in sampler])
    assert drawn.numel() == 60 * src.numel()
    share = torch.bincount(src[drawn], minlength=8) / drawn.numel()
    torch.testing.assert_close(
        share[[1, 3, 7]], torch.full((3,), 1 / 3), atol=0.03, rtol=0
    )
    assert drawn.unique().numel() == src.numel()


def test_pair_batches():
    src = torch.zeros(10, dtype=torch.long)
    ordered = list(PairBatchSampler(src, 4, shuffle=False))
    assert ordered == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(list(PairBatchSampler(src, 4, drop_last=True))) == 2
    with pytest.raises(ValueError, match="at least one training pair"):
        PairBatchSampler(src[:0], 4)
    with pytest.raises(ValueError, match="positive 'batch_size'"):
        PairBatchSampler(src, 0)


def test_pyg_lightgcn_training_step(graph, pairs):
    """A plain PyG LightGCN step consumes the batch, whole graph or sampled."""
    model = LightGCN(graph.num_nodes, 4, 2)
    loader = VRNeighborLoader(graph, None, 3, pairs, 4, "triplet")
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
    for batch in VRNeighborLoader(graph, None, -1, pairs, 4, "triplet"):
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
    size, loops = (graph.num_nodes, graph.num_nodes), form == "loops"
    dense = dense_adj(graph.edge_index, graph.num_nodes, weight, loops).float()
    history, sampler = filled(graph), None
    expected = dense @ history.difference + history.aggregate
    if form == "adj_t":
        adj_t = torch.sparse_coo_tensor(graph.edge_index.flip(0), weight, size)
        graph.adj_t = adj_t.coalesce().to_sparse_csr()
        del graph.edge_index
    elif form == "own sampler":
        adj_t = normalized_adj(graph.edge_index, weight, graph.num_nodes)
        sampler = StratifiedNeighborSampler(adj_t, -1)
        del graph.edge_index
    else:
        graph.edge_weight = weight
    loader = VRNeighborLoader(
        graph, history, -1, pairs, 5, sampler=sampler, add_self_loops=loops
    )
    torch.testing.assert_close(loader.adj_t.to_dense(), dense)
    for batch in loader:
        seed = batch.n_id[: batch.num_seeds]
        torch.testing.assert_close(batch.aggregate, expected[seed])
        assert batch.edge_index.size(1) == batch.edge_weight.numel()


@pytest.mark.parametrize("own", [False, True])
def test_unbiased_by_enumeration(graph, pairs, own, monkeypatch):
    """The mean of what the loader pulls, over all samples, is exact."""
    history = filled(graph)
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    expected = adj_t.to_dense() @ history.difference + history.aggregate
    sampler = StratifiedNeighborSampler(adj_t, 2) if own else None
    loader = VRNeighborLoader(graph, history, 2, pairs[:, :1], sampler=sampler)
    seed = pairs[:, 0]  # In order: a user, then an item.
    degree = adj_t.crow_indices().diff()[seed].tolist()
    sizes = [s for d in degree for s in (d // 2, d - d // 2)]
    total, num = 0.0, 0
    for choice in itertools.product(*map(range, sizes)):
        u = torch.tensor([(c + 0.5) / s for c, s in zip(choice, sizes, strict=True)])
        monkeypatch.setattr(torch, "rand", lambda *size, u=u, **kw: padded(u, size))
        batch = loader([0])
        assert torch.equal(batch.n_id[:2], seed)
        total, num = total + batch.aggregate, num + 1
    torch.testing.assert_close(total / num, expected[seed])


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_other_sampler(graph, pairs, num_workers, weighted):
    """PyG's sampler with the torch-sparse backend: exact with all neighbours."""
    history = filled(graph)
    if weighted:
        weight = torch.rand(pairs.size(1)) + 0.1
        graph.edge_weight = torch.cat([weight, weight])
    dense = dense_adj(graph.edge_index, graph.num_nodes, graph.edge_weight).float()
    expected = dense @ history.difference + history.aggregate
    for num_neighbors in (-1, 2):
        sampler = NeighborSampler(graph, [num_neighbors], replace=True)
        loader = VRNeighborLoader(
            graph,
            history,
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
    history = filled(graph)
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    expected = dense @ history.difference + history.aggregate
    sampler = NeighborSampler(graph, [2], replace=True)
    loader = VRNeighborLoader(graph, history, sampler=sampler, batch_size=100)
    mean = sum(next(iter(loader)).aggregate for _ in range(2000)) / 2000
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0)


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
def test_two_hop_samplers_are_refused(graph):
    sampler = NeighborSampler(graph, [2, 2])
    with pytest.warns(UserWarning, match="pass 'replace=True'"):
        loader = VRNeighborLoader(graph, None, sampler=sampler, batch_size=1)
    with pytest.raises(ValueError, match="one-hop"):
        next(iter(loader))


@pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing")
def test_items_only_in_pygs_own_loader(graph, pairs):
    neg = ItemNegativeSampling(graph.num_users, graph.num_items, 2)
    loader = LinkNeighborLoader(graph, [2], pairs, neg_sampling=neg, batch_size=4)
    for batch in loader:
        assert (batch.n_id[batch.dst_neg_index] >= graph.num_users).all()


def test_bad_arguments(graph, pairs):
    with pytest.raises(ValueError, match="history of the graph's 12 nodes"):
        VRNeighborLoader(graph, History(5, 4))
    with pytest.raises(ValueError, match="add the number of users"):
        VRNeighborLoader(graph, None, 2, pairs - torch.tensor([[0], [7]]))
    with pytest.raises(ValueError, match=r"shape \[2, num_pairs\]"):
        VRNeighborLoader(graph, None, 2, pairs.t())
    with pytest.raises(ValueError, match="at least one training pair"):
        VRNeighborLoader(graph, None, 2, pairs[:, :0])
    with pytest.raises(ValueError, match="triplet"):
        VRNeighborLoader(graph, neg_sampling=NegativeSampling("binary"))
    with pytest.raises(ValueError, match="negatives among 7 users and 5 items"):
        VRNeighborLoader(graph, neg_sampling=ItemNegativeSampling(5, 5))
    with pytest.raises(ValueError, match="persistent_workers"):
        VRNeighborLoader(graph, num_workers=1, persistent_workers=True)
    one_way = graph.clone()
    one_way.edge_index = pairs
    with pytest.raises(ValueError, match="both directions"):
        VRNeighborLoader(one_way)
    model = LTGNN(graph.num_users, graph.num_items, 4)
    with pytest.raises(ValueError, match=r"call 'model.refresh\(loader.adj_t\)'"):
        model.loss(next(iter(VRNeighborLoader(graph, model.history))))
    del graph.num_users
    with pytest.raises(ValueError, match=r"data.num_users"):
        VRNeighborLoader(graph)


def test_log_q(graph, pairs):
    """What the batch says of its negatives, against enumeration."""
    U, degree = graph.num_users, torch.bincount(pairs[0], minlength=graph.num_users)
    in_batch, balanced, powered = (torch.zeros(graph.num_nodes) for _ in range(3))
    for user, item in pairs.t().tolist():
        in_batch[item] += 1 / pairs.size(1)
        balanced[item] += 1 / (U * degree[user])
        powered[item] += 1
    powered = powered.pow(0.5) / powered.pow(0.5).sum()
    neg = ItemNegativeSampling(U, graph.num_items, edge_index=pairs, power=0.5)
    for q, settings in (
        (in_batch, {}),
        (balanced, {"user_balanced": True}),
        (powered, {"neg_sampling": neg}),
    ):
        for batch in VRNeighborLoader(graph, None, 2, pairs, 5, **settings):
            seed = batch.n_id[: batch.num_seeds]
            item = seed >= U
            torch.testing.assert_close(batch.log_q[item], q[seed[item]].log())
    for batch in VRNeighborLoader(graph, None, 2, pairs, 5, "triplet"):
        assert "log_q" not in batch  # All alike.


def test_without_control_variate(graph):
    history = History(graph.num_nodes, 4, control_variate=False)
    for batch in VRNeighborLoader(graph, history, 3, batch_size=5):
        assert batch.n_id.numel() == batch.num_seeds and "aggregate" not in batch


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("user_balanced", [False, True])
@pytest.mark.parametrize("rounds", [1, 3, 99])
def test_rounds(graph, pairs, num_workers, user_balanced, rounds):
    """A round's first batch tells the pairs of the round, in their order."""
    history = History(graph.num_nodes, 4, control_variate=False)
    loader = VRNeighborLoader(
        graph,
        history,
        edge_label_index=pairs.int(),
        batch_size=3,
        rounds=rounds,
        user_balanced=user_balanced,
        num_workers=num_workers,
    )
    for _ in range(2):
        told, seen = [], []
        for batch in loader:
            if "round_edge_index" in batch:
                told.append(batch.round_edge_index)
            seen.append(batch.n_id[torch.stack([batch.src_index, batch.dst_pos_index])])
        assert len(told) == min(rounds, len(loader))
        assert torch.equal(torch.cat(told, 1), torch.cat(seen, 1))
    with pytest.raises(ValueError, match="positive 'rounds'"):
        VRNeighborLoader(graph, history, rounds=0)
