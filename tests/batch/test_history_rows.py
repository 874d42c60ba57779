import copy

import pytest
import torch

from ltgnn_pyg import LTGNN, Graph, PairLoader, VRNeighborLoader
from ltgnn_pyg.batch import HistoryRows
from ltgnn_pyg.inputs import Embeddings
from ltgnn_pyg.nn import LightGCN, MatrixFactorization, history_step
from tests.toy import blocks

GRAPH = Graph.from_interactions(blocks().train)
SIZE = GRAPH.num_users, GRAPH.num_items


def build():
    return LTGNN(*SIZE, 8, K=None, alpha=0.3, init_std=0.5)


def test_rows_are_a_step_from_the_history():
    model = build()
    for batch in VRNeighborLoader(GRAPH, model, 2, batch_size=32):
        assert type(batch) is HistoryRows and batch.history is model.history
        x = model.inputs.weight[batch.seeds]
        expected = history_step(x, batch.aggregate, 0.3)
        others = torch.ones(GRAPH.num_nodes, dtype=torch.bool)
        others[batch.seeds] = False
        before = model.history.output()
        with torch.no_grad():
            torch.testing.assert_close(batch.rows(model), expected)
        assert torch.equal(model.history.output(), before)  # A look changes nothing.
        z = batch.rows(model)
        torch.testing.assert_close(z, expected)
        after = model.history.output()
        torch.testing.assert_close(after[batch.seeds], expected.detach())
        assert torch.equal(after[others], before[others])
        grad = torch.randn_like(z)
        (found,) = torch.autograd.grad(z, model.inputs.weight, grad)
        assert found.is_sparse
        expected = torch.zeros(GRAPH.num_nodes, 8).index_add(0, batch.seeds, grad)
        torch.testing.assert_close(found.to_dense(), 0.3 * expected)
        assert list(batch.micro_batches()) == [batch]


@pytest.mark.parametrize("form", ["history", "rounds", "inner steps"])
def test_a_batch_with_decay_looks_its_inputs_up_once(form, monkeypatch):
    if form == "history":
        model = LTGNN(*SIZE, 8, K=None, weight_decay=0.1)
        loader = VRNeighborLoader(GRAPH, model, 2, batch_size=32)
    else:
        make = LTGNN if form == "inner steps" else MatrixFactorization
        model = make(*SIZE, 8, weight_decay=0.1)
        loader = PairLoader(GRAPH, batch_size=32, inner_steps=form == "inner steps")
    looked_up, rows = [], Embeddings.rows
    monkeypatch.setattr(
        Embeddings, "rows", lambda *args: looked_up.append(args) or rows(*args)
    )
    model.loss(next(iter(loader)))
    assert len(looked_up) == 1


def test_models_without_that_history_are_refused():
    model = build()
    batch = next(iter(VRNeighborLoader(GRAPH, model, 2, batch_size=32)))
    with pytest.raises(ValueError, match="this model's history"):
        batch.rows(copy.deepcopy(model))
    with pytest.raises(ValueError, match=r"a model with a history \(got LightGCN\)"):
        batch.rows(LightGCN(*SIZE, 8))
