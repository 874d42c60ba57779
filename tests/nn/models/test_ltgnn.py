import pickle

import pytest
import torch
import torch.nn.functional as F

from ltgnn_pyg import LTGNN, ItemNegativeSampling, VRNeighborLoader, normalized_adj
from ltgnn_pyg.adjacency import without
from ltgnn_pyg.nn import SoftmaxLoss
from tests.dense import dense_adj
from tests.nn.models.test_recommender import train


def test_get_embedding_is_k_exact_steps(graph):
    model = LTGNN(
        graph.num_users,
        graph.num_items,
        4,
        alpha=0.3,
        K=4,
        residual=0.2,
        normalize=False,
        popularity=0.0,
    )
    x = model.embedding.weight.detach()
    adj = dense_adj(graph.edge_index, graph.num_nodes).float()
    z = x
    for _ in range(4):
        z = 0.7 * adj @ z + 0.3 * x
    expected = (z - 0.2 * x) / 0.8
    torch.testing.assert_close(model.get_embedding(graph.edge_index), expected)
    size = (graph.num_nodes, graph.num_nodes)
    ones = torch.ones(graph.num_edges)
    raw = torch.sparse_coo_tensor(graph.edge_index.flip(0), ones, size).to_sparse_csr()
    torch.testing.assert_close(model.get_embedding(raw), expected)
    model.refresh(normalized_adj(graph.edge_index, None, graph.num_nodes))
    torch.testing.assert_close(model.get_embedding(), expected)
    model = LTGNN(graph.num_users, graph.num_items, 4, popularity=0.0)
    # Softmax scores by cosine.
    norm = model.get_embedding(graph.edge_index).norm(dim=1)
    torch.testing.assert_close(norm, torch.ones(graph.num_nodes))


def test_refresh(graph):
    model = LTGNN(
        graph.num_users,
        graph.num_items,
        4,
        alpha=0.3,
        gradient="local",
        init_steps=2,
        refresh_steps=1,
        normalize=False,
        popularity=0.0,
    )
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    x = model.embedding.weight.detach()
    adj = dense_adj(graph.edge_index, graph.num_nodes).float()
    z = x
    for step in range(3):  # Two steps first, then one more.
        z = 0.7 * adj @ z + 0.3 * x
        if step > 0:
            model.refresh(adj_t)
            torch.testing.assert_close(model.history.output, z)
            torch.testing.assert_close(model.history.aggregate, adj @ z)
    model.warm_start, model.conv.K = True, 1
    expected = 0.7 * adj @ z + 0.3 * x
    torch.testing.assert_close(model.get_embedding(), expected)
    model.history.reset_parameters()  # Without a history it starts from x.
    torch.testing.assert_close(model.get_embedding(), 0.7 * adj @ x + 0.3 * x)


@pytest.mark.parametrize("warm_start", [False, True])
def test_history_elsewhere_and_narrow(graph, pairs, warm_start):
    """A model on another device than its history, as far as shapes can tell."""
    model = LTGNN(
        graph.num_users,
        graph.num_items,
        4,
        gradient="local",
        refresh_steps=1,
        warm_start=warm_start,
        history_device="cpu",
        history_dtype=torch.bfloat16,
    )
    loader = VRNeighborLoader(graph, model.history, 2, pairs, 5)
    train(model, loader, 2)
    assert model.history.reference.dtype == torch.bfloat16
    assert model.get_embedding().dtype == torch.float32
    rows = model.embedding.to("meta").weight  # Nothing is computed there.
    assert model._start(None).device == rows.device


