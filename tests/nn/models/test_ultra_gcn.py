import math

import pytest
import torch
import torch.nn.functional as F

from ltgnn_pyg import Graph, ItemNegativeSampling, PairLoader
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.graph import Edges
from ltgnn_pyg.nn import (
    BCELoss,
    MatrixFactorization,
    SoftmaxLoss,
    UltraGCN,
    UltraGCNLoss,
)
from tests.graph.test_item_graph import dense


def shared(graph, **kwargs):
    neg = ItemNegativeSampling(7, 5, 4, shared=True)
    kwargs.setdefault("batch_size", 6)
    return PairLoader(graph, neg_sampling=neg, **kwargs)


@pytest.mark.parametrize("inner_steps", [False, True])
def test_without_its_own_it_is_weighted_bce(graph, inner_steps):
    loss_fn = UltraGCNLoss(1.0, 0.0, 1.0, 0.0, negative_weight=30.0)
    settings = {"weight_decay": 0.1, "init_std": 1.0}
    model = UltraGCN(7, 5, 4, loss_fn=loss_fn, item_weight=0.0, gamma=0.0, **settings)
    other = MatrixFactorization(7, 5, 4, loss_fn=BCELoss(30.0), **settings)
    other.load_state_dict(model.state_dict())
    for batch in shared(graph, num_rounds=2, inner_steps=inner_steps):
        model.zero_grad()
        other.zero_grad()
        loss, expected = model.loss(batch), other.loss(batch)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        expected.backward()
        grads = [m.inputs.weight.grad for m in (model, other)]
        assert all(grad.is_sparse for grad in grads)
        torch.testing.assert_close(*(grad.to_dense() for grad in grads))


@pytest.mark.parametrize("leave_out", [True, False])
def test_equals_the_equations(graph, pairs, leave_out):
    """Pair by pair, with the degrees and the items of the whole graph."""
    settings = {"item_weight": 0.7, "num_neighbors": 3, "gamma": 0.2, "init_std": 1.0}
    model = UltraGCN(7, 5, 4, loss_fn=UltraGCNLoss(), **settings).double()
    omega = dense(pairs, 7, 5)
    degree = torch.bincount(graph.edge_index[1], minlength=12).double()
    for batch in shared(graph, num_rounds=2, leave_out=leave_out):
        x = model.inputs.weight.detach().clone().requires_grad_()
        expected, total = 0.0, batch.src_index.numel()
        for m, start in enumerate(batch.pair_ptr[:-1]):
            end = batch.pair_ptr[m + 1]
            num, js = end - start, batch.n_id[batch.dst_neg_index[m]].tolist()
            for b in range(start, end):
                u = int(batch.n_id[batch.src_index[b]])
                i = int(batch.n_id[batch.dst_pos_index[b]])
                beta_u = math.sqrt(degree[u] + 1) / degree[u]
                beta = (degree + 1).rsqrt()
                term = (1e-6 + beta_u * beta[i]) * F.softplus(-x[u] @ x[i])
                for j in js:
                    weight = 300.0 / len(js) * (1e-6 + beta_u * beta[j])
                    term = term + weight * F.softplus(x[u] @ x[j])
                value, near = omega[i - 7].topk(3)
                for w, j in zip(value, near, strict=True):
                    term = term + 0.7 * w * F.softplus(-x[u] @ x[7 + j])
                norm = x[u].square().sum() / degree[u]
                norm = norm + x[i].square().sum() / degree[i]
                term = term + 0.2 / 2 * pairs.size(1) / num * norm
                expected = expected + term / total
        model.zero_grad()
        loss = model.loss(batch)
        torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
        loss.backward()
        expected.backward()
        actual = model.inputs.weight.grad.to_dense()
        torch.testing.assert_close(actual, x.grad, atol=1e-6, rtol=1e-6)


def test_the_norm_of_all_rows_in_the_mean(graph, pairs):
    """Over an epoch of equal batches, of what the reference code adds to each."""
    settings = {"item_weight": 0.0, "init_std": 1.0}
    model = UltraGCN(7, 5, 4, gamma=0.3, **settings)
    plain = UltraGCN(7, 5, 4, gamma=0.0, **settings)
    plain.load_state_dict(model.state_dict())
    assert pairs.size(1) % 3 == 0
    size = pairs.size(1) // 3
    loader = shared(graph, batch_size=size, num_rounds=3)
    batches = list(loader)
    assert len(batches) == 3
    extra = [float((model.loss(b) - plain.loss(b)).detach()) for b in batches]
    expected = 0.3 / (2 * size) * float(model.inputs.weight.detach().square().sum())
    assert sum(extra) / 3 == pytest.approx(expected, rel=1e-3)


