import copy

import pytest
import torch

from ltgnn_pyg import Graph, History, normalized_adj
from ltgnn_pyg.graph import Edges, Numbering
from tests.dense import dense_adj


@pytest.fixture
def whole(graph):
    """The graph of the data."""
    return Graph.from_data(graph)


def filled(whole, dim=3, **kwargs):
    history = History(whole.num_nodes, dim, **kwargs)
    output = torch.randn(whole.num_nodes, dim)
    history.refresh(whole, output)
    return history, output


def test_pull_push(whole):
    history, output = filled(whole)
    index, rows = torch.tensor([4, 1]), torch.randn(2, 3)
    history.push(index, rows)
    torch.testing.assert_close(history.pull("output", index), rows)
    output[index] = rows
    torch.testing.assert_close(history.output(), output)
    with pytest.raises(ValueError, match="together"):
        history.pull("output", index, torch.ones(2))
    with pytest.raises(KeyError, match="Expected one of"):
        history.pull("nonsense", index)


def test_empty_until_filled(whole):
    history = History(whole.num_nodes, 3)
    assert list(history.state_dict()) == ["_extra_state"]  # No memory.
    for call in (
        lambda: history.output(),
        lambda: history.push(torch.arange(2), torch.ones(2, 3)),
        lambda: history.refresh(whole),
    ):
        with pytest.raises(ValueError, match="a filled history"):
            call()
    history.allocate()
    assert history.output().count_nonzero() == 0


def test_weighted_pull_equals_dense(whole):
    history, _ = filled(whole)
    table = history.pull("reference", torch.arange(12))
    history.push(torch.arange(12), table + torch.randn(12, 3))
    index = torch.tensor([0, 5, 5, 2])
    weight, ptr = torch.rand(4), torch.tensor([0, 1, 1, 4])
    actual = history.pull("difference", index, weight, ptr)
    dense = torch.zeros(3, 12)
    dense.index_put_((torch.tensor([0, 2, 2, 2]), index), weight, accumulate=True)
    torch.testing.assert_close(actual, dense @ history.difference)


def test_refresh_is_one_exact_product(graph, whole):
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    history, _ = filled(whole)
    output, everything = torch.randn(graph.num_nodes, 3), torch.arange(graph.num_nodes)
    history.push(everything, output)
    history.refresh(whole)
    torch.testing.assert_close(history.pull("reference", everything), output)
    torch.testing.assert_close(history.pull("aggregate", everything), dense @ output)
    assert history.pull("difference", everything).count_nonzero() == 0
    history.refresh(whole, 2 * output)
    torch.testing.assert_close(history.output(), 2 * output)
    assert history.num_refreshes == 3
    with pytest.raises(ValueError, match="call 'append'"):
        History(3, 3).refresh(whole)


def test_state_dict_and_reset(whole):
    history, _ = filled(whole)
    history.push(torch.arange(2), torch.randn(2, 3))
    state = copy.deepcopy(history.state_dict())
    history.reset_parameters()
    assert history.output().count_nonzero() == 0 and history.num_refreshes == 0
    for other in (history, History(whole.num_nodes, 3)):
        other.load_state_dict(state)
        assert other.num_refreshes == 1
        for name in History.NAMES:
            saved = state["_extra_state"]["tables"][name]
            assert torch.equal(getattr(other, name), saved)
            assert saved.count_nonzero() > 0
    with pytest.raises(ValueError, match="call 'append' before"):
        History(3, 3).load_state_dict(state)


def test_append(whole):
    history, output = filled(whole)
    before = {name: table.clone() for name, table in history.tables().items()}
    history.append(2)
    assert history.num_nodes == 14
    torch.testing.assert_close(history.output()[:12], output)
    for name, table in history.tables().items():
        assert torch.equal(table[:12], before[name])
        assert table[12:].count_nonzero() == 0
    empty = History(4, 2)
    empty.append(2)
    empty.allocate()
    assert empty.output().shape == (6, 2)


def test_bfloat16_storage_float32_arithmetic(whole):
    history = History(whole.num_nodes, 4, dtype=torch.bfloat16)
    output = torch.randn(whole.num_nodes, 4).bfloat16().float()
    history.refresh(whole, output)
    index, weight = torch.arange(5), torch.rand(5)
    ptr = torch.tensor([0, 5])
    pulled = history.pull("reference", index, weight, ptr)
    assert pulled.dtype == torch.float32
    torch.testing.assert_close(pulled, (weight[:, None] * output[:5]).sum(0)[None])
    # Each number is rounded once, when it is stored.
    expected = (whole.matrix.to_dense() @ output).bfloat16()
    torch.testing.assert_close(history.aggregate, expected, atol=0, rtol=2**-7)
    rows = torch.randn(5, 4)
    history.push(index, rows)
    difference = (rows - output[:5]).bfloat16()
    assert torch.equal(history.difference[:5], difference)
    history.refresh(whole)
    stored = (output[:5] + difference.float()).bfloat16()
    assert torch.equal(history.reference[:5], stored)


def test_bfloat16_sums_of_many():
    """A hub's neighbours: in bfloat16 the sum of ones would end at 256."""
    num = 2000
    spokes = torch.arange(1, num + 1)
    pairs = torch.stack([torch.zeros_like(spokes), spokes])
    graph = Graph(Numbering.of({"user": 1, "item": num}), Edges(pairs))
    matrix = normalized_adj(pairs.flip(0), None, num + 1)
    graph = graph.with_operator(matrix.with_value(torch.ones(num)))
    history = History(num + 1, 2, dtype=torch.bfloat16)
    history.refresh(graph, torch.ones(num + 1, 2))
    assert (history.aggregate[0] == 2000).all()
    weight, ptr = torch.ones(num), torch.tensor([0, num])
    assert (history.pull("reference", spokes, weight, ptr) == num).all()


def test_follows_the_model_unless_fixed(whole):
    free, fixed = filled(whole)[0], filled(whole, dtype=torch.bfloat16)[0]
    model = torch.nn.ModuleList([free, fixed, History(12, 3)]).double()
    assert model[0].reference.dtype == torch.double
    assert model[1].reference.dtype == torch.bfloat16
    model[2].allocate()
    assert model[2].reference.dtype == torch.double
    model.to("meta")
    assert model[0].reference.is_meta
    stays = torch.nn.ModuleList([filled(whole, device="cpu")[0]]).to("meta")
    assert not stays[0].reference.is_meta


def test_bad_sizes():
    with pytest.raises(ValueError, match="Expected positive"):
        History(0, 3)
