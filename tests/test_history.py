import copy

import pytest
import torch

from ltgnn_pyg import History, normalized_adj
from tests.dense import dense_adj


def test_pull_push():
    history = History(6, 3)
    index = torch.tensor([4, 1])
    rows = torch.randn(2, 3)
    history.push("output", index, rows)
    torch.testing.assert_close(history.pull("output", index), rows)
    assert history.output.count_nonzero() == 6
    with pytest.raises(KeyError, match="pass 'gradient=True'"):
        history.pull("gradient", index)
    with pytest.raises(ValueError, match="together"):
        history.pull("output", index, torch.ones(2))
    with pytest.raises(KeyError, match="Expected one of"):
        history.push("nonsense", index, rows)


def test_accumulate():
    history = History(6, 3, gradient=True)
    index, rows = torch.tensor([4, 1]), torch.randn(2, 3)
    for _ in range(2):
        history.push("gradient", index, rows, accumulate=True)
    torch.testing.assert_close(history.pull("gradient", index), 2 * rows)


def test_without_control_variate(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    history = History(graph.num_nodes, 3, control_variate=False)
    assert [name for name, _ in history.named_buffers()] == ["reference"]
    output = torch.randn(graph.num_nodes, 3)
    history.refresh(adj_t, output)
    torch.testing.assert_close(history.output, output)
    history.push("output", torch.arange(2), 2 * output[:2])
    torch.testing.assert_close(history.output[:2], 2 * output[:2])
    with pytest.raises(KeyError, match="control_variate=True"):
        history.pull("difference", torch.arange(2))


def test_weighted_pull_equals_dense():
    history = History(6, 3)
    table = torch.randn(6, 3)
    history.push("output", torch.arange(6), table)
    index = torch.tensor([0, 5, 5, 2])
    weight, ptr = torch.rand(4), torch.tensor([0, 1, 1, 4])
    actual = history.pull("difference", index, weight, ptr)
    dense = torch.zeros(3, 6)
    dense.index_put_((torch.tensor([0, 2, 2, 2]), index), weight, accumulate=True)
    torch.testing.assert_close(actual, dense @ table)


def test_refresh_is_one_exact_product(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    dense = dense_adj(graph.edge_index, graph.num_nodes).float()
    history = History(graph.num_nodes, 3)
    output = torch.randn(graph.num_nodes, 3)
    history.push("output", torch.arange(graph.num_nodes), output)
    history.refresh(adj_t)
    everything = torch.arange(graph.num_nodes)
    torch.testing.assert_close(history.pull("reference", everything), output)
    torch.testing.assert_close(history.pull("aggregate", everything), dense @ output)
    assert history.pull("difference", everything).count_nonzero() == 0
    history.refresh(adj_t, 2 * output)
    torch.testing.assert_close(history.output, 2 * output)
    assert history.num_refreshes == 2
    with pytest.raises(ValueError, match="call 'resize'"):
        History(3, 3).refresh(adj_t)


def test_state_dict_and_reset(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    history = History(graph.num_nodes, 3, gradient=True, visits=True)
    for name in ("output", "gradient", "visits"):
        dim = 1 if name == "visits" else 3
        history.push(name, torch.arange(4), torch.randn(4, dim))
    history.refresh(adj_t)
    history.push("output", torch.arange(2), torch.randn(2, 3))
    state = copy.deepcopy(history.state_dict())
    history.reset_parameters()
    assert history.output.count_nonzero() == 0 and history.num_refreshes == 0
    history.load_state_dict(state)
    assert history.num_refreshes == 1
    for name, table in history.named_buffers():
        assert torch.equal(table, state[name])
        assert table.count_nonzero() > 0


def test_resize():
    history = History(4, 2, gradient=True)
    history.push("output", torch.arange(4), torch.ones(4, 2))
    history.resize(6)
    assert history.num_nodes == 6 and history.output.sum() == 8
    history.resize(3)
    assert history.num_nodes == 3 and history.output.sum() == 6
    assert history.state_dict()["gradient"].size(0) == 3


def test_bfloat16_storage_float32_arithmetic(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    history = History(graph.num_nodes, 4, dtype=torch.bfloat16)
    output = torch.randn(graph.num_nodes, 4).bfloat16().float()
    history.refresh(adj_t, output)
    index, weight = torch.arange(5), torch.rand(5)
    ptr = torch.tensor([0, 5])
    pulled = history.pull("reference", index, weight, ptr)
    assert pulled.dtype == torch.float32
    torch.testing.assert_close(pulled, (weight[:, None] * output[:5]).sum(0)[None])
    expected = (adj_t.to_dense() @ output).bfloat16()
    torch.testing.assert_close(history.aggregate, expected, atol=1e-2, rtol=1e-2)


def test_follows_the_model_unless_fixed():
    free, fixed = History(4, 2, visits=True), History(4, 2, dtype=torch.bfloat16)
    model = torch.nn.ModuleList([free, fixed]).double()
    assert model[0].reference.dtype == torch.double
    assert model[0].visits.dtype == torch.float32  # Counts.
    assert model[1].reference.dtype == torch.bfloat16
    model.to("meta")
    assert model[0].reference.is_meta
    fixed = torch.nn.ModuleList([History(4, 2, device="cpu")]).to("meta")
    assert not fixed[0].reference.is_meta


def test_bad_sizes():
    with pytest.raises(ValueError, match="Expected positive"):
        History(0, 3)