def test_the_norm_of_all_rows_whatever_edges_weigh():
    """Of a batch of all pairs it is exact, with weights and edges of other types."""
    known = Interactions(
        torch.tensor([0, 0, 1, 2, 2, 2]),
        torch.tensor([0, 1, 1, 0, 2, 1]),
        3,
        3,
        weight=torch.rand(6) + 0.1,
    )
    follows = Edges(torch.tensor([[0], [1]]))
    graph = Graph.from_interactions(known)
    graph = graph.append({"item": 1}, follows, ("user", "follows", "user"))
    ones = torch.ones(6)
    (batch,) = PairLoader(graph, edge_label_weight=ones, num_rounds=1, batch_size=6)
    settings = {"item_weight": 0.0, "init_std": 1.0}
    losses = []
    for gamma in (0.3, 0.0):
        torch.manual_seed(3)
        model = UltraGCN(3, 4, 4, gamma=gamma, **settings)
        losses.append(model.loss(batch))
    norm = model.inputs.weight[:6].square().sum()  # The new item has no pair.
    torch.testing.assert_close(losses[0] - losses[1], 0.3 / (2 * 6) * norm)


def test_draws_a_pool_for_each_micro_batch(graph):
    """From torch's global generator, where the loader brings none."""
    model = UltraGCN(7, 5, 4, num_negatives=3, init_std=1.0, item_weight=0.0)
    batch = next(iter(PairLoader(graph, batch_size=6, num_rounds=1)))
    torch.manual_seed(4)
    loss = model.loss(batch)
    torch.manual_seed(4)
    pools = [torch.randint(5, (1, 3)) + 7 for _ in batch.pair_ptr[1:]]
    num = batch.n_id.numel()
    batch.n_id = torch.cat([batch.n_id, *[pool.view(-1) for pool in pools]])
    ptr, new = batch.seed_ptr, [0]
    # The pools stand behind the nodes of their micro-batches.
    index, moved = [], torch.empty(num, dtype=torch.long)
    for m, pool in enumerate(pools):
        seeds = torch.arange(ptr[m], ptr[m + 1])
        moved[seeds] = seeds + 3 * m
        index += [seeds, num + 3 * m + torch.arange(pool.numel())]
        new.append(ptr[m + 1] + 3 * (m + 1))
    batch.n_id = batch.n_id[torch.cat(index)]
    batch.num_seeds, batch.seed_ptr = batch.n_id.numel(), new
    batch.src_index = moved[batch.src_index]
    batch.dst_pos_index = moved[batch.dst_pos_index]
    last = torch.tensor(new[1:]).unsqueeze(1)
    batch.dst_neg_index = last - 3 + torch.arange(3)
    torch.testing.assert_close(model.loss(batch), loss)


def test_other_objectives(graph):
    """In place of its own, with the item graph beside."""
    settings = {"item_weight": 0.0, "gamma": 0.0, "loss_fn": SoftmaxLoss()}
    model = UltraGCN(7, 5, 4, init_std=1.0, **settings)
    other = MatrixFactorization(7, 5, 4)
    other.load_state_dict(model.state_dict())
    batch = next(iter(PairLoader(graph, batch_size=6)))
    torch.testing.assert_close(model.loss(batch), other.loss(batch))
    model.item_weight = 0.1
    assert model.loss(batch) > other.loss(batch)


def test_negatives_weigh_in_proportion_to_the_items():
    assert UltraGCN(7, 270).loss_fn.negative_weight == 2.0


def test_scores_by_inner_product(graph):
    model = UltraGCN(7, 5, 4)
    vectors = model.scorer(Graph.from_data(graph)).vectors
    x = model.inputs.weight.detach()
    assert torch.equal(torch.cat([vectors.user, vectors.item]), x)
    assert vectors.item_bias is None


def test_leaves_the_batch_as_it_is(graph):
    batch = next(iter(PairLoader(graph, batch_size=6, inner_steps=True)))
    before = set(batch.keys())
    UltraGCN(7, 5, 4).loss(batch)
    assert set(batch.keys()) == before


def test_bad_arguments():
    for name in ("num_neighbors", "num_negatives"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            UltraGCN(7, 5, **{name: 0})
    for name in ("item_weight", "gamma"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            UltraGCN(7, 5, **{name: -1.0})
