"""Inner steps: the rows and the gradients of a round, against a dense oracle."""

import copy

import pytest
import torch

from ltgnn_pyg import LTGNN, ItemNegativeSampling, PairLoader
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.inputs import Embeddings, Features, RowAdam, SumInputs
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization
from tests.dense import dense_adj
from tests.toy import ThreeLayers, blocks

GRAPH = Graph.from_interactions(blocks().train)
DATA = GRAPH.to_data()
linear = pytest.mark.parametrize("cls", [LTGNN, LightGCN, MatrixFactorization])


def build(cls, **kwargs):
    torch.manual_seed(0)
    kwargs = {"init_std": 0.5, **kwargs}
    return cls(DATA.num_users, DATA.num_items, 8, **kwargs).double()


def load(**kwargs):
    kwargs = {"batch_size": 32, "num_rounds": 3, "inner_steps": True, **kwargs}
    return PairLoader(GRAPH, generator=torch.Generator().manual_seed(1), **kwargs)


def propagation(model, adj):
    """The matrix of an encoder, from its equation."""
    eye = torch.eye(adj.size(0), dtype=adj.dtype)
    if isinstance(model, LightGCN):
        return sum(torch.linalg.matrix_power(adj, n) for n in range(4)) / 4
    if isinstance(model, MatrixFactorization):
        return eye
    out = eye
    for _ in range(model.K):
        out = (1 - model.alpha) * adj @ out + model.alpha * eye
    return out


@linear
@pytest.mark.parametrize("leave_out", [True, False])
def test_against_a_dense_oracle(cls, leave_out):
    model, lr = build(cls, weight_decay=0.3), 0.5
    x = model.inputs.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    rounds = list(load(leave_out=leave_out, inner_steps=False))
    steps = iter(load(leave_out=leave_out))
    full = dense_adj(DATA.edge_index, DATA.num_nodes).double()
    for batch in rounds:
        adj = full.clone()
        if leave_out:
            pair = batch.n_id[torch.stack([batch.src_index, batch.dst_pos_index])]
            adj[pair[0], pair[1]] = adj[pair[1], pair[0]] = 0.0
        f, c, start = propagation(model, adj), model.coefficients[0], x.clone()
        rest, total = f @ start - c * start, torch.zeros_like(x)
        parts = list(batch.micro_batches())
        for part in parts:
            leaf = x.clone().requires_grad_()
            z = (rest[part.n_id] + c * leaf[part.n_id]).detach().requires_grad_()
            loss = model.loss_fn(z, part) + model.decay(leaf[part.n_id], part)
            of_z, of_x = torch.autograd.grad(loss, (z, leaf))
            of_x.index_add_(0, part.n_id, of_z, alpha=c)
            total.index_add_(0, part.n_id, of_z)
            if part is parts[-1]:
                of_x += f.t() @ total - c * total
            x -= lr * of_x

            step = next(steps)
            assert torch.equal(step.n_id, part.n_id)
            assert torch.equal(step.input_id, part.input_id)
            optimizer.zero_grad()
            actual = model.loss(step)
            actual.backward()
            optimizer.step()
            torch.testing.assert_close(actual, loss)
            torch.testing.assert_close(model.inputs.weight.detach(), x)
    assert next(steps, None) is None


@linear
def test_a_round_of_one_step_is_exact(cls):
    """Two routes to one gradient: the inner step, and the round."""
    model, other = build(cls), build(cls)
    batches = load(batch_size=100, num_rounds=100, inner_steps=False)
    for one, two in zip(load(batch_size=100, num_rounds=100), batches, strict=True):
        loss, expected = model.loss(one), other.loss(two)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        expected.backward()
    grad, expected = (m.inputs.weight.grad.to_dense() for m in (model, other))
    torch.testing.assert_close(grad, expected)


def some_inputs(kind):
    """Inputs whose table is no parameter."""
    num, c = DATA.num_nodes, torch.rand(20, 5).double()
    return {
        "a range": lambda: Embeddings(num, 8, first=30, std=0.5),
        "features": lambda: Features(c, num, 8, first=50),
        "both": lambda: SumInputs(
            [Embeddings(num, 8, std=0.5), Features(c.to_sparse(), num, 8, first=70)]
        ),
    }[kind]()


