import copy
import pickle
from functools import partial

import pytest
import torch

from ltgnn_pyg import Graph, PairLoader, fit
from ltgnn_pyg.inputs import Embeddings
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import HardNegatives, MarginLoss, PinSage
from ltgnn_pyg.sampler import RandomWalkSampler
from tests.dense import softmax_loss
from tests.toy import blocks


def unit(row):
    return row / row.norm().clamp(min=1e-12)


def slow(model, graph, start):
    """The equations, node by node, of the walks that the model takes."""
    neighbor, weight = model.sampler(graph.matrix).sample(torch.arange(len(start)))
    first = h = torch.stack([unit(row) for row in start])
    for conv in model.convs:
        message = [torch.clamp(conv.message(row), min=0.0) for row in h]
        out = []
        for v in range(len(h)):
            pooled, total = torch.zeros_like(h[v]), float(weight[v].sum())
            for j, w in zip(neighbor[v].tolist(), weight[v].tolist(), strict=True):
                pooled = pooled + w / max(total, 1.0) * message[j]
            both = torch.cat([pooled, h[v]])
            out.append(unit(torch.clamp(conv.update(both), min=0.0)))
        h = torch.stack(out)
    return first + h


@pytest.mark.parametrize("features", [None, "dense", "sparse"])
def test_from_its_equations(graph, pairs, features):
    x = None if features is None else torch.rand(5, 3).round()
    if features == "sparse":
        x = x.to_sparse()
    sampler = partial(RandomWalkSampler, num_neighbors=3, num_walks=4)
    model = PinSage(7, 5, 4, x=x, sampler=sampler, init_std=1.0).double()
    batch = next(iter(PairLoader(graph, pairs, batch_size=50, num_rounds=1)))
    batch.graph = PairLoader(graph, pairs).graph  # All pairs were left out.
    grads = []
    for by_node in (False, True):
        start = model.inputs.table()
        if x is not None:
            users, features = model.inputs.parts
            item = features.project(features.c.to_dense())
            start = torch.cat([users.weight, item])
        torch.manual_seed(5)
        z = (slow(model, batch.graph, start) if by_node
             else model.encode(batch.graph))  # fmt: skip
        model.zero_grad()
        loss = softmax_loss(z, *pairs[:, batch.input_id])
        loss.backward()
        grads.append([z, *(p.grad for p in model.parameters())])
        torch.manual_seed(5)
        torch.testing.assert_close(model.loss(batch), loss)
    torch.testing.assert_close(*grads)


def test_the_round_draws_from_its_own_graph(graph, pairs):
    """No pair of a round is a neighbour in it."""
    found = []

    def sampler(operator):
        found.append(operator)
        return RandomWalkSampler(operator)

    model = PinSage(7, 5, 4, sampler=sampler)
    for batch in PairLoader(graph, pairs, batch_size=5, num_rounds=2):
        model.loss(batch).backward()
        assert found[-1] is batch.graph.operator
    assert len(found) == 2


def test_items_without_interactions_have_vectors():
    """Features tell the block of an item that nobody has taken."""
    split = blocks()
    item = torch.arange(32)
    block = torch.nn.functional.one_hot(item // 8).float()
    model = PinSage(split.train.num_users, 32, 8, x=block, init_std=0.1)
    graph = Graph.from_interactions(split.train)
    optimizer = RowAdam(model.parameters(), lr=0.01)
    for _ in range(20):
        for batch in PairLoader(graph, batch_size=128, num_rounds=2):
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        known = model.item_vectors(graph)
        assert known.size() == (32, 8)
        torch.testing.assert_close(known.norm(dim=1), torch.ones(32))
        more = model.item_vectors(
            graph.append({"item": 4}), torch.cat([block, torch.eye(4)])
        )
    score = more[32:] @ more[:32].t()  # Of four new items, one a block.
    assert torch.equal(score.argmax(1) // 8, torch.arange(4))


def test_item_vectors_are_those_that_are_scored(graph):
    model, graph = PinSage(7, 5, 4), Graph.from_data(graph)
    torch.manual_seed(1)
    vectors = model.scorer(graph).vectors
    torch.manual_seed(1)
    with torch.no_grad():
        found = model.item_vectors(graph)
    torch.testing.assert_close(found, vectors.item)


def test_curriculum():
    loss_fn = HardNegatives(MarginLoss(in_batch=True), num_hard=0)
    graph = Graph.from_interactions(blocks().train)
    model = PinSage(graph.num_users, graph.num_items, 16, loss_fn=loss_fn)
    optimizer = RowAdam(model.parameters(), lr=0.01)
    losses = []
    for epoch in range(10):
        loss_fn.num_hard = 0 if epoch < 5 else 2
        for batch in PairLoader(graph, batch_size=128, num_rounds=4):
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[5] > losses[4] and losses[9] < losses[5]


@pytest.mark.parametrize("sparse", [True, False])
def test_features_go_where_the_model_goes(graph, sparse):
    x = torch.rand(5, 3).round()
    model = PinSage(7, 5, 4, x=x.to_sparse() if sparse else x)
    assert "x" not in model.state_dict()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.manual_seed(1)
        expected = model.encode(Graph.from_data(graph))
        torch.manual_seed(1)
        assert torch.equal(other.encode(Graph.from_data(graph)), expected)
    assert model.double().inputs.parts[1].c.dtype == torch.double
    split = blocks()
    features = torch.rand(32, 3)
    features = features.to_sparse() if sparse else features
    model = PinSage(split.train.num_users, 32, 4, x=features)
    report = fit(model, split, max_epochs=2)
    assert torch.equal(model.inputs.parts[1].c.to_dense(), features.to_dense())
    assert report.vectors.item.isfinite().all()


def test_bad_arguments(graph):
    with pytest.raises(ValueError, match="'num_layers'"):
        PinSage(7, 5, num_layers=0)
    for x in (torch.rand(4, 3), torch.rand(5), torch.ones(5, 3, dtype=torch.long)):
        with pytest.raises(ValueError, match="'x'"):
            PinSage(7, 5, x=x)
    for model in (PinSage(7, 5), PinSage(7, 5, x=torch.rand(5, 3))):
        with pytest.raises(ValueError, match="that the model was built with"):
            model.item_vectors(Graph.from_data(graph), torch.rand(5, 4))


def test_features_beside_given_inputs_are_refused():
    with pytest.raises(ValueError, match="'x' or 'inputs'"):
        PinSage(3, 2, 4, x=torch.eye(2), inputs=Embeddings(5, 4))