def test_refresh_refuses_another_matrix(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    with pytest.raises(ValueError, match="sparse CSR matrix of size"):
        model.refresh(graph.edge_index)
    loops = VRNeighborLoader(graph, model.history, 2, pairs, add_self_loops=True)
    with pytest.raises(ValueError, match="without self-loops"):
        model.refresh(loops.adj_t)
    released = LTGNN.released(graph.num_users, graph.num_items, 4)
    plain = VRNeighborLoader(graph, released.history, 2, pairs)
    with pytest.raises(ValueError, match="with self-loops"):
        released.refresh(plain.adj_t)


def test_pickle_leaves_the_graph(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    model.refresh(VRNeighborLoader(graph, model.history, 2, pairs).adj_t)
    again = pickle.loads(pickle.dumps(model))
    expected = model.get_embedding()
    torch.testing.assert_close(again.get_embedding(graph.edge_index), expected)
    with pytest.raises(ValueError, match="pass 'edge_index'"):
        again.get_embedding()


@pytest.mark.parametrize("gradient", ["local", "history", "corrected"])
def test_gradient_is_sparse_and_of_seeds_only(graph, pairs, gradient):
    model = LTGNN(graph.num_users, graph.num_items, 4, gradient=gradient)
    loader = VRNeighborLoader(graph, model.history, 2, pairs, batch_size=2)
    model.refresh(loader.adj_t)
    batch = next(iter(loader))
    model.loss(batch).backward()
    grad = model.embedding.weight.grad
    assert grad.is_sparse
    seed = batch.n_id[: batch.num_seeds]
    assert torch.equal(grad.coalesce().indices()[0], seed.sort().values)
    before = model.history.output
    model.eval()
    model.loss(batch)
    assert torch.equal(model.history.output, before)  # Only training pushes.


def test_unroll_is_the_exact_gradient(graph, pairs):
    model = LTGNN(
        graph.num_users, graph.num_items, 4, gradient="unroll", K=5, weight_decay=0.1
    )
    loader = VRNeighborLoader(graph, None, 2, pairs, 6, "triplet")
    model.refresh(loader.adj_t)
    batch = next(iter(loader))
    loss = model.loss(batch)
    loss.backward()
    x = model.embedding.weight.detach().clone().requires_grad_()
    adj, z = dense_adj(graph.edge_index, graph.num_nodes).float(), x
    for _ in range(5):
        z = 0.9 * adj @ z + 0.1 * x
    index = [batch.n_id[i] for i in (batch.src_index, batch.dst_pos_index)]
    neg = batch.n_id[batch.dst_neg_index]
    expected = SoftmaxLoss()(z, *index, neg)
    expected = expected + 0.1 / 12 * sum(x[i].square().sum() for i in (*index, neg))
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.embedding.weight.grad, x.grad)


@pytest.mark.parametrize("neg", [None, "triplet"])
@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize("rounds", [1, 3, 100])
def test_delayed_is_the_exact_gradient_of_a_round(graph, pairs, neg, leave_out, rounds):
    settings = {"K": 3, "weight_decay": 0.1, "init_std": 0.1, "residual": 0.3}
    sizes = (graph.num_users, graph.num_items, 4)
    exact = LTGNN(*sizes, gradient="unroll", **settings)
    model = LTGNN(*sizes, leave_out=leave_out, **settings)
    model.embedding.load_state_dict(exact.embedding.state_dict())
    loader = VRNeighborLoader(graph, model.history, 2, pairs, 4, neg, rounds=rounds)
    for _ in range(2):
        for each in (exact, model):
            each.refresh(loader.adj_t)
        ends = 0
        for batch in loader:
            assert batch.edge_index.numel() == 0  # No neighbours are sampled.
            assert model.embedding.weight.grad is None  # Optimizers pass it by.
            if "round_edge_index" in batch:
                in_round = batch.round_edge_index
                if leave_out:
                    exact._adj_t = without(loader.adj_t, in_round)
            loss, expected = model.loss(batch), exact.loss(batch)
            torch.testing.assert_close(loss, expected)
            (expected * batch.src_index.numel() / in_round.size(1)).backward()
            loss.backward()
            if model.embedding.weight.grad is None:
                continue
            ends += 1
            grads = [each.embedding.weight.grad for each in (model, exact)]
            torch.testing.assert_close(*grads, atol=1e-4, rtol=1e-4)
            with torch.no_grad():
                exact.embedding.weight -= 0.3 * exact.embedding.weight.grad
                model.embedding.weight.copy_(exact.embedding.weight)
            for each in (exact, model):
                each.zero_grad()
        assert ends == min(rounds, len(loader))


def test_delayed_on_batches_of_another_loader(graph, pairs):
    """Each batch is a round of its own, and evaluation gathers nothing."""
    model = LTGNN(graph.num_users, graph.num_items, 4, leave_out=False)
    loader = VRNeighborLoader(graph, None, 0, pairs, 4)
    model.refresh(loader.adj_t)
    for batch in loader:
        with torch.no_grad():
            value = model.loss(batch)
        loss = model.loss(batch)
        torch.testing.assert_close(loss, value)
        loss.backward()
        assert model.embedding.weight.grad.abs().sum() > 0
        model.zero_grad()


def test_released_behaviour_equals_its_equations(graph, pairs):
    """Two epochs of the released preset against a dense re-computation."""
    U, n, d, alpha, lr = graph.num_users, graph.num_nodes, 4, 0.45, 0.0015
    model = LTGNN.released(U, graph.num_items, d).double()
    loader = VRNeighborLoader(
        graph,
        model.history,
        num_neighbors=-1,  # All, so that nothing but the batches is random.
        batch_size=6,
        add_self_loops=True,
        user_balanced=True,
        neg_sampling=ItemNegativeSampling(
            U, graph.num_items, edge_index=pairs[:, 1:], reject_seen=True
        ),
        edge_label_index=pairs,
    )
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=lr)
    adj = dense_adj(graph.edge_index, n, add_self_loops=True)

    x = model.embedding.weight.detach().clone()
    z, v = x.clone(), torch.zeros_like(x)
    m1, m2, step = torch.zeros_like(x), torch.zeros_like(x), 0
    for _ in range(7):  # The history starts from seven exact steps.
        z = (1 - alpha) * adj @ z + alpha * x
    for _ in range(2):
        model.refresh(loader.adj_t)
        for batch in loader:
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()

            src, pos, neg = (
                batch.n_id[i]
                for i in (batch.src_index, batch.dst_pos_index, batch.dst_neg_index)
            )
            seed = torch.cat([src, pos, neg]).unique()
            z_seed = ((1 - alpha) * adj @ z + alpha * x)[seed]
            z[seed] = z_seed
            z_leaf, x_leaf = z.clone().requires_grad_(), x.clone().requires_grad_()
            out = (z_leaf - 0.2 * x_leaf) / 0.8
            score = (out[src] * (out[pos] - out[neg])).sum(1)
            decay = sum(x_leaf[i].square().sum() for i in (src, pos, neg))
            expected = -F.logsigmoid(score).mean() + 2e-4 / (2 * src.numel()) * decay
            torch.testing.assert_close(loss, expected)
            g, direct = torch.autograd.grad(expected, (z_leaf, x_leaf))
            v_seed = ((1 - alpha) * adj @ v + alpha * g)[seed]
            v[seed] = v_seed
            grad = (v + direct)[seed]
            step += 1
            m1[seed] = 0.9 * m1[seed] + 0.1 * grad  # Rows of the seeds only.
            m2[seed] = 0.999 * m2[seed] + 0.001 * grad.square()
            scale = lr * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            x[seed] -= scale * m1[seed] / (m2[seed].sqrt() + 1e-8)

            torch.testing.assert_close(model.embedding.weight.detach(), x)
            torch.testing.assert_close(model.history.output, z)
            torch.testing.assert_close(model.history.gradient, v)
    z = x
    for _ in range(3):  # Inference ignores the history.
        z = (1 - alpha) * adj @ z + alpha * x
    expected = (z - 0.2 * x) / 0.8
    torch.testing.assert_close(model.get_embedding(graph.edge_index).detach(), expected)


