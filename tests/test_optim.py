import copy

import pytest
import torch

from ltgnn_pyg.optim import RowAdam


@pytest.mark.parametrize("sorted_rows", [True, False])
def test_equals_sparse_adam(sorted_rows):
    """Step by step, on sorted distinct rows and on any, with repeats."""
    ours = torch.nn.Embedding(30, 4, sparse=True)
    theirs = copy.deepcopy(ours)
    kwargs = {"lr": 0.03, "betas": (0.8, 0.99), "eps": 1e-6}
    a = RowAdam(ours.parameters(), **kwargs)
    b = torch.optim.SparseAdam(theirs.parameters(), **kwargs)
    for _ in range(20):
        index = torch.randint(30, (8,))
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


def test_state_dict_goes_on():
    table = torch.nn.Embedding(10, 3, sparse=True)
    optimizer = RowAdam(table.parameters(), lr=0.1)

    def step(table, optimizer):
        optimizer.zero_grad()
        table(torch.tensor([1, 4])).sin().sum().backward()
        optimizer.step()

    step(table, optimizer)
    again = copy.deepcopy(table)
    other = RowAdam(again.parameters(), lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        step(table, optimizer)
        step(again, other)
    assert torch.equal(table.weight, again.weight)


def test_closure_and_errors():
    table = torch.nn.Embedding(10, 3, sparse=True)
    optimizer = RowAdam(table.parameters())

    def closure():
        loss = table(torch.tensor([1])).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).requires_grad
    with pytest.raises(RuntimeError, match="sparse gradient"):
        dense = torch.nn.Embedding(10, 3)
        dense(torch.tensor([1])).sum().backward()
        RowAdam(dense.parameters()).step()
    with pytest.raises(ValueError, match="Expected positive 'lr'"):
        RowAdam(table.parameters(), lr=-1.0)
