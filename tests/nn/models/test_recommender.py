"""The rounds: exact gradients, and what PyTorch's own tools make of them."""

import copy
import inspect
import warnings

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg import LTGNN, Graph, ItemNegativeSampling, PairLoader
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization, Recommender
from tests.dense import dense_adj
from tests.toy import MODELS, blocks


def oracle(model, graph, x, loader, batch):
    """The loss of a round again: dense, pair by pair, from the equations."""
    weight = graph.get("edge_weight")
    adj = dense_adj(graph.edge_index, graph.num_nodes, weight)
    u, i = loader.edge_label_index[:, batch.input_id]
    if loader.leave_out:
        adj[u, i] = adj[i, u] = 0.0
    if isinstance(model, LightGCN):
        z = sum(torch.linalg.matrix_power(adj, n) @ x for n in range(4)) / 4
    else:
        z, alpha = x, model.alpha
        for _ in range(model.K):
            z = (1 - alpha) * adj @ z + alpha * x
    total, decay = 0.0, 0.0
    for start in range(0, u.numel(), loader.micro_batch_size):
        part = slice(start, start + loader.micro_batch_size)
        user, item = u[part], i[part]
        for b in range(user.numel()):
            if batch.negatives is not None:
                neg = batch.n_id[batch.dst_neg_index[part]][b].view(-1)
                score = z[user[b]] @ (z[item[b]] - z[neg]).t()
                total = total + torch.nn.functional.softplus(-score).mean()
                decay = decay + x[neg].square().sum()
            else:
                unit = torch.nn.functional.normalize(z, dim=1)
                others = item[item != item[b]]
                score = unit[torch.cat([item[b : b + 1], others])] @ unit[user[b]]
                total = total - (score / 0.12).log_softmax(0)[0]
            decay = decay + x[user[b]].square().sum() + x[item[b]].square().sum()
    return (total + model.weight_decay / 2 * decay) / u.numel()


@pytest.mark.parametrize("cls", [LightGCN, LTGNN])
@pytest.mark.parametrize("form", ["plain", "weighted", "self-loops", "all pairs stay"])
@pytest.mark.parametrize("negatives", [0, 1, 3])
@pytest.mark.parametrize("num_rounds", [1, 3])
def test_exact_gradient(graph, pairs, cls, form, negatives, num_rounds):
    if form == "weighted":
        weight = torch.rand(pairs.size(1), dtype=torch.double) + 0.1
        graph.edge_weight = torch.cat([weight, weight])
    elif form == "self-loops":
        graph = AddSelfLoops(attr=None)(graph)
    loader = PairLoader(
        graph,
        pairs,
        batch_size=5,  # The last one is smaller.
        num_rounds=num_rounds,
        leave_out=form != "all pairs stay",
        neg_sampling=None
        if negatives == 0
        else ItemNegativeSampling(graph.num_users, graph.num_items, negatives),
    )
    loss_fn = BPRLoss() if negatives else None
    model = cls(7, 5, 4, loss_fn=loss_fn, weight_decay=0.1, init_std=1.0).double()
    for batch in loader:
        x = model.inputs.weight.detach().clone().requires_grad_()
        expected = oracle(model, graph, x, loader, batch)
        expected.backward()
        model.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        tolerance = {"atol": 1e-6, "rtol": 1e-6}  # Degrees are of float32.
        torch.testing.assert_close(loss, expected, **tolerance)
        torch.testing.assert_close(model.inputs.weight.grad, x.grad, **tolerance)


