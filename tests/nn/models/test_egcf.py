import pytest
import torch

from ltgnn_pyg import Graph, PairLoader, fit
from ltgnn_pyg.nn import EGCF, BPRLoss, EGCFLoss, SoftmaxLoss
from ltgnn_pyg.nn.init import spectral_
from tests.dense import dense_adj
from tests.toy import blocks


def dense(model, a):
    """The reference code's two ways, from its block of users and items."""
    r, item = a[:7, 7:], model.inputs.weight
    if model.alternating:
        users, items = [], []
        for _ in range(model.num_layers):
            users.append((r @ item).tanh())
            item = (r.t() @ users[-1]).tanh()
            items.append(item)
        return torch.cat([sum(users), sum(items)])
    h, layers = torch.cat([(r @ item).tanh(), item]), []
    for _ in range(model.num_layers):
        h = (a @ h).tanh()
        layers.append(h)
    return sum(layers)


@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_equals_the_dense_form(graph, pairs, alternating, num_layers):
    settings = {"alternating": alternating, "num_layers": num_layers}
    model = EGCF(7, 5, 4, init_std=1.0, **settings).double()
    a = dense_adj(graph.edge_index, 12)
    whole = Graph.from_data(graph)
    u, i = pairs[:, :4]
    left_out = a.clone()
    left_out[u, i] = left_out[i, u] = 0.0
    for sparse, matrix in ((whole, a), (whole.without(pairs[:, :4]), left_out)):
        z, expected = model.encode(sparse), dense(model, matrix)
        torch.testing.assert_close(z, expected, atol=1e-6, rtol=1e-6)
        g, x = torch.randn_like(z), model.inputs.weight
        actual, expected = (torch.autograd.grad(t, x, g)[0] for t in (z, expected))
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-6)


def test_users_have_no_rows():
    model = EGCF(7, 5, 4)
    assert [tuple(p.size()) for p in model.parameters()] == [(5, 4)]
    inputs = model.inputs
    assert (inputs.first, inputs.num_rows, inputs.num_nodes) == (7, 5, 12)
    assert not inputs.table()[:7].any() and torch.equal(
        inputs.table()[7:], inputs.weight
    )


def test_the_spectral_start_is_that_of_the_items(graph):
    graph = Graph.from_data(graph)
    model = EGCF(7, 5, 4)
    torch.manual_seed(1)
    expected = spectral_(torch.empty(12, 4), graph)
    torch.manual_seed(1)
    model.init_table(spectral_, graph)
    assert torch.equal(model.inputs.weight, expected[7:])


def test_decay_is_of_items(graph, pairs):
    loader = PairLoader(graph, pairs, batch_size=6, neg_sampling="triplet")
    batch = next(iter(loader))
    model = EGCF(7, 5, 4, loss_fn=BPRLoss(), weight_decay=0.3, init_std=1.0)
    plain = EGCF(7, 5, 4, loss_fn=BPRLoss())
    plain.load_state_dict(model.state_dict())
    square = model.inputs.weight.square().sum(1)
    rows = square[batch.n_id[batch.dst_pos_index] - 7]
    rows = rows + square[batch.n_id[batch.dst_neg_index] - 7]
    loss, expected = model.loss(batch), plain.loss(batch) + 0.3 / 2 * rows.mean()
    torch.testing.assert_close(loss, expected)
    x = model.inputs.weight
    actual = torch.autograd.grad(loss, x)[0].to_dense()
    expected = torch.autograd.grad(0.3 / 2 * rows.mean(), x)[0]
    expected = expected + torch.autograd.grad(plain.loss(batch), plain.parameters())[0]
    torch.testing.assert_close(actual, expected)


def test_its_objective():
    model = EGCF(7, 5, 4)
    assert isinstance(model.loss_fn, EGCFLoss)
    assert isinstance(EGCF(7, 5, 4, loss_fn=SoftmaxLoss()).loss_fn, SoftmaxLoss)


def test_alternating_is_fitted_too():
    split = blocks()
    model = EGCF(64, 32, 8, alternating=True)
    report = fit(model, split, max_epochs=2)
    assert report.vectors.user.shape == (64, 8)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'num_layers'"):
        EGCF(7, 5, num_layers=0)
