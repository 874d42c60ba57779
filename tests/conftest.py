import pytest
import torch
from torch_geometric.data import Data

from ltgnn_pyg.datasets import Interactions


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(12)


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request) -> torch.device:
    """Each device at hand."""
    return torch.device(request.param)


@pytest.fixture
def graph() -> Data:
    """A small connected user-item graph: 7 users, 5 items, uneven degrees."""
    generator = torch.Generator().manual_seed(3)
    num_users, num_items = 7, 5
    seen = torch.rand(num_users, num_items, generator=generator) < 0.5
    seen[0], seen[:, 0] = True, True
    seen[0, 4] = False
    seen[3, 4] = True
    user, item = seen.nonzero().t()
    pairs = torch.stack([user, item + num_users])
    data = Data(
        edge_index=torch.cat([pairs, pairs.flip(0)], 1), num_nodes=num_users + num_items
    )
    data.num_users, data.num_items = num_users, num_items
    return data


@pytest.fixture
def pairs(graph: Data) -> torch.Tensor:
    """The training pairs of the graph, users first."""
    return graph.edge_index[:, : graph.edge_index.size(1) // 2]


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