def test_matrix_factorization_is_alpha_one(graph, pairs):
    batch = next(iter(PairLoader(graph, pairs, batch_size=4)))
    model, other = MatrixFactorization(7, 5, 4), LTGNN(7, 5, 4, alpha=1.0)
    other.inputs.load_state_dict(model.inputs.state_dict())
    losses = [m.loss(batch) for m in (model, other)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    grad = model.inputs.weight.grad
    assert grad.is_sparse  # Of the rows of the batch alone.
    rows = batch.n_id.unique()
    assert torch.equal(grad.coalesce().indices()[0], rows)
    torch.testing.assert_close(grad.to_dense(), other.inputs.weight.grad)


def test_vectors(graph, pairs):
    """A score is the cosine, plus what the degree of an item adds: one rule."""
    for model in (LTGNN(7, 5, 4), LTGNN(7, 5, 4, loss_fn=BPRLoss())):
        z = model.encode(Graph.from_data(graph)).detach()
        vectors = model.scorer(Graph.from_data(graph)).vectors
        score = vectors.user @ vectors.item.t()
        if isinstance(model.loss_fn, BPRLoss):
            assert vectors.item_bias is None
        else:
            score += vectors.item_bias
            z = torch.nn.functional.normalize(z, dim=1)
            degree = torch.bincount(pairs[1])[7:]
            bias = 0.12 * degree.log()
        expected = z[:7] @ z[7:].t() + (0 if vectors.item_bias is None else bias)
        torch.testing.assert_close(score, expected)


def test_one_popularity_however_weights_are_passed(graph, pairs):
    model = LTGNN(7, 5, 4)
    weight = torch.rand(pairs.size(1)) + 0.1
    both = torch.cat([weight, weight])
    graph.edge_weight = both
    expected = model.scorer(Graph.from_data(graph)).vectors
    size = (graph.num_nodes, graph.num_nodes)
    coo = torch.sparse_coo_tensor(graph.edge_index.flip(0), both, size)
    degree = torch.zeros(graph.num_nodes).index_add_(0, pairs[1], weight)
    torch.testing.assert_close(expected.item_bias, 0.12 * degree[7:].log())
    for matrix in (coo, coo.coalesce().to_sparse_csr()):
        data = Data(adj_t=matrix, num_nodes=12, num_users=7)
        vectors = model.scorer(Graph.from_data(data)).vectors
        torch.testing.assert_close(vectors.user, expected.user)
        torch.testing.assert_close(vectors.item_bias, expected.item_bias)
    graph.edge_weight = None
    loops = AddSelfLoops(attr=None)(graph)
    torch.testing.assert_close(
        model.scorer(Graph.from_data(loops)).vectors.item_bias,
        model.scorer(Graph.from_data(graph)).vectors.item_bias,
    )


@pytest.fixture
def toy():
    torch.manual_seed(5)
    train = blocks().train
    loader = PairLoader(Graph.from_interactions(train), batch_size=16, num_rounds=4)
    return LTGNN(train.num_users, train.num_items, 8, init_std=0.5), list(loader)


def gradient(model, batch):
    model.zero_grad()
    model.loss(batch).backward()
    return model.inputs.weight.grad.clone()


def test_accumulation(toy):
    """Gradients of parts add up to that of their mean."""
    model, batches = toy
    expected = (gradient(model, batches[0]) + gradient(model, batches[1])) / 2
    for set_to_none in (True, False):
        model.zero_grad(set_to_none=set_to_none)
        for batch in batches[:2]:
            (model.loss(batch) / 2).backward()
        torch.testing.assert_close(model.inputs.weight.grad, expected)


def test_clipping_and_schedulers(toy):
    model, batches = toy
    optimizer = RowAdam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=2)
    for batch in batches[:2]:
        gradient(model, batch)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        assert norm > 1e-3
        left = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        torch.testing.assert_close(left, torch.tensor(1e-3), atol=1e-6, rtol=1e-3)
        optimizer.step()
        scheduler.step()
    before = model.inputs.weight.clone()
    gradient(model, batches[2])
    optimizer.step()  # At a learning rate of zero.
    assert torch.equal(model.inputs.weight, before)


def test_closure(toy):
    model, batches = toy
    other = copy.deepcopy(model)
    one, two = (torch.optim.SGD(m.parameters(), lr=0.5) for m in toy_pair(model, other))
    for batch in batches:
        gradient(model, batch)
        one.step()

        def closure(batch=batch):
            two.zero_grad()
            loss = other.loss(batch)
            loss.backward()
            return loss

        two.step(closure)
    assert torch.equal(model.inputs.weight, other.inputs.weight)
    lbfgs = torch.optim.LBFGS(other.parameters(), max_iter=5)

    def closure():
        lbfgs.zero_grad()
        loss = other.loss(batches[0])
        loss.backward()
        return loss

    first = float(closure().detach())
    lbfgs.step(closure)
    assert float(closure().detach()) < first


def toy_pair(*models):
    return models


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_grad_scaler_by_torchs_recipe(toy, cls):
    """Scaled and unscaled gradients take the same steps; an overflow takes none."""
    model = cls(toy[0].num_users, toy[0].num_items, 8)
    other, batches = copy.deepcopy(model), toy[1]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    one, two = (RowAdam(m.parameters(), lr=0.01) for m in (model, other))
    for i, batch in enumerate(batches):
        one.zero_grad()
        torch.manual_seed(i)  # What they draw is alike.
        scaler.scale(model.loss(batch)).backward()
        scaler.unscale_(one)
        scaler.step(one)
        scaler.update()
        two.zero_grad()
        torch.manual_seed(i)
        other.loss(batch).backward()
        two.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    before = model.inputs.weight.clone()
    one.zero_grad()
    (scaler.scale(model.loss(batches[0])) * float("inf")).backward()
    scaler.step(one)
    assert torch.equal(model.inputs.weight, before)


def test_averaged_model(toy):
    model, batches = toy
    averaged = torch.optim.swa_utils.AveragedModel(model)
    optimizer, weights = torch.optim.Adam(model.parameters(), lr=0.1), []
    for batch in batches:
        gradient(model, batch)
        optimizer.step()
        averaged.update_parameters(model)
        weights.append(model.inputs.weight.detach().clone())
    mean = torch.stack(weights).mean(0)
    torch.testing.assert_close(averaged.module.inputs.weight.detach(), mean)


