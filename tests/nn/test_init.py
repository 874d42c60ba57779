import pytest
import torch
from torch_geometric.data import Data

from ltgnn_pyg import Graph, normalized_adj
from ltgnn_pyg.graph import Edges, Numbering
from ltgnn_pyg.nn.init import _singular_vectors, spectral_
from tests.dense import dense_adj


def graph_of(data, num_nodes=None, loops=False):
    """The graph of data, with more items or self-loops on all nodes."""
    num_nodes = data.num_nodes if num_nodes is None else num_nodes
    num = {"user": data.num_users, "item": num_nodes - data.num_users}
    once = data.edge_index[:, data.edge_index[0] < data.num_users]
    adj_t = normalized_adj(data.edge_index, None, num_nodes, loops)
    return Graph(Numbering.of(num), Edges(once)).with_operator(adj_t)


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
    assert spectral_(table, graph_of(graph, loops=loops), std=0.5) is table
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
    spectral_(table, graph_of(graph, graph.num_nodes + 2, loops), std=0.5)
    assert (table[-2:].abs() > 1e-4).all() and table[-2:].std() > 0.2


@pytest.mark.parametrize("loops", [False, True])
def test_spectral_of_a_graph_without_edges(loops):
    data = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_users=200)
    table = spectral_(torch.empty(500, 20), graph_of(data, 500, loops), std=0.5)
    rms = table.square().mean(1).sqrt()
    assert table.isfinite().all() and (rms > 0.1).all()
    torch.testing.assert_close(table.std(), torch.tensor(0.5), rtol=0.05, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_spectral_is_of_the_seed_and_any_type(graph, dtype):
    whole = graph_of(graph, graph.num_nodes + 1)
    whole = whole.with_operator(whole.matrix.to(dtype))
    tables = []
    for _ in range(2):
        torch.manual_seed(5)
        table = torch.empty(graph.num_nodes + 1, 8, dtype=dtype)
        tables.append(spectral_(table, whole))
    assert torch.equal(*tables) and tables[0].dtype == dtype


@pytest.mark.parametrize("size", [(60, 40), (40, 60)])
def test_singular_vectors_of_torch_to_the_bit(size):
    dense = torch.rand(size) * (torch.rand(size) < 0.2)
    torch.manual_seed(3)
    expected = torch.svd_lowrank(dense.to_sparse(), q=20, niter=3)
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(3)
        found = _singular_vectors(dense.to_sparse().to(dtype), 20)
        for one, two in zip(found, expected[::2], strict=True):
            if dtype == torch.float32:
                assert torch.equal(one, two)
            one, two = one[:, :5].double(), two[:, :5].double()  # Up to their sign.
            torch.testing.assert_close((one.t() @ two).abs(), torch.eye(5).double(),
                                       atol=1e-4, rtol=0.0)  # fmt: skip


def test_spectral_refuses_what_does_not_fit(graph):
    with pytest.raises(ValueError, match="a row for each of 12 nodes"):
        spectral_(torch.empty(3, 2), graph_of(graph))


def test_nothing_of_the_size_of_the_graph_is_kept(graph):
    known = Graph.from_data(graph)
    spectral_(torch.empty(known.num_nodes, 4), known)
    assert vars(known.matrix.pattern).keys() == {"rowptr", "col", "num_cols"}