@linear
@pytest.mark.parametrize("kind", ["a range", "features", "both"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_all_kinds_of_inputs(cls, kind, weight_decay):
    """Without a step between them, the gradients of a round's inner steps add up to
    that of the sum of their losses.
    """
    kwargs = {"inputs": some_inputs(kind), "weight_decay": weight_decay}
    model = build(cls, **kwargs)
    params = list(model.inputs.parameters())
    rounds = load(inner_steps=False)
    steps = iter(load())
    for batch in rounds:
        model.zero_grad()
        z, x = model.encode(batch.graph), model.inputs.table()
        total = 0.0
        for part in batch.micro_batches():
            loss = model.loss_fn(z[part.n_id], part)
            if weight_decay:
                loss = loss + model.decay(x[part.n_id], part)
            total = total + loss
            actual = model.loss(next(steps))
            torch.testing.assert_close(actual, loss)
            actual.backward()
        expected = torch.autograd.grad(total, params)
        for param, grad in zip(params, expected, strict=True):
            torch.testing.assert_close(param.grad.to_dense(), grad)
    assert next(steps, None) is None


@pytest.mark.parametrize("negatives", [None, {}, {"amount": 3, "shared": True}])
def test_as_many_steps_as_the_loader_says(negatives):
    if negatives is not None:
        size = DATA.num_users, DATA.num_items
        negatives = ItemNegativeSampling(*size, **negatives)
    model = build(LTGNN, loss_fn=None if negatives is None else BPRLoss())
    loader = load(neg_sampling=negatives)
    batches = list(loader)
    assert len(loader) == len(batches) == 12
    assert sum(batch.is_last for batch in batches) == 3
    assert len({id(batch.steps) for batch in batches}) == 3
    seen = torch.cat([batch.input_id for batch in batches])
    assert seen.unique().numel() == seen.numel() == loader.edge_label_index.size(1)
    for batch in batches:
        model.loss(batch).backward()
    assert model.inputs.weight.grad.to_dense().isfinite().all()


def test_what_is_scaled_stays_so():
    """As GradScaler and gradient accumulation do, before and after."""
    model, other = build(LTGNN), build(LTGNN)
    for one, two in zip(load(), load(), strict=True):
        (8.0 * model.loss(one)).backward()
        other.loss(two).backward()
    torch.testing.assert_close(model.inputs.weight.grad / 8.0, other.inputs.weight.grad)


def test_a_look_changes_nothing():
    """A loss that is not learned from, an epoch cut short, a copy of the model."""
    model, other = build(LTGNN), build(LTGNN)
    optimizer, plain = (RowAdam(m.parameters(), lr=0.1) for m in (model, other))
    for one, two in zip(load(), load(), strict=True):
        with torch.no_grad():
            first = model.loss(one)
        assert torch.equal(model.loss(one).detach(), first)
        next(iter(load()))
        copy.deepcopy(model)
        for net, opt, batch in ((model, optimizer, one), (other, plain, two)):
            opt.zero_grad()
            net.loss(batch).backward()
            opt.step()
    assert torch.equal(model.inputs.weight, other.inputs.weight)


def test_models_that_are_not_linear_are_refused():
    model = ThreeLayers(DATA.num_users, DATA.num_items)
    with pytest.raises(ValueError, match="inner_steps=False"):
        model.loss(next(iter(load())))


def test_tables_are_handed_on_but_never_shared():
    """Rounds one after the other calculate in the same tables; rounds side by side,
    whatever a user makes of the batches, do not.
    """
    model, pointers = build(LTGNN), []
    for batch in load():
        model.loss(batch).backward()
        if batch.is_last:
            assert batch.steps.tables is None
            pointers.append([t.data_ptr() for t in batch.steps.pool[0]])
    assert len(pointers) == 3 and pointers[0] == pointers[1] == pointers[2]
    expected, model.inputs.weight.grad = model.inputs.weight.grad, None
    batches = list(load())
    thirds = [batches[:4], batches[4:8], batches[8:]]
    for side_by_side in zip(*thirds, strict=True):
        for batch in side_by_side:
            model.loss(batch).backward()
    torch.testing.assert_close(model.inputs.weight.grad, expected)
