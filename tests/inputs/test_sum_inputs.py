import pytest
import torch

from ltgnn_pyg.inputs import Embeddings, Features, SumInputs
from tests.inputs.routes import check_routes


def parts(num_nodes=9):
    c = torch.rand(5, 3)
    return [
        Embeddings(num_nodes, 4, std=0.5),
        Embeddings(num_nodes, 4, first=6, std=0.5),
        Features(c, num_nodes, 4, first=3),
        Features(c.to_sparse(), num_nodes, 4),
    ]


@pytest.mark.parametrize("num", [1, 2, 4])
def test_rows_and_table(num):
    some = parts()[:num]
    inputs = SumInputs(some).double()
    check_routes(inputs)
    expected = torch.stack([part.table() for part in some]).sum(0)
    torch.testing.assert_close(inputs.table(), expected)
    n_id = torch.tensor([8, 3, 3])
    expected = torch.stack([part.rows(n_id) for part in some]).sum(0)
    torch.testing.assert_close(inputs.rows(n_id), expected)


def test_fill_and_append():
    some = parts()
    inputs, table = SumInputs(some), torch.randn(9, 4)
    maps = [part.table().detach().clone() for part in some[2:]]
    inputs.fill(table)
    assert torch.equal(some[0].table(), table)
    assert torch.equal(some[1].weight.detach(), table[6:])
    before = inputs.table().detach().clone()
    inputs.append(2)
    assert {part.num_nodes for part in (inputs, *some)} == {11}
    assert torch.equal(inputs.table()[:9], before) and not inputs.table()[9:].any()
    for part, expected in zip(some[2:], maps, strict=True):
        assert torch.equal(part.table()[:9], expected)
    check_routes(inputs)


def test_what_it_holds():
    inputs = SumInputs(parts())
    assert (inputs.num_nodes, inputs.embedding_dim) == (9, 4)
    names = {"parts.0.weight", "parts.1.weight"}
    names |= {
        f"parts.{i}.project.{name}" for i in (2, 3) for name in ("weight", "bias")
    }
    assert set(inputs.state_dict()) == names
    before = [part.table().detach().clone() for part in inputs.parts]
    inputs.reset_parameters()
    for part, old in zip(inputs.parts, before, strict=True):
        assert not torch.equal(part.table(), old)


@pytest.mark.parametrize(
    "some",
    [
        [],
        [Embeddings(9, 4), Embeddings(8, 4)],
        [Embeddings(9, 4), Features(torch.ones(2, 3), 9, 5)],
    ],
)
def test_refusals(some):
    with pytest.raises(ValueError, match="inputs of as many nodes and columns"):
        SumInputs(some)
