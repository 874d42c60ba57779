import pytest
import torch


@pytest.fixture
def z():
    return torch.randn(7, 3, dtype=torch.double, requires_grad=True)


@pytest.fixture
def log_q():
    return torch.rand(7, dtype=torch.double).log()
