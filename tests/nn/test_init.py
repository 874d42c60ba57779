import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg import Graph
from ltgnn_pyg.nn.init import spectral_
from tests.dense import dense_adj


def graph_of(graph, loops=False, num_nodes=None):
    """The graph, with a loop at each node and nodes without an edge if asked for."""
    graph = graph.clone()
    graph.num_nodes = num_nodes or graph.num_nodes
    return Graph.from_data(AddSelfLoops(attr=None)(graph) if loops else graph)


def check_leading(table, graph, loops, num):
    """The first columns are the leading singular vectors, up to their sign."""
    dense = dense_adj(graph.edge_index, graph.num_nodes, add_self_loops=loops).float()
    u, _, vh = torch.linalg.svd(dense[: graph.num_users, graph.num_users :])
    for found, exact in (
        (table[: graph.num_users, :num], u),
        (table[graph.num_users :, :num], vh.t()),
    ):
        found = found / found.norm(dim=0)
        overlap = (found.t() @ exact[:, :num]).abs()
        torch.testing.assert_close(overlap, torch.eye(num), atol=1e-3, rtol=0.0)


@pytest.mark.parametrize("loops", [False, True])
def test_spectral_spans_the_leading_singular_vectors(graph, loops):
    table = torch.empty(graph.num_nodes, 3)
    assert spectral_(table, graph_of(graph, loops), std=0.5) is table
    torch.testing.assert_close(table.square().mean().sqrt(), torch.tensor(0.5))
    check_leading(table, graph, loops, 3)


def test_spectral_of_more_columns_than_the_graph_has(graph):
    table = spectral_(torch.empty(graph.num_nodes, 200), graph_of(graph), 0.5)
    num = min(graph.num_users, graph.num_items)
    check_leading(table, graph, False, num)
    for columns, std in ((table[:, :num], 0.5), (table[:, num:], 0.05)):
        rms = columns.square().mean().sqrt()
        torch.testing.assert_close(rms, torch.tensor(std), rtol=0.05, atol=0.0)


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("dim", [3, 20])
def test_spectral_of_nodes_without_an_edge(graph, loops, dim):
    table = torch.empty(graph.num_nodes + 2, dim)
    spectral_(table, graph_of(graph, loops, graph.num_nodes + 2), std=0.5)
    assert (table[-2:].abs() > 1e-4).all() and table[-2:].std() > 0.2


@pytest.mark.parametrize("loops", [False, True])
def test_spectral_of_a_graph_without_edges(loops):
    edge_index = torch.empty(2, 0, dtype=torch.long)
    data = Data(edge_index=edge_index, num_nodes=500, num_users=200)
    table = spectral_(torch.empty(500, 20), graph_of(data, loops), std=0.5)
    rms = table.square().mean(1).sqrt()
    assert table.isfinite().all() and (rms > 0.1).all()
    torch.testing.assert_close(table.std(), torch.tensor(0.5), rtol=0.05, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_spectral_is_of_the_seed_and_any_type(graph, dtype):
    given = graph_of(graph, num_nodes=graph.num_nodes + 1)
    given = given.with_operator(given.operator.to(dtype))
    tables = []
    for _ in range(2):
        torch.manual_seed(5)
        table = torch.empty(graph.num_nodes + 1, 8, dtype=dtype)
        tables.append(spectral_(table, given))
    assert torch.equal(*tables) and tables[0].dtype == dtype


def test_spectral_refuses_what_does_not_fit(graph):
    with pytest.raises(ValueError, match=r"each of 12 nodes \(got 3\)"):
        spectral_(torch.empty(3, 2), graph_of(graph))
