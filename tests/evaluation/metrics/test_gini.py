import pytest
import torch

from ltgnn_pyg.evaluation.metrics import gini


def test_equals_the_mean_difference_of_two():
    """Its definition: half the mean absolute difference over the mean."""
    count = torch.tensor([5, 0, 2, 2, 9, 0, 1]).tolist()
    difference = sum(abs(a - b) for a in count for b in count) / len(count) ** 2
    expected = difference / 2 / (sum(count) / len(count))
    assert float(gini(torch.tensor(count))) == pytest.approx(expected)


def test_ends():
    assert float(gini(torch.full((50,), 3))) == pytest.approx(0.0, abs=1e-12)
    one = torch.zeros(50)
    one[7] = 5.0
    assert float(gini(one)) == pytest.approx(1 - 1 / 50)
    assert float(gini(torch.zeros(50))) == 0.0
