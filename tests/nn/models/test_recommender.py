"""What every model must do, on graphs whose answer is known."""

import copy

import pytest
import torch
from torch_geometric.data import Data

from ltgnn_pyg import LTGNN, ItemNegativeSampling, VRNeighborLoader
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization, SoftmaxLoss
from ltgnn_pyg.optim import RowAdam
from tests.dense import dense_adj

GRADIENTS = ("delayed", "local", "history", "corrected", "unroll")
MODELS = {
    "MatrixFactorization": (MatrixFactorization, {}),
    "LightGCN": (LightGCN, {"num_layers": 2}),
    **{f"LTGNN {g}": (LTGNN, {"gradient": g}) for g in GRADIENTS},
}


def train(model, loader, epochs, lr=0.05):
    sparse = model.embedding.sparse
    optimizer = (RowAdam if sparse else torch.optim.Adam)(model.parameters(), lr=lr)
    for _ in range(epochs):
        model.refresh(loader.adj_t)
        for batch in loader:
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()


def blocks(num_blocks=3, size=6):
    """Users of a block have all items of their block but one each."""
    user, item = torch.cartesian_prod(*2 * [torch.arange(num_blocks * size)]).t()
    inside = user // size == item // size
    held_out = inside & (user == item)
    pairs = torch.stack([user, item + num_blocks * size])
    train_pairs = pairs[:, inside & ~held_out]
    data = Data(
        edge_index=torch.cat([train_pairs, train_pairs.flip(0)], 1),
        num_nodes=2 * num_blocks * size,
    )
    data.num_users = data.num_items = num_blocks * size
    return data, train_pairs, pairs[:, held_out]


@pytest.mark.parametrize(
    "name, loss_fn",
    [
        *((name, BPRLoss()) for name in MODELS),
        # Without a graph only low rank ties an unseen item to its block; softmax
        # needs more than that here.
        *((name, SoftmaxLoss()) for name in MODELS if name != "MatrixFactorization"),
    ],
)
def test_withheld_item_ranks_first(name, loss_fn):
    """On a block-diagonal graph the only unseen item of a user's block wins."""
    data, pairs, held_out = blocks()
    cls, kwargs = MODELS[name]
    dim = 3 if cls is MatrixFactorization else 8  # Room for the blocks alone.
    model = cls(data.num_users, data.num_items, dim, loss_fn=loss_fn, **kwargs)
    neg = ItemNegativeSampling(
        data.num_users, data.num_items, 2, edge_index=pairs, reject_seen=True
    )
    train(model, VRNeighborLoader(data, model.history, 3, pairs, 30, neg), 30)
    users = torch.arange(data.num_users)
    score, item = model.recommend(users, 2, exclude=pairs)
    assert torch.equal(item[:, 0], held_out[1] - data.num_users)
    assert (score[:, 0] > score[:, 1]).all()


@pytest.mark.parametrize("name", MODELS)
def test_contract(graph, pairs, name):
    cls, kwargs = MODELS[name]
    model = cls(graph.num_users, graph.num_items, 4, weight_decay=0.1, **kwargs)
    loader = VRNeighborLoader(graph, model.history, 2, pairs, 5, "triplet")
    model.refresh(loader.adj_t)
    batch = next(iter(loader))
    loss = model.loss(batch)
    loss.backward()
    assert loss.dim() == 0 and loss.isfinite()
    grad = model.embedding.weight.grad
    assert grad is None or grad.is_sparse == model.embedding.sparse
    z = model.get_embedding()
    assert z.shape == (graph.num_nodes, 4 + (model.popularity != 0))
    torch.testing.assert_close(model.get_embedding(graph.edge_index), z)
    before = model.embedding.weight.clone()
    model.reset_parameters()
    assert not torch.equal(model.embedding.weight, before)
    with pytest.raises(ValueError, match="sparse CSR matrix of size"):
        model.refresh(graph.edge_index)


def test_matrix_factorization_ignores_the_graph(graph):
    model = MatrixFactorization(
        graph.num_users, graph.num_items, 4, normalize=False, popularity=0.0
    )
    assert model.get_embedding() is model.embedding.weight


def test_light_gcn_equals_its_equation(graph, pairs):
    model = LightGCN(
        graph.num_users, graph.num_items, 4, normalize=False, popularity=0.0
    )
    loader = VRNeighborLoader(graph, None, 2, pairs, 6, "triplet")
    model.refresh(loader.adj_t)
    batch = next(iter(loader))
    model.loss(batch).backward()
    x = model.embedding.weight.detach().clone().requires_grad_()
    adj = dense_adj(graph.edge_index, graph.num_nodes).float()
    z = sum(torch.linalg.matrix_power(adj, power) @ x for power in range(4)) / 4
    torch.testing.assert_close(model.get_embedding(), z)
    index = (batch.src_index, batch.dst_pos_index, batch.dst_neg_index)
    SoftmaxLoss()(z, *(batch.n_id[i] for i in index)).backward()
    torch.testing.assert_close(model.embedding.weight.grad, x.grad)


