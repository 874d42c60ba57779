import pytest
import torch

from ltgnn_pyg.inputs import Embeddings
from tests.inputs.routes import check_routes

RANGES = [{}, {"first": 3}, {"first": 2, "num_rows": 4}, {"num_rows": 5}]
RANGES += [{"num_rows": 0}, {"first": 9}]


def rows_of(inputs):
    return slice(inputs.first, inputs.first + inputs.num_rows)


@pytest.mark.parametrize("kwargs", RANGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_and_table(kwargs, dtype):
    inputs = Embeddings(9, 4, std=0.5, **kwargs).to(dtype)
    check_routes(inputs)
    has_row = torch.zeros(9, dtype=torch.bool)
    has_row[rows_of(inputs)] = True
    table = inputs.table().detach()
    assert torch.equal(table[has_row], inputs.weight.detach())
    assert not table[~has_row].any()


def test_the_gradient_of_rows_is_sparse():
    for kwargs in RANGES:
        inputs = Embeddings(9, 4, **kwargs)
        inputs.rows(torch.tensor([8, 2, 4])).sum().backward()
        grad = inputs.weight.grad
        assert grad.is_sparse  # And of no row but theirs, which alone take a step.
        row = torch.tensor([8, 2, 4]) - inputs.first
        row = row[(row >= 0) & (row < inputs.num_rows)]
        assert torch.equal(grad._indices()[0], row)


def test_a_whole_table_is_the_parameter():
    inputs = Embeddings(9, 4)
    assert inputs.table() is inputs.weight


@pytest.mark.parametrize("kwargs", RANGES)
def test_fill(kwargs):
    inputs, table = Embeddings(9, 4, **kwargs), torch.randn(9, 4)
    param = inputs.weight
    inputs.fill(table)
    assert inputs.weight is param
    assert torch.equal(param.detach(), table[rows_of(inputs)])
    before = param.detach().clone()
    inputs.fill(inputs.table())  # Of itself.
    assert torch.equal(param.detach(), before)


@pytest.mark.parametrize("kwargs", [{}, {"first": 3}, {"first": 9}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_append(kwargs, dtype):
    inputs = Embeddings(9, 4, **kwargs).to(dtype)
    param, table = inputs.weight, inputs.table().detach().clone()
    held = inputs.table().float().sum() + inputs.rows(torch.tensor([8])).float().sum()
    held.backward()
    inputs.append(2)
    assert inputs.weight is param and param.requires_grad and param.is_leaf
    assert param.dtype == dtype and param.grad is None
    assert (inputs.num_nodes, inputs.num_rows) == (11, 11 - inputs.first)
    assert torch.equal(inputs.table()[:9], table) and not inputs.table()[9:].any()
    # Also by the whole table, while what was made of the old one is still there.
    inputs.table().float().sum().backward()
    assert param.grad.size() == param.size() and (param.grad == 1).all()
    if dtype != torch.bfloat16:
        check_routes(inputs)


def test_append_needs_a_last_row():
    with pytest.raises(ValueError, match="a row for the last node"):
        Embeddings(9, 4, num_rows=8).append(1)


def test_from_table():
    table = torch.randn(5, 3)
    inputs = Embeddings.from_table(table)
    assert inputs.weight.data_ptr() == table.data_ptr()
    assert torch.equal(inputs.table(), table)
    check_routes(inputs)


def test_draws_and_says_its_sizes():
    inputs = Embeddings(2000, 30, std=0.5)
    std = inputs.weight.detach().std()
    torch.testing.assert_close(std, torch.tensor(0.5), rtol=0.05, atol=0.0)
    before = inputs.weight.detach().clone()
    inputs.reset_parameters()
    assert not torch.equal(inputs.weight, before)
    assert not Embeddings(5, 3, std=0.0).weight.any()
    assert repr(Embeddings(9, 4, first=3)) == "Embeddings(9, 4, num_rows=6)"
    assert list(inputs.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"first": -1},
        {"first": 10},
        {"num_rows": 10},
        {"num_rows": -1},
        {"first": 5, "num_rows": 5},
        {"std": -1.0},
        {"std": torch.nan},
    ],
)
def test_refusals(kwargs):
    with pytest.raises(ValueError, match="rows of some of 9 nodes, and 'std'"):
        Embeddings(9, 4, **kwargs)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_sizes_are_positive(sizes):
    with pytest.raises(ValueError, match="positive 'num_nodes' and 'embedding_dim'"):
        Embeddings(*sizes)