def test_two_loaders_on_one_model(toy):
    model, batches = toy
    expected = [gradient(model, batch) for batch in batches]
    data = Graph.from_interactions(blocks().train)
    for batch, grad in zip(batches, expected, strict=True):
        for other in PairLoader(data, num_rounds=2):
            model.loss(other)
        torch.testing.assert_close(gradient(model, batch), grad)


def test_autocast(toy):
    model, batches = toy
    expected = gradient(model, batches[0])
    with torch.autocast("cpu", torch.bfloat16):
        actual = gradient(model, batches[0])
    cosine = torch.nn.functional.cosine_similarity(
        actual.view(-1), expected.view(-1), 0
    )
    assert cosine > 0.99


def test_compile(toy):
    model, batches = toy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(model.loss, backend="aot_eager")
        for batch in batches[:2]:
            expected, grad = model.loss(batch), gradient(model, batch)
            model.zero_grad()
            loss = compiled(batch)
            loss.backward()
            torch.testing.assert_close(loss, expected)
            torch.testing.assert_close(model.inputs.weight.grad, grad)


def test_micro_batches(toy):
    batch = toy[1][0]
    parts = list(batch.micro_batches())
    assert len(parts) == batch.num_micro_batches > 1
    assert [part.num_seeds for part in parts] == batch.seeds_of_parts
    for part in parts:
        assert part.n_id.unique().numel() == part.num_seeds == part.n_id.numel()
    src = torch.cat([part.n_id[part.src_index] for part in parts])
    assert torch.equal(src, batch.n_id[batch.src_index])


@pytest.mark.parametrize("cls", [MatrixFactorization, LightGCN, LTGNN])
def test_bad_arguments(graph, cls):
    with pytest.raises(ValueError, match="positive 'num_users'"):
        cls(0, 3)
    with pytest.raises(ValueError, match="at least 0"):
        cls(2, 3, weight_decay=-1.0)
    with pytest.raises(ValueError, match="'num_layers'"):
        LightGCN(2, 3, num_layers=0)
    with pytest.raises(NotImplementedError, match="'encode' or 'coefficients'"):
        Recommender(2, 3).encode(graph)


class Scaled(BPRLoss):
    """An objective that learns the scale of its scores."""

    def __init__(self):
        super().__init__(in_batch=True)
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, z, batch):
        return super().forward(self.scale * z, batch)


def test_an_objective_may_learn(toy):
    """Its own gradient is that of the micro-batches' mean, too."""
    model, batches = toy
    model.loss_fn = Scaled()
    batch = batches[0]
    gradient(model, batch)
    actual = model.inputs.weight.grad, model.loss_fn.scale.grad
    model.zero_grad()
    z = model.encode(batch.graph).index_select(0, batch.n_id)
    num, loss = batch.src_index.numel(), 0.0
    rows_of = z.split(batch.seeds_of_parts)
    for rows, part in zip(rows_of, batch.micro_batches(), strict=True):
        loss = loss + part.src_index.numel() / num * model.loss_fn(rows, part)
    loss.backward()
    expected = model.inputs.weight.grad, model.loss_fn.scale.grad
    torch.testing.assert_close(actual, expected)
    assert expected[1] != 0
    torch.testing.assert_close(model.loss(batch), loss)
    with torch.no_grad():
        torch.testing.assert_close(model.loss(batch), loss)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float])
def test_the_bias_of_an_item_that_very_many_took(dtype):
    """Its degree is more than half precision holds."""
    num = 70_000
    user = torch.cat([torch.arange(num), torch.zeros(1, dtype=torch.long)])
    item = torch.zeros(num + 1, dtype=torch.long)
    item[-1] = 1
    graph = Graph.from_interactions(Interactions(user, item, num, 2))
    model = MatrixFactorization(num, 2, 1).to(dtype)
    bias = model.scorer(graph).vectors.item_bias
    expected = 0.12 * torch.tensor([float(num), 1.0]).log()
    assert bias.dtype == dtype
    torch.testing.assert_close(bias, expected.to(dtype))


def test_a_model_of_a_graph_starts_as_it_is_told():
    graph = Graph.from_interactions(blocks().train)
    for each in (graph, graph.append({"tag": 5})):
        for kwargs, std in (({}, 0.005), ({"init_std": 0.3}, 0.3)):
            model = LightGCN.of(each, 4, **kwargs)
            assert model.inputs.std == std
            assert model.inputs.weight.size(0) == each.num_nodes


@pytest.mark.parametrize("cls", MODELS)
def test_the_settings_are_shown(cls):
    """Those that a run must not go on with another of."""
    model = cls(5, 4, 8)
    for name, each in inspect.signature(cls).parameters.items():
        shown = cls is not LTGNN and isinstance(each.default, int | float)
        assert not shown or f"{name}={getattr(model, name)}" in repr(model)