def test_popularity(graph, pairs):
    """A score is the cosine, plus what the item's degree adds."""
    model = LTGNN(graph.num_users, graph.num_items, 4, popularity=0.7)
    plain = LTGNN(graph.num_users, graph.num_items, 4, popularity=0.0)
    plain.embedding.load_state_dict(model.embedding.state_dict())
    z, rows = (m.get_embedding(graph.edge_index) for m in (model, plain))
    U, degree = graph.num_users, torch.bincount(pairs[1])[graph.num_users :]
    expected = rows[:U] @ rows[U:].t() + 0.7 * 0.12 * degree.log()
    torch.testing.assert_close(z[:U] @ z[U:].t(), expected)
    assert (
        LTGNN(2, 3).popularity == 1.0 and LTGNN(2, 3, loss_fn=BPRLoss()).popularity == 0
    )


@pytest.mark.parametrize("form", ["edge_index", "matrix"])
def test_weights_of_a_graph_given_weigh_popularity_too(graph, pairs, form):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    plain = LTGNN(graph.num_users, graph.num_items, 4, popularity=0.0)
    plain.embedding.load_state_dict(model.embedding.state_dict())
    weight = torch.rand(pairs.size(1)) / 9
    weight[pairs[1] == graph.num_nodes - 1] = 0.0  # As if it had no edge.
    both = given = torch.cat([weight, weight])
    edge_index = graph.edge_index
    if form == "matrix":
        source, target = edge_index
        size = (graph.num_nodes, graph.num_nodes)
        edge_index = torch.sparse_coo_tensor(torch.stack([target, source]), both, size)
        edge_index, given = edge_index.to_sparse_csr(), None
    z = model.get_embedding(edge_index, given)
    torch.testing.assert_close(z[:, :-1], plain.get_embedding(edge_index, given))
    degree = torch.zeros(graph.num_nodes)
    for item, w in zip(pairs[1].tolist(), weight.tolist(), strict=True):
        degree[item] += w
    degree = degree[graph.num_users :]
    degree[-1] = degree[:-1].min()
    torch.testing.assert_close(z[graph.num_users :, -1], 0.12 * degree.log())


@pytest.mark.parametrize("add_self_loops", [True, False])
def test_weights_of_one_are_no_weights(graph, add_self_loops):
    model = LTGNN(graph.num_users, graph.num_items, 4, add_self_loops=add_self_loops)
    loader = VRNeighborLoader(graph, None, 2, add_self_loops=add_self_loops)
    model.refresh(loader.adj_t)
    one = torch.ones(graph.edge_index.size(1))
    z = model.get_embedding()
    torch.testing.assert_close(model.get_embedding(graph.edge_index), z)
    torch.testing.assert_close(model.get_embedding(graph.edge_index, one), z)
    size = (graph.num_nodes, graph.num_nodes)
    matrix = torch.sparse_coo_tensor(graph.edge_index, one, size)
    torch.testing.assert_close(model.get_embedding(matrix), z)
    with pytest.raises(ValueError, match="'edge_index' beside 'edge_weight'"):
        model.get_embedding(edge_weight=one)


def test_recommend(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4, init_std=1.0)
    user = torch.tensor([5, 0])
    with pytest.raises(ValueError, match="got none yet"):
        model.recommend(user)
    model.refresh(VRNeighborLoader(graph, model.history, 2, pairs).adj_t)
    z = model.get_embedding().detach()
    score, item = model.recommend(user, 3, exclude=pairs)
    again = model.recommend(user, 3, exclude=pairs, embedding=z)
    torch.testing.assert_close(again[0], score)
    dense = z[: graph.num_users] @ z[graph.num_users :].t()
    dense[pairs[0], pairs[1] - graph.num_users] = float("-inf")
    expected = dense[user].sort(descending=True)
    torch.testing.assert_close(score, expected.values[:, :3])
    found = score.isfinite()
    assert torch.equal(item[found], expected.indices[:, :3][found])
    assert (item[~found] == -1).all() and not found.all()


@pytest.mark.parametrize("cls", [MatrixFactorization, LightGCN, LTGNN])
def test_bad_arguments(cls):
    with pytest.raises(ValueError, match="positive 'num_users'"):
        cls(0, 3)
    with pytest.raises(ValueError, match="at least 0"):
        cls(2, 3, weight_decay=-1.0)
    with pytest.raises(ValueError, match="'num_layers'"):
        LightGCN(2, 3, num_layers=0)


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_a_teacher_reach_the_objective(graph, pairs, name):
    cls, kwargs = MODELS[name]
    loss_fn = SoftmaxLoss(teacher_weight=0.5)
    model = cls(graph.num_users, graph.num_items, 4, loss_fn=loss_fn, **kwargs)
    model.refresh(VRNeighborLoader(graph, model.history, 2, pairs, 5).adj_t)
    with pytest.raises(ValueError, match="teacher"):
        model.loss(next(iter(VRNeighborLoader(graph, model.history, 2, pairs, 5))))
    teacher = torch.randn(model.num_nodes, 6)
    data = copy.copy(graph)
    data.teacher = teacher
    batch = next(iter(VRNeighborLoader(data, model.history, 2, pairs, 5)))
    seed, given = batch.n_id[: batch.num_seeds], []
    model.loss_fn.register_forward_hook(
        lambda *args: given.append(args[2]["teacher"]), with_kwargs=True
    )
    model.loss(batch)
    assert torch.equal(given[0], teacher[seed])
    assert model.popularity == 1.0
    corrected = SoftmaxLoss(log_q=True, teacher_weight=0.5)
    assert cls(3, 4, 2, loss_fn=corrected, **kwargs).popularity == 0.0
    data.teacher = teacher[1:]
    with pytest.raises(ValueError, match="a row for each"):
        VRNeighborLoader(data, model.history, 2, pairs, 5)
