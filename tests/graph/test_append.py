"""New users and items while a model trains: all others keep what they have."""

import copy

import pytest
import torch

from ltgnn_pyg import LTGNN, Graph, ItemNegativeSampling, PairLoader, VRNeighborLoader
from ltgnn_pyg.graph import Edges
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization
from tests.toy import ThreeLayers, blocks

GRAPH = Graph.from_interactions(blocks().train)
GROWN = GRAPH.append({"user": 2, "item": 3})
OLD = GRAPH.num_nodes


def with_edges(graph):
    """New users take new and old items, and an old user a new one."""
    user = graph.number("user", torch.tensor([64, 64, 65, 65, 0]))
    item = graph.number("item", torch.tensor([32, 1, 34, 2, 33]))
    return graph.append(edges=Edges(torch.stack([user, item])))


def by_rounds(graph, model):
    return PairLoader(graph, batch_size=32, num_rounds=3)


def by_inner_steps(graph, model):
    return PairLoader(graph, batch_size=32, num_rounds=3, inner_steps=True)


def by_histories(graph, model):
    return VRNeighborLoader(graph, model, 2, batch_size=64)


def fixed_point(*args):
    return LTGNN(*args, K=None, alpha=0.3)


def train(graph, model, optimizer, load):
    torch.manual_seed(7)
    for _ in range(2):
        for batch in load(graph, model):
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()
    return loss


def moments(optimizer, param):
    state = optimizer.state[param]
    return state["exp_avg"], state["exp_avg_sq"]


def same(late, early, one, two):
    """To the bit: parameters and histories, and moments, where there is room yet."""
    for a, b in zip(late.parameters(), early.parameters(), strict=True):
        torch.testing.assert_close(a, b)
        assert one.state[a]["step"] == two.state[b]["step"]
        for m, n in zip(moments(one, a), moments(two, b), strict=True):
            torch.testing.assert_close(m, n[: m.size(0)])
            assert m.size() == n.size() or not n[m.size(0) :].any()
    if hasattr(late, "history"):
        tables = early.history.tables()
        assert late.history.tables().keys() == tables.keys()
        for name, table in late.history.tables().items():
            torch.testing.assert_close(table, tables[name])


@pytest.mark.parametrize(
    "build, load",
    [
        (MatrixFactorization, by_rounds),
        (MatrixFactorization, by_inner_steps),
        (LightGCN, by_rounds),
        (LTGNN, by_rounds),
        (LTGNN, by_inner_steps),
        (ThreeLayers, by_rounds),
        (fixed_point, by_histories),
    ],
)
def test_as_if_the_nodes_had_been_there_all_along(build, load):
    """Two routes to the same numbers: nodes that come later, and nodes that wait
    without an edge.
    """
    # In double, as products of more rows may take other bits.
    late = build(GRAPH.num_users, GRAPH.num_items, 8).double()
    early = copy.deepcopy(late)
    early.append(GROWN)
    one, two = (RowAdam(m.parameters(), lr=0.05) for m in (late, early))
    held = train(GRAPH, late, one, load)  # Still there when the graph grows.
    torch.testing.assert_close(held, train(GROWN, early, two, load))

    param, table = late.inputs.weight, late.inputs.weight.detach().clone()
    before = [m.clone() for m in moments(one, param)]
    late.append(GROWN)
    assert late.inputs.weight is param and param.size(0) == GROWN.num_nodes
    assert torch.equal(param[:OLD], table) and not param[OLD:].any()
    assert (late.num_users, late.num_items) == (66, 35)
    same(late, early, one, two)
    for m, n in zip(moments(two, early.inputs.weight), before, strict=True):
        torch.testing.assert_close(m[:OLD], n)

    graph = with_edges(GROWN)
    train(graph, late, one, load)
    train(graph, early, two, load)
    same(late, early, one, two)
    assert late.inputs.weight[OLD:].any(1).sum() == 5  # All of them have learned.
    assert moments(one, param)[0].size(0) == graph.num_nodes
    vectors, others = (m.scorer(graph).vectors for m in (late, early))
    assert vectors.user.size(0) == 66 and vectors.item.size(0) == 35
    torch.testing.assert_close(vectors.user, others.user)
    torch.testing.assert_close(vectors.item, others.item)


