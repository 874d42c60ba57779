import copy

import pytest
import torch
from torch.nn import Embedding, Linear, Parameter

from ltgnn_pyg.inputs import RowAdam

SETTINGS = {"lr": 0.03, "betas": (0.8, 0.99), "eps": 1e-6}


@pytest.mark.parametrize("sorted_rows", [True, False])
def test_equals_sparse_adam(sorted_rows):
    """Step by step, on sorted distinct rows and on any, with repeats."""
    ours = Embedding(30, 4, sparse=True)
    theirs = copy.deepcopy(ours)
    a = RowAdam(ours.parameters(), **SETTINGS)
    b = torch.optim.SparseAdam(theirs.parameters(), **SETTINGS)
    for num in (8, 8, 0, 1, 30, 5, 8):  # An empty gradient counts as a step.
        index = torch.randint(30, (num,))
        index = index.unique() if sorted_rows else index
        target = torch.randn(index.numel(), 4)
        for module, optimizer in ((ours, a), (theirs, b)):
            optimizer.zero_grad()
            (module(index) * target).sin().sum().backward()
            before = module.weight.detach().clone()
            optimizer.step()
            changed = (module.weight != before).any(1).nonzero().view(-1)
            assert set(changed.tolist()) <= set(index.tolist())
        torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_adam_on_dense_gradients(dtype):
    ours = [Parameter(torch.randn(n, 4).to(dtype)) for n in (1, 7, 40)]
    ours.append(Parameter(torch.randn((), dtype=dtype)))
    theirs, plain = copy.deepcopy(ours), copy.deepcopy(ours)
    optimizers = (
        RowAdam(ours, **SETTINGS),
        torch.optim.Adam(theirs, fused=True, **SETTINGS),
        torch.optim.Adam(plain, **SETTINGS),
    )
    for _ in range(20):
        for params in zip(ours, theirs, plain, strict=True):
            grad = torch.randn_like(params[0])
            for param in params:
                param.grad = grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        for a, b, c in zip(ours, theirs, plain, strict=True):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, c, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sparse", [True, False])
def test_few_bits_are_adam_of_many_rounded(dtype, sparse):
    """Gradients whose squares are no numbers of 16 bits, and a state that is saved."""
    ours = Parameter(torch.randn(9, 4).to(dtype))
    theirs = Parameter(ours.detach().float())
    settings = {"lr": 0.1, "eps": 1e-12}
    a, b = RowAdam([ours], **settings), torch.optim.Adam([theirs], **settings)
    for _ in range(6):
        grad = (1e-5 * torch.randn(9, 4)).to(dtype)
        ours.grad = grad.to_sparse(1) if sparse else grad
        theirs.grad = grad.float()
        a.step()
        b.step()
        theirs.data.copy_(theirs.to(dtype))
        torch.testing.assert_close(ours.float(), theirs, atol=0.02, rtol=0.0)
        state = copy.deepcopy(a.state_dict())
        a = RowAdam([ours], **settings)
        a.load_state_dict(state)
        for name in ("exp_avg", "exp_avg_sq"):
            moment = a.state[ours][name]
            assert moment.dtype == torch.float32
            torch.testing.assert_close(moment, b.state[theirs][name])


def test_dense_gradients_in_any_order_of_memory():
    """The fused kernel of torch takes the order of the parameter for granted."""
    ours = Parameter(torch.randn(4, 6))
    theirs = copy.deepcopy(ours)
    ours.grad = torch.randn(6, 4).t()
    theirs.grad = ours.grad.contiguous()
    RowAdam([ours], **SETTINGS).step()
    torch.optim.Adam([theirs], **SETTINGS).step()
    torch.testing.assert_close(ours, theirs)


def test_complex_parameters():
    ours = Parameter(torch.randn(4, 6, dtype=torch.complex64))
    theirs = copy.deepcopy(ours)
    theirs.grad = ours.grad = torch.randn_like(ours)
    RowAdam([ours], **SETTINGS).step()
    torch.optim.Adam([theirs], **SETTINGS).step()
    torch.testing.assert_close(ours, theirs)


def explicit(x, m, v, t, grad, rows, sparse):
    """Adam of some rows, from the equations."""
    lr, (b1, b2), eps = SETTINGS["lr"], SETTINGS["betas"], SETTINGS["eps"]
    for r in rows:
        m[r] = b1 * m[r] + (1 - b1) * grad[r]
        v[r] = b2 * v[r] + (1 - b2) * grad[r] ** 2
        if sparse:
            step = lr * (1 - b2**t) ** 0.5 / (1 - b1**t)
            x[r] -= step * m[r] / (v[r].sqrt() + eps)
        else:
            x[r] -= lr * (m[r] / (1 - b1**t)) / ((v[r] / (1 - b2**t)).sqrt() + eps)


def test_alternating_gradients_share_their_state():
    param = Parameter(torch.randn(6, 3, dtype=torch.double))
    x = param.detach().clone()
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    optimizer = RowAdam([param], **SETTINGS)
    for t in range(1, 30):
        grad = torch.randn_like(x)
        sparse = t % 3 != 0
        rows = torch.randint(6, (3,)).unique() if sparse else range(6)
        if sparse:
            param.grad = torch.sparse_coo_tensor(
                rows.unsqueeze(0), grad[rows], x.size()
            )
        else:
            param.grad = grad
        optimizer.step()
        explicit(x, m, v, t, grad, rows, sparse)
        torch.testing.assert_close(param.detach(), x)


