import pytest
import torch
import torch.nn.functional as F

from ltgnn_pyg import Graph, PairLoader
from ltgnn_pyg.nn import DGCF, BPRLoss, LightGCN
from ltgnn_pyg.nn.models.dgcf import distance_correlation
from tests.dense import dense_adj


def loop(x, edge_index, num_intents, num_layers, num_iterations):
    """The reference code again: an edge, a node and an intent at a time."""
    source, target = edge_index.tolist()
    num_nodes = x.size(0)
    ego = list(x.chunk(num_intents, 1))
    layers = [ego]
    logit = [[x.new_ones(()) for _ in source] for _ in range(num_intents)]
    for _ in range(num_layers):
        tail = [F.normalize(part, dim=1).tanh() for part in ego]
        for _ in range(num_iterations):
            share = [
                torch.stack([part[e] for part in logit]).softmax(0)
                for e in range(len(source))
            ]
            out = []
            for k in range(num_intents):
                degree = [x.new_zeros(())] * num_nodes
                for e, head in enumerate(target):
                    degree[head] = degree[head] + share[e][k]
                rows = [torch.zeros_like(ego[k][0])] * num_nodes
                for e, (t, h) in enumerate(zip(source, target, strict=True)):
                    weight = share[e][k] / (degree[h] * degree[t]).sqrt()
                    rows[h] = rows[h] + weight * ego[k][t]
                out.append(torch.stack(rows))
                for e, (t, h) in enumerate(zip(source, target, strict=True)):
                    head = F.normalize(out[k][h], dim=0)
                    logit[k][e] = logit[k][e] + head @ tail[k][t]
        ego = out
        layers.append(ego)
    means = [sum(parts) / (num_layers + 1) for parts in zip(*layers, strict=True)]
    return torch.cat(means, 1)


def build(num_intents=2, num_layers=1, **kwargs):
    kwargs.setdefault("init_std", 1.0)
    sizes = {"num_intents": num_intents, "num_layers": num_layers}
    return DGCF(7, 5, 4, **sizes, **kwargs).double()


@pytest.mark.parametrize("num_intents", [1, 2, 4])
@pytest.mark.parametrize("num_layers, num_iterations", [(1, 1), (1, 2), (2, 2)])
def test_equals_the_loop(graph, num_intents, num_layers, num_iterations):
    model = build(num_intents, num_layers, num_iterations=num_iterations)
    x = model.inputs.weight.detach().clone().requires_grad_()
    expected = loop(x, graph.edge_index, num_intents, num_layers, num_iterations)
    z = model.encode(Graph.from_data(graph))
    torch.testing.assert_close(z, expected, atol=1e-6, rtol=1e-6)
    g = torch.randn_like(z)
    z.backward(g)
    expected.backward(g)
    torch.testing.assert_close(model.inputs.weight.grad, x.grad, atol=1e-6, rtol=1e-6)


def test_an_isolated_node(graph):
    graph.num_nodes += 1
    model = DGCF(7, 6, 4, num_intents=2)
    z = model.encode(Graph.from_data(graph))
    torch.testing.assert_close(z[-1], model.inputs.weight[-1] / 2)
    z.square().sum().backward()
    assert model.inputs.weight.grad.isfinite().all()


@pytest.mark.parametrize("num_layers", [1, 3])
def test_one_intent_is_light_gcn(graph, pairs, num_layers):
    """Edges that are left out, and weights, count as they do there."""
    model = build(1, num_layers, num_iterations=1)
    other = LightGCN(7, 5, 4, num_layers=num_layers).double()
    other.load_state_dict(model.state_dict())
    weight = torch.rand(pairs.size(1)).repeat(2) + 0.1
    for edge_weight in (None, weight):
        graph.edge_weight = edge_weight
        whole = Graph.from_data(graph)
        for given in (whole, whole.without(pairs[:, :9])):
            actual, expected = model.encode(given), other.encode(given)
            torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-6)


def test_what_is_left_out_has_no_say_in_the_routing(graph, pairs):
    """Only in the degrees, alike in all intents."""
    model = build(2, 1)
    z = model.encode(Graph.from_data(graph).without(pairs[:, :1]))
    u, i = pairs[:, 0].tolist()
    keep = (graph.edge_index[0] != u) | (graph.edge_index[1] != i)
    keep &= (graph.edge_index[0] != i) | (graph.edge_index[1] != u)
    kept = graph.edge_index[:, keep]
    # The loop over the other edges, but with half an edge more in two degrees.
    weight = dense_adj(kept, 12, torch.ones(kept.size(1))) > 0
    x = model.inputs.weight.detach().view(12, 2, 2).transpose(0, 1)
    extra = torch.zeros(12, dtype=torch.double)
    extra[[u, i]] = 0.5
    t = F.normalize(x, dim=-1).tanh()
    s = torch.ones(2, 12, 12, dtype=torch.double)
    for _ in range(2):
        p = s.softmax(0) * weight
        scale = (p.sum(2) + extra).rsqrt().unsqueeze(2)
        out = scale * (p @ (scale * x))
        s = s + F.normalize(out, dim=-1) @ t.transpose(1, 2)
    expected = ((x + out) / 2).transpose(0, 1).reshape(12, 4)
    torch.testing.assert_close(z, expected, atol=1e-6, rtol=1e-6)