def test_a_step_moves_the_rows_of_its_batch():
    """The moments of all other rows, and those rows, stay as they are."""
    model = MatrixFactorization(GRAPH.num_users, GRAPH.num_items, 8)
    optimizer = RowAdam(model.parameters(), lr=0.05)
    train(GRAPH, model, optimizer, by_rounds)
    param = model.inputs.weight
    before = [each.clone() for each in (param, *moments(optimizer, param))]
    step = int(optimizer.state[param]["step"])
    model.append(GROWN)
    rows = torch.tensor([3, OLD, OLD + 4])
    optimizer.zero_grad()
    grad = torch.randn(3, 8)
    (model.inputs.rows(rows) * grad).sum().backward()
    optimizer.step()
    after = [param, *moments(optimizer, param)]
    rest = torch.ones(GROWN.num_nodes, dtype=torch.bool)
    rest[rows] = False
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new[:OLD][rest[:OLD]], old[rest[:OLD]])
        assert not new[OLD:][rest[OLD:]].any()
    torch.testing.assert_close(after[1][OLD], 0.1 * grad[1])
    torch.testing.assert_close(after[2][OLD], 0.001 * grad[1].square())
    assert optimizer.state[param]["step"] == step + 1


def test_history_rows_keep_their_place():
    model = fixed_point(GRAPH.num_users, GRAPH.num_items, 8)
    train(GRAPH, model, RowAdam(model.parameters(), lr=0.05), by_histories)
    before = {name: table.clone() for name, table in model.history.tables().items()}
    model.append(GROWN)
    assert model.history.num_nodes == GROWN.num_nodes
    for name, table in model.history.tables().items():
        assert torch.equal(table[:OLD], before[name]) and not table[OLD:].any()


def test_negatives_of_a_graph_that_grew():
    """New items are drawn too, and never one that a user has taken."""
    graph = with_edges(GROWN)
    seen = set(map(tuple, graph.target_edges.t().tolist()))
    drawn = ItemNegativeSampling(
        graph.num_users,
        graph.num_items,
        5,
        edge_index=graph.target_edges,
        reject_seen=True,
        numbering=graph.numbering,
    )
    model = LightGCN(GRAPH.num_users, GRAPH.num_items, 8, loss_fn=BPRLoss())
    model.append(graph)
    found = set()
    for batch in PairLoader(graph, batch_size=32, num_rounds=3, neg_sampling=drawn):
        user = batch.n_id[batch.src_index].repeat_interleave(5)
        item = batch.n_id[batch.dst_neg_index].view(-1)
        assert graph.numbering.is_of("item", item).all()
        assert not seen & set(zip(user.tolist(), item.tolist(), strict=True))
        found |= set(item.tolist())
        model.loss(batch).backward()
    assert found == set(torch.arange(graph.num_nodes)[graph.nodes("item")].tolist())
    assert model.inputs.weight.grad.to_dense().isfinite().all()


@pytest.mark.parametrize("leave_out", [True, False])
def test_rounds_of_a_graph_that_grew(leave_out):
    """Its pairs are nodes of the graph, and its matrix lacks them."""
    graph = with_edges(GROWN)
    seen = []
    for batch in PairLoader(graph, batch_size=7, num_rounds=4, leave_out=leave_out):
        pair = batch.n_id[torch.stack([batch.src_index, batch.dst_pos_index])]
        assert torch.equal(pair, graph.target_edges[:, batch.input_id])
        entries = batch.graph.matrix.to_dense()[pair[0], pair[1]]
        assert bool(entries.any()) != leave_out
        seen.append(batch.input_id)
    assert torch.cat(seen).sort().values.equal(torch.arange(graph.num_edges))


def test_fewer_nodes_are_refused():
    model = LightGCN(66, 35, 8)
    with pytest.raises(ValueError, match="a graph of 101 nodes at least"):
        model.append(GRAPH)
    model = LTGNN(GRAPH.num_users, GRAPH.num_items, 8)
    with pytest.raises(ValueError, match=r"'model\.append\(graph\)'"):
        VRNeighborLoader(GROWN, model)
