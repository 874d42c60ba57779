import torch

from ltgnn_pyg.scorers.rows import coordinates, rows_of, write_columns


def test_rows(interactions, rows):
    found = rows_of(interactions)
    assert found.rowptr.dtype == torch.int
    assert found.to_dense().double().equal(rows)
    row, col = coordinates(found)
    assert torch.stack([row, col]).equal(rows.nonzero().t())


def test_take(interactions, rows):
    found = rows_of(interactions)
    for index in ([], [3], [5, 0, 5, 2], [len(rows) - 1, 1]):
        index = torch.tensor(index, dtype=torch.long)
        assert found.take(index).to_dense().double().equal(rows[index])


def test_write_columns(interactions, rows):
    found = rows_of(interactions)
    for start, num in ((0, 4), (3, 1), (len(rows) - 2, 2)):
        out = torch.full((rows.size(1), num), torch.nan)
        write_columns(found, start, out)
        assert out.double().equal(rows[start : start + num].t())
