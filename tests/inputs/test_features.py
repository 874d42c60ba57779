import pytest
import torch

from ltgnn_pyg.inputs import Features
from tests.inputs.routes import check_routes

C = (torch.rand(5, 3, generator=torch.Generator().manual_seed(1)) - 0.5).double()
C[2] = 0.0  # Nothing is known of it.


def make(form="dense", **kwargs):
    c = C if form == "dense" else C.to_sparse()
    return Features(c, 9, 4, **kwargs).double()


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("first", [0, 2, 4])
def test_rows_and_table(form, first):
    inputs = make(form, first=first)
    check_routes(inputs)
    expected = torch.zeros(9, 4, dtype=torch.double)
    expected[first : first + 5] = inputs.project(C)
    torch.testing.assert_close(inputs.table(), expected)
    torch.testing.assert_close(inputs.encode(C), inputs.project(C))


def test_fill_leaves_the_map():
    inputs = make()
    before = inputs.table().detach().clone()
    inputs.fill(torch.randn(9, 4))
    assert torch.equal(inputs.table(), before)


def test_append():
    inputs = make(first=4)
    before = inputs.table().detach().clone()
    inputs.append(2)
    assert inputs.num_nodes == 11
    assert torch.equal(inputs.table()[:9], before) and not inputs.table()[9:].any()
    check_routes(inputs)


def test_features_are_no_part_of_the_state(device):
    inputs = Features(C.float(), 9, 4)
    assert set(inputs.state_dict()) == {"project.weight", "project.bias"}
    assert inputs.to(device).c.device == device
    before = inputs.table().detach().clone()
    inputs.reset_parameters()
    assert not torch.equal(inputs.table(), before)


@pytest.mark.parametrize(
    "c, first",
    [
        (torch.ones(5, 3), 5),  # Of nodes that are not there.
        (torch.ones(5, 3), -1),
        (torch.ones(10, 3), 0),
        (torch.ones(0, 3), 0),
        (torch.ones(5), 0),
        (torch.ones(5, 3).long(), 0),
        (torch.ones(5, 3).to_sparse_csr(), 0),
    ],
)
def test_refusals(c, first):
    with pytest.raises(ValueError, match=r"features as numbers .* of some of the 9"):
        Features(c, 9, 4, first=first)
