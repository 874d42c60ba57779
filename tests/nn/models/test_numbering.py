"""Equality by two routes: users and items numbered at once, or as they came."""

import pytest
import torch

from ltgnn_pyg import Graph, ItemNegativeSampling, PairLoader, nn
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.graph import item_graph
from ltgnn_pyg.inputs import Embeddings
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.scorers import Query
from tests.toy import MODELS, ThreeLayers

U, I, DIM = 8, 6, 8
LOSSES = {
    "default": lambda: None,
    "guided": lambda: nn.GuidedSoftmaxLoss(I, 3),
    "drawn": lambda: nn.BPRLoss(),
}
#: Whatever is drawn for nodes in their order is left out.
PLAIN = {"SGL": {"edge_dropout": 0.0}, "NGCF": {"dropout": 0.0}}
PLAIN |= {"SimGCL": {"eps": 0.0}, "XSimGCL": {"eps": 0.0}}
#: Those that take inputs, less the one whose walks are drawn so.
GIVEN = [cls for cls in MODELS if cls not in (nn.PinSage, ThreeLayers)]


@pytest.fixture
def pairs():
    key = torch.randperm(U * I)[:25]
    weight = torch.rand(25) + 0.5
    return Interactions(key // I, key % I, U, I, weight=weight)


def graphs(pairs):
    """The graph at once; the one of nodes that came later, between each other; and the
    numbers there.
    """
    first = pairs[(pairs.user < 5) & (pairs.item < 4)]
    grown = Graph.from_interactions(Interactions(first.user, first.item, 5, 4))
    grown = grown.append({"item": 1, "user": 2}).append({"user": 1, "item": 1})
    grown = grown.with_interactions(pairs)
    ends = ("user", U), ("item", I)
    n_id = torch.cat([grown.number(name, torch.arange(num)) for name, num in ends])
    assert n_id.tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 5, 6, 7, 8, 9, 13]
    return Graph.from_interactions(pairs), grown, n_id


def steps(model, graph, pairs, drawn, inner_steps):
    """The loss and the gradient of each batch."""
    model.loss_fn.prepare(graph)
    negatives = None
    if drawn:
        known = {"edge_index": graph.pairs(pairs), "numbering": graph.numbering}
        negatives = ItemNegativeSampling(U, I, 3, power=0.5, **known)
    weight = pairs.weight if model.loss_fn.takes_weights else torch.ones(25)
    loader = PairLoader(
        graph,
        graph.pairs(pairs),
        edge_label_weight=weight,
        batch_size=8,
        num_rounds=2,
        inner_steps=inner_steps,
        neg_sampling=negatives,
        shuffle=False,
    )
    torch.manual_seed(2)
    for batch in loader:
        model.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        grad = model.inputs.weight.grad
        yield loss.detach(), grad.to_dense() if grad.is_sparse else grad


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cls", GIVEN, ids=lambda cls: cls.__name__)
def test_numbers_of_nodes_have_no_say(cls, loss, pairs):
    one, grown, n_id = graphs(pairs)
    table = torch.empty(U + I, DIM)
    start = 0.5 * torch.randn(U + I, DIM)
    table[n_id] = start
    models = []
    for rows in (start, table):
        inputs = Embeddings(U + I, DIM)
        inputs.fill(rows)
        torch.manual_seed(1)
        kwargs = {"loss_fn": LOSSES[loss](), **PLAIN.get(cls.__name__, {})}
        models.append(cls(U, I, DIM, inputs=inputs, weight_decay=0.1, **kwargs))
    found, expected = models[1].scorer(grown), models[0].scorer(one)
    for name in ("user", "item", "item_bias"):
        a, b = getattr(found.vectors, name), getattr(expected.vectors, name)
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    items = torch.tensor([0, 1, 2, 3]), torch.tensor([5, 4, 0])
    query = Query(user=torch.tensor([1, 6, 7]), items=items)
    torch.testing.assert_close(
        found.score(query), expected.score(query), atol=1e-5, rtol=1e-5
    )
    for inner_steps in (False, True):
        if inner_steps and models[0].coefficients is None:
            continue
        both = [
            [*steps(model, graph, pairs, loss == "drawn", inner_steps)]
            for model, graph in zip(models, (one, grown), strict=True)
        ]
        for (a, of_a), (b, of_b) in zip(*both, strict=True):
            torch.testing.assert_close(b, a, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(of_b[n_id], of_a, atol=1e-5, rtol=1e-5)


def test_starts_and_items_that_go_together(pairs):
    one, grown, n_id = graphs(pairs)
    for a, b in zip(item_graph(one, 3), item_graph(grown, 3), strict=True):
        torch.testing.assert_close(a, b)
    tables = []
    for graph in (one, grown):
        torch.manual_seed(4)
        tables.append(spectral_(torch.empty(U + I, 4), graph).abs())  # Signs are free.
    torch.testing.assert_close(tables[1][n_id], tables[0], atol=1e-5, rtol=1e-5)