class Model(torch.nn.Module):
    """A table with sparse and a layer with dense gradients."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = Embedding(10, 3, sparse=True), Linear(3, 2)

    def forward(self, index):
        return self.layer(self.table(index)).sin().sum()


def train(model, optimizer, num=1, scaler=None):
    for i in range(num):
        optimizer.zero_grad()
        loss = model(torch.tensor([i % 10, 4, 1, 4]))
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.layer.parameters(), 1e9)
            scaler.step(optimizer)
            scaler.update()


def same(a, b, exact=True):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        if exact:
            assert torch.equal(p, q)
        else:
            torch.testing.assert_close(p, q)


def test_one_optimizer_for_tables_and_layers():
    ours = Model()
    theirs = copy.deepcopy(ours)
    optimizer = RowAdam(ours.parameters(), **SETTINGS)
    sparse = torch.optim.SparseAdam(theirs.table.parameters(), **SETTINGS)
    dense = torch.optim.Adam(theirs.layer.parameters(), **SETTINGS)
    for _ in range(5):
        train(ours, optimizer)
        sparse.zero_grad()
        train(theirs, dense)
        sparse.step()
    same(ours, theirs, exact=False)


def test_state_dict_goes_on():
    model = Model()
    optimizer = RowAdam(model.parameters(), lr=0.1)
    train(model, optimizer, 3)
    again = copy.deepcopy(model)
    other = RowAdam(again.parameters(), lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    third, both = copy.deepcopy((model, optimizer))
    for pair in ((model, optimizer), (again, other), (third, both)):
        train(*pair, 3)
    same(model, again)
    same(model, third)


def test_state_of_an_earlier_version_or_another_device():
    model = Model()
    optimizer = RowAdam(model.parameters(), lr=0.1)
    train(model, optimizer, 3)
    again = copy.deepcopy(model)
    state = copy.deepcopy(optimizer.state_dict())
    for of_param in state["state"].values():
        of_param["step"] = 3  # A plain number once.
    other = RowAdam(again.parameters())
    other.load_state_dict(state)
    train(model, optimizer)
    train(again, other)
    same(model, again)
    for of_param in other.state.values():
        assert of_param["step"].device.type == "cpu" and of_param["step"] == 4


def test_grad_scaler_by_the_recipe():
    model = Model()
    scaled = copy.deepcopy(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    train(model, RowAdam(model.parameters(), lr=0.1), 3)
    optimizer = RowAdam(scaled.parameters(), lr=0.1)
    train(scaled, optimizer, 3, scaler)
    same(model, scaled, exact=False)


@pytest.mark.parametrize("where", ["table", "layer"])
def test_grad_scaler_skips_what_overflowed(where):
    model = Model()
    before = copy.deepcopy(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = RowAdam(model.parameters(), lr=0.1)
    scaler.scale(model(torch.tensor([1, 1, 2]))).backward()
    grad = model.get_submodule(where).weight.grad
    (grad._values() if grad.is_sparse else grad)[0, 0] = torch.inf
    scaler.step(optimizer)
    scaler.update()
    same(model, before)
    assert scaler.get_scale() == 2.0**9 and not optimizer.state


def test_scheduler_sets_the_step_size():
    """Halved by a scheduler equals halved by hand."""
    model = Model()
    again = copy.deepcopy(model)
    a, b = (RowAdam(m.parameters(), lr=0.1) for m in (model, again))
    scheduler = torch.optim.lr_scheduler.StepLR(a, step_size=1, gamma=0.5)
    for lr in (0.1, 0.05, 0.025):
        b.param_groups[0]["lr"] = lr
        train(model, a)
        train(again, b)
        scheduler.step()
    same(model, again)


def test_closure_and_errors():
    table = Embedding(10, 3, sparse=True)
    optimizer = RowAdam(table.parameters())

    def closure():
        loss = table(torch.tensor([1])).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).requires_grad
    with pytest.raises(RuntimeError, match="sparse in its rows"):
        table.weight.grad = torch.eye(10, 3).to_sparse()
        optimizer.step()
    with pytest.raises(ValueError, match="Expected positive 'lr'"):
        RowAdam(table.parameters(), lr=-1.0)
    with pytest.raises(ValueError, match="no weight decay"):
        RowAdam([{"params": table.parameters(), "weight_decay": 0.1}])


def test_init_state_on_another_device():
    table = Embedding(10, 3, sparse=True)
    optimizer = RowAdam(table.parameters())
    state = optimizer.init_state(table.weight, device="meta")
    assert state["exp_avg"].is_meta and state["exp_avg_sq"].size() == (10, 3)
    assert state["step"].device.type == "cpu"
    optimizer.init_state(table.weight)
    table(torch.tensor([1])).sum().backward()
    optimizer.step()
    assert optimizer.state[table.weight]["step"] == 1
