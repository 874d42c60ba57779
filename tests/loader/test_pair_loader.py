import pytest
import torch
from torch_geometric.sampler import NegativeSampling
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg import Graph, ItemNegativeSampling, PairLoader
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.graph import Edges
from ltgnn_pyg.loader import PairBatchSampler
from tests.dense import dense_adj


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num_rounds", [1, 3, 99])
def test_batch_fields(graph, pairs, num_workers, num_rounds):
    loader = PairLoader(
        graph,
        pairs.int(),
        batch_size=4,
        num_rounds=num_rounds,
        neg_sampling="triplet",
        num_workers=num_workers,
    )
    num_batches = -(-pairs.size(1) // 4)
    for _ in range(2):
        seen, num_parts = [], 0
        for batch in loader:
            assert batch.num_seeds == batch.n_id.numel() == batch.num_nodes
            label = batch.n_id[torch.stack([batch.src_index, batch.dst_pos_index])]
            assert torch.equal(label, pairs[:, batch.input_id])
            assert batch.dst_neg_index.shape == batch.input_id.shape
            assert (batch.n_id[batch.dst_neg_index] >= graph.num_users).all()
            assert batch.pair_ptr[-1] == batch.input_id.numel()
            for i in range(len(batch.pair_ptr) - 1):
                num = batch.pair_ptr[i + 1] - batch.pair_ptr[i]
                assert num == 4 or i == len(batch.pair_ptr) - 2
                part = slice(batch.pair_ptr[i], batch.pair_ptr[i + 1])
                index = [batch.src_index, batch.dst_pos_index, batch.dst_neg_index]
                index = torch.cat([each[part] for each in index]).unique()
                # The nodes of a micro-batch: each once, none more, side by side.
                assert index.tolist() == [*range(*batch.seed_ptr[i : i + 2])]
                nodes = batch.n_id[index]
                assert nodes.unique().numel() == nodes.numel()
            num_parts += len(batch.pair_ptr) - 1
            seen += batch.input_id.tolist()
        assert sorted(seen) == list(range(pairs.size(1)))
        assert num_parts == num_batches
        assert len(loader) == min(num_rounds, num_batches)


def test_the_graph_of_a_round_lacks_its_pairs(graph, pairs):
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    for batch in PairLoader(graph, pairs, batch_size=3, num_rounds=4):
        expected = dense.clone()
        u, i = pairs[:, batch.input_id]
        expected[u, i] = expected[i, u] = 0.0
        torch.testing.assert_close(batch.graph.matrix.to_dense(), expected)
    loader = PairLoader(graph, pairs, leave_out=False)
    assert next(iter(loader)).graph is loader.graph


@pytest.mark.parametrize("form", ["weighted", "loops", "adj_t"])
def test_graph_forms(graph, pairs, form):
    weight = torch.rand(pairs.size(1)) + 0.1
    weight = None if form == "loops" else torch.cat([weight, weight])
    if form == "loops":
        graph = AddSelfLoops(attr=None)(graph)
    dense = dense_adj(graph.edge_index, graph.num_nodes, weight).float()
    if form == "adj_t":
        size = (graph.num_nodes, graph.num_nodes)
        adj_t = torch.sparse_coo_tensor(graph.edge_index.flip(0), weight, size)
        graph.adj_t = adj_t.coalesce().to_sparse_csr()
        del graph.edge_index
    else:
        graph.edge_weight = weight
    loader = PairLoader(graph)
    torch.testing.assert_close(loader.graph.matrix.to_dense(), dense)
    order = [tuple(pair) for pair in loader.edge_label_index.t().tolist()]
    assert sorted(order) == sorted(tuple(pair) for pair in pairs.t().tolist())


@pytest.mark.parametrize("shared", [False, True])
def test_negatives(graph, pairs, shared):
    power = 0.5
    seen = None if shared else pairs[:, 1:]
    neg = ItemNegativeSampling(
        graph.num_users,
        graph.num_items,
        3,
        edge_index=pairs if shared else seen,
        shared=shared,
        reject_seen=not shared,
        power=power,
    )
    share = torch.bincount(neg_items(pairs if shared else seen)).float().pow(power)
    q = share / share.sum()
    for batch in PairLoader(graph, pairs, batch_size=4, neg_sampling=neg, num_rounds=2):
        num_parts = len(batch.pair_ptr) - 1
        rows = num_parts if shared else batch.input_id.numel()
        assert batch.dst_neg_index.shape == (rows, 3)
        item = batch.n_id >= graph.num_users
        torch.testing.assert_close(
            batch.log_q[item].exp(), q[batch.n_id[item] - graph.num_users]
        )
        drawn = batch.n_id[batch.dst_neg_index]
        if shared:
            start = torch.tensor(batch.seed_ptr).unsqueeze(1)
            assert (batch.dst_neg_index >= start[:-1]).all()
            assert (batch.dst_neg_index < start[1:]).all()
        else:
            taken = set(zip(*seen.tolist(), strict=True))
            src = batch.n_id[batch.src_index].repeat_interleave(3).tolist()
            assert not taken & set(zip(src, drawn.view(-1).tolist(), strict=True))


def neg_items(pairs):
    return pairs[1] - 7


@pytest.mark.parametrize("num_workers", [0, 2])
def test_generator_decides(graph, num_workers):
    def epochs(seed):
        loader = PairLoader(
            graph,
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


def test_pair_batches():
    ordered = list(PairBatchSampler(10, 4, shuffle=False))
    assert ordered == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(list(PairBatchSampler(10, 4, drop_last=True))) == 2
    rounds = list(PairBatchSampler(10, 2, num_rounds=2, shuffle=False))
    assert rounds == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    with pytest.raises(ValueError, match="at least one training pair"):
        PairBatchSampler(0, 4)
    with pytest.raises(ValueError, match="positive 'batch_size'"):
        PairBatchSampler(3, 0)
    with pytest.raises(ValueError, match="'num_rounds'"):
        PairBatchSampler(3, 1, num_rounds=0)


def asymmetric(graph, pairs, how):
    """Graphs of as many edges each way that are not symmetric all the same."""
    back = pairs.flip(0)
    if how == "reverse edges permuted":
        order = torch.arange(pairs.size(1)).roll(3)
        back = torch.stack([back[0], back[1][order]])
        graph.edge_index = torch.cat([pairs, back], 1)
    elif how == "weights of one direction":
        weight = torch.rand(pairs.size(1)) + 0.1
        graph.edge_weight = torch.cat([weight, weight.flip(0)])
    elif how == "between users":
        among = torch.tensor([[0, 1, 2], [1, 2, 0]])
        graph.edge_index = torch.cat([graph.edge_index, among], 1)
    else:
        graph.edge_index = pairs
    return graph


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
    with pytest.raises(ValueError, match="both directions"):
        PairLoader(asymmetric(graph, pairs, how))


def test_bad_arguments(graph, pairs):
    with pytest.raises(ValueError, match=r"see 'Graph\.pairs'"):
        PairLoader(graph, pairs - torch.tensor([[0], [7]]))
    with pytest.raises(ValueError, match=r"shape \[2, num_pairs\]"):
        PairLoader(graph, pairs.t())
    with pytest.raises(ValueError, match="at least one training pair"):
        PairLoader(graph, pairs[:, :0])
    with pytest.raises(ValueError, match="triplet"):
        PairLoader(graph, neg_sampling=NegativeSampling("binary"))
    with pytest.raises(ValueError, match="negatives among 7 users and 5 items"):
        PairLoader(graph, neg_sampling=ItemNegativeSampling(5, 5))
    with pytest.raises(ValueError, match="persistent_workers"):
        PairLoader(graph, num_workers=1, persistent_workers=True)
    empty = graph.clone()
    empty.edge_index = graph.edge_index[:, :0]
    with pytest.raises(ValueError, match="at least one training pair"):
        PairLoader(empty)
    del empty.edge_index
    with pytest.raises(ValueError, match=r"'data\.adj_t'"):
        PairLoader(empty)
    del graph.num_users
    with pytest.raises(ValueError, match=r"data.num_users"):
        PairLoader(graph)


def test_weights_of_other_edges_are_none_of_the_pairs():
    """Objectives that take no weights train on such a graph, too."""
    known = Interactions(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2, 2)
    graph = Graph.from_interactions(known).append({"tag": 1})
    tags = Edges(torch.tensor([[2], [4]]), weight=torch.tensor([0.5]))
    graph = graph.append(edges=tags, edge_type=("item", "has", "tag"))
    assert graph.edges.weight.tolist() == [1.0, 1.0, 1.0, 0.5]
    (batch,) = PairLoader(graph, num_rounds=1)
    assert batch.get("weight") is None
    (batch,) = PairLoader(graph, edge_label_weight=torch.full((3,), 2.0), num_rounds=1)
    assert batch.get("weight") is None
    given = torch.tensor([1.0, 2.0, 3.0])
    (batch,) = PairLoader(graph, edge_label_weight=given, num_rounds=1)
    assert torch.equal(batch.weight, (given / 2.0)[batch.input_id])
