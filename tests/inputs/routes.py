"""Checks that all inputs share: rows of some nodes are those of the table."""

import torch


def check_routes(inputs):
    """Rows and the table have the same numbers and the same gradients."""
    num, dim = inputs.num_nodes, inputs.embedding_dim
    table = inputs.table()
    assert table.size() == (num, dim)
    for n_id in (
        torch.arange(num),
        torch.randint(num, (2 * num,)),  # Some of them twice.
        torch.tensor([num - 1, 0]),
        torch.empty(0, dtype=torch.long),
    ):
        rows = inputs.rows(n_id)
        assert rows.size() == (n_id.numel(), dim)
        torch.testing.assert_close(rows, inputs.table()[n_id])
        grad = torch.randn(n_id.numel(), dim, dtype=rows.dtype)
        params = list(inputs.parameters())
        found = torch.autograd.grad(inputs.rows(n_id), params, grad)
        expected = torch.autograd.grad(inputs.table()[n_id], params, grad)
        for one, two in zip(found, expected, strict=True):
            one = one.to_dense() if one.is_sparse else one
            torch.testing.assert_close(one, two)
