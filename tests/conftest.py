import pytest
import torch
from torch_geometric.data import Data


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