def test_frozen_routing_has_the_values_and_the_adjoint_of_its_matrices(graph):
    model, frozen = build(2, 2), build(2, 2, frozen_routing=True)
    frozen.load_state_dict(model.state_dict())
    graph = Graph.from_data(graph)
    torch.testing.assert_close(model.encode(graph), frozen.encode(graph))
    # Linear, as far as the gradient goes: g^T Z(X) = grad^T X.
    z = frozen.encode(graph)
    g = torch.randn_like(z)
    z.backward(g)
    x = frozen.inputs.weight
    torch.testing.assert_close((x.grad * x).sum(), (g * z).sum())
    model.encode(graph).backward(g)
    assert not torch.allclose(model.inputs.weight.grad, x.grad)


def dcor(x, y):
    """Distance correlation by its definition, two rows at a time."""

    def centred(x):
        d = torch.stack([torch.stack([(a - b).norm() for a in x]) for b in x])
        return d - d.mean(0, keepdim=True) - d.mean(1, keepdim=True) + d.mean()

    a, b = centred(x), centred(y)
    n = x.size(0)
    cov, var = (a * b).sum() / n**2, ((a * a).sum() * (b * b).sum()).sqrt() / n**2
    return (cov / var).sqrt()


def test_distance_correlation():
    x, y = torch.randn(2, 9, 3, dtype=torch.double)
    expected = dcor(x, y)
    torch.testing.assert_close(
        distance_correlation(x, y), expected, atol=1e-4, rtol=1e-4
    )
    turned = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double))[0]
    one = torch.ones((), dtype=torch.double)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(distance_correlation(x, 2 * x @ turned), one, **close)


def test_loss_adds_the_correlation_of_neighbouring_intents(graph):
    batch = next(iter(PairLoader(graph, batch_size=5, num_rounds=3)))
    model, plain = build(4, cor_weight=0.3), build(4, cor_weight=0.0)
    plain.load_state_dict(model.state_dict())
    parts = plain.encode(batch.graph).chunk(4, 1)  # All of the few nodes are drawn.
    cor = sum(distance_correlation(parts[k], parts[k + 1]) for k in range(3)) / 10
    expected = plain.loss(batch) + 0.3 * cor
    loss = model.loss(batch)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(model.inputs.weight.grad, plain.inputs.weight.grad)


def test_nodes_are_drawn_without_replacement(graph):
    batch = next(iter(PairLoader(graph)))
    model, seen = build(2, num_cor_nodes=3), []
    model._correlation(model.encode(batch.graph), batch.graph)  # Draws.
    for seed in range(20):
        torch.manual_seed(seed)
        user, item = torch.randperm(7)[:3], torch.randperm(5)[:3] + 7
        torch.manual_seed(seed)
        z = torch.arange(48, dtype=torch.double).view(12, 4).square()
        rows = z[torch.cat([user, item])].chunk(2, 1)
        expected = distance_correlation(*rows) / 3
        torch.testing.assert_close(model._correlation(z, batch.graph), expected)
        seen.append(user)
    assert torch.cat(seen).unique().numel() == 7


def test_trains_with_drawn_negatives_and_decay(graph, pairs):
    loader = PairLoader(graph, pairs, batch_size=5, neg_sampling="triplet")
    model = build(2, loss_fn=BPRLoss(), weight_decay=0.1)
    plain = build(2, loss_fn=BPRLoss(), cor_weight=0.0)
    plain.load_state_dict(model.state_dict())
    batch = next(iter(loader))
    model.cor_weight = 1e-9
    x = model.inputs.weight[batch.n_id]
    expected = plain.loss(batch) + model.decay(x, batch)
    torch.testing.assert_close(model.loss(batch), expected)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"num_intents": 3}, "divide"),
        ({"num_layers": 0}, "positive"),
        ({"num_iterations": 0}, "positive"),
        ({"num_cor_nodes": 0}, "positive"),
        ({"cor_weight": -1.0}, "'cor_weight'"),
    ],
)
def test_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        DGCF(7, 5, 4, **{"num_intents": 2, **kwargs})
