import pytest
import torch

from ltgnn_pyg.datasets import Interactions


@pytest.fixture(params=[(40, 30), (25, 45)], ids=["items", "users"])
def interactions(request) -> Interactions:
    """Random pairs, one of them twice, of more users or of more items; the last user
    has taken nothing, and nobody the last item.
    """
    num_users, num_items = request.param
    generator = torch.Generator().manual_seed(5)
    taste = torch.rand(num_users, num_items, generator=generator) ** 2
    popular = torch.linspace(2.0, 0.2, num_items)
    user, item = (taste[:-1, :-1] * popular[:-1] > 0.25).nonzero().t()
    user, item = torch.cat([user, user[:1]]), torch.cat([item, item[:1]])
    perm = torch.randperm(user.numel(), generator=generator)
    return Interactions(user[perm], item[perm], num_users, num_items)


@pytest.fixture
def rows(interactions) -> torch.Tensor:
    """The same, dense."""
    out = torch.zeros(
        interactions.num_users, interactions.num_items, dtype=torch.double
    )
    out[interactions.user, interactions.item] = 1.0
    return out