def test_x_from_an_encoder(graph, pairs):
    """Content features in place of the table; the encoder learns."""
    feature = torch.randn(graph.num_nodes, 3)
    encoder = torch.nn.Linear(3, 4)
    model = LTGNN(graph.num_users, graph.num_items, 4, embedding=False)
    assert list(model.parameters()) == []
    loader = VRNeighborLoader(graph, model.history, 2, pairs, 5)
    model.refresh(loader.adj_t, x=encoder(feature))
    for batch in loader:
        encoder.zero_grad()
        model.loss(batch, x=encoder(feature[batch.n_id[: batch.num_seeds]])).backward()
        assert encoder.weight.grad.abs().sum() > 0
    z = model.get_embedding(x=encoder(feature))
    assert z.shape == (graph.num_nodes, 5)
    model.recommend(torch.tensor([1]), 2, embedding=z.detach())
    with pytest.raises(ValueError, match="Expected 'x'"):
        model.get_embedding()


def test_alpha_one_is_matrix_factorisation(graph, pairs):
    model = LTGNN(
        graph.num_users, graph.num_items, 4, alpha=1.0, normalize=False, popularity=0.0
    )
    loader = VRNeighborLoader(graph, model.history, 1, pairs, 100)
    model.refresh(loader.adj_t)
    batch = next(iter(loader))
    x = model.embedding.weight
    torch.testing.assert_close(model.get_embedding(), x)
    index = [batch.n_id[i] for i in (batch.src_index, batch.dst_pos_index)]
    expected = SoftmaxLoss()(x, *index)
    torch.testing.assert_close(model.loss(batch), expected)


def test_state_dict_holds_the_history(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4, gradient="corrected")
    train(model, VRNeighborLoader(graph, model.history, 2, pairs, 5), 1)
    other = LTGNN(graph.num_users, graph.num_items, 4, gradient="corrected")
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.history.output, model.history.output)
    assert other.history.num_refreshes == model.history.num_refreshes > 0
    model.reset_parameters()
    assert model.history.num_refreshes == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="Expected 'gradient'"):
        LTGNN(2, 3, gradient="exact")
    with pytest.raises(ValueError, match="Expected 'residual'"):
        LTGNN(2, 3, residual=1.0)
    with pytest.raises(ValueError, match="'init_steps' and 'refresh_steps'"):
        LTGNN(2, 3, init_steps=-1)
    with pytest.raises(ValueError, match="'warm_start=False'"):
        LTGNN(2, 3, gradient="unroll", warm_start=True)
    with pytest.raises(ValueError, match="Expected a table"):
        LTGNN(2, 3, gradient="delayed", embedding=False)
