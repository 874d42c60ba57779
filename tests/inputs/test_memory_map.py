import pytest
import torch

from ltgnn_pyg import Graph, History, normalized_adj
from ltgnn_pyg.inputs import RowAdam, memory_map_
from ltgnn_pyg.inputs.memory_map import memory_map


def on_disk(path, size, dtype=torch.float32):
    return torch.from_file(str(path), shared=True, size=size, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
def test_dense(tmp_path, dtype):
    tensor = (100 * torch.randn(5, 3)).to(dtype)
    mapped = memory_map(tensor, tmp_path / "table")
    assert torch.equal(mapped, tensor) and mapped.dtype == dtype
    mapped[2] = 7
    again = on_disk(tmp_path / "table", 15, dtype)
    assert torch.equal(again.view(5, 3), mapped)


@pytest.mark.parametrize("size", [(), (0,), (0, 3), (1,)])
def test_small(tmp_path, size):
    tensor = torch.full(size, 3.0)
    assert torch.equal(memory_map(tensor, tmp_path / "table"), tensor)


def test_matrix(tmp_path, graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes).tensor()
    mapped = memory_map(adj_t, tmp_path / "adj")
    assert torch.equal(mapped.to_dense(), adj_t.to_dense())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adj.col",
        "adj.crow",
        "adj.value",
    ]


def test_a_tensor_mapped_to_the_file_keeps_its_numbers(tmp_path, graph):
    path = tmp_path / "table"
    first = memory_map(torch.arange(4.0), path)
    second = memory_map(torch.ones(2), path)
    assert first.tolist() == [0, 1, 2, 3] and second.tolist() == [1, 1]
    first[0], second[0] = 5, 6
    assert first.tolist() == [5, 1, 2, 3] and second.tolist() == [6, 1]
    assert on_disk(path, 2).tolist() == [6, 1]
    with torch.device("meta"):
        zeros = memory_map(torch.empty(2), path)
    assert zeros.tolist() == [0, 0] and second.tolist() == [6, 1]

    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes).tensor()
    mapped = memory_map(adj_t, tmp_path / "adj")
    again = memory_map(mapped, tmp_path / "adj")
    for matrix in (mapped, again):
        assert torch.equal(matrix.to_dense(), adj_t.to_dense())


def test_onto_its_own_file(tmp_path):
    path = tmp_path / "table"
    mapped = memory_map(torch.arange(6.0), path)
    rows = memory_map(mapped.view(3, 2)[1:], path)
    assert mapped.tolist() == list(range(6)) and rows.tolist() == [[2, 3], [4, 5]]
    rows[0] = 9
    assert on_disk(path, 4).tolist() == [9, 9, 4, 5]
    assert [p.name for p in tmp_path.iterdir()] == ["table"]


class Model(torch.nn.Module):
    """A table, a second name for it, a history that is filled or not."""

    def __init__(self, num_nodes, filled):
        super().__init__()
        self.embedding = torch.nn.Embedding(num_nodes, 4, sparse=True)
        self.tied = torch.nn.Embedding(num_nodes, 4, sparse=True)
        self.tied.weight = self.embedding.weight
        self.history = History(num_nodes, 4)
        if filled:
            self.history.allocate()

    def reset_parameters(self):
        self.embedding.reset_parameters()
        self.history.reset_parameters()


@pytest.mark.parametrize("filled", [False, True])
def test_trains_alike(tmp_path, graph, filled):
    """A run on mapped tables equals one in memory to the bit."""
    results, folder, n = [], tmp_path / "run", graph.num_nodes
    graph = Graph.from_data(graph)
    for mapped in (False, True):
        with torch.device("meta" if mapped else "cpu"):
            model = Model(n, filled)
        if mapped:
            memory_map_(model, folder)
        torch.manual_seed(0)
        model.reset_parameters()
        optimizer = RowAdam(model.parameters(), lr=0.1)
        if mapped:
            memory_map_(optimizer, folder)
        for _ in range(3):
            model.history.refresh(graph, model.embedding.weight.detach())
            index = torch.randperm(n)[:5].sort().values
            optimizer.zero_grad()
            rows = model.tied(index) + model.history.pull("aggregate", index)
            rows.square().sum().backward()
            optimizer.step()
        results.append((model.state_dict(), optimizer.state_dict()["state"][0]))
        assert model.tied.weight is model.embedding.weight
    for first, second in zip(*results, strict=True):
        for name, value in first.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, second[name]), name
    files = {p.name for p in folder.iterdir()}
    tables = {"optimizer.0.exp_avg", "optimizer.0.exp_avg_sq", "embedding.weight"}
    if filled:
        tables |= {"history.reference", "history.difference", "history.aggregate"}
    assert files == tables
    for name, table in results[1][0].items():
        if name in tables:
            assert torch.equal(on_disk(folder / name, 4 * n).view(n, 4), table)
    moment = on_disk(folder / "optimizer.0.exp_avg_sq", 4 * n).view(n, 4)
    assert moment.any() and torch.equal(moment, results[1][1]["exp_avg_sq"])


def test_twice_into_one_folder(tmp_path):
    """A second model takes the files over; the first keeps its numbers."""
    first, second = torch.nn.Embedding(3, 2), torch.nn.Embedding(3, 2)
    expected = first.weight.detach().clone()
    memory_map_(first, tmp_path)
    memory_map_(second, tmp_path)
    assert torch.equal(first.weight, expected)
    assert torch.equal(on_disk(tmp_path / "weight", 6).view(3, 2), second.weight)
    expected = second.weight.detach().clone()
    memory_map_(second, tmp_path)
    assert torch.equal(second.weight, expected)


def test_optimizer_on_its_way(tmp_path):
    """The moments so far move with it."""
    runs = []
    for mapped in (False, True):
        torch.manual_seed(0)
        table = torch.nn.Embedding(5, 2, sparse=True)
        optimizer = RowAdam(table.parameters(), lr=0.1)
        for step in range(4):
            if mapped and step == 2:
                memory_map_(optimizer, tmp_path)
            optimizer.zero_grad()
            table(torch.tensor([0, 3])).square().sum().backward()
            optimizer.step()
        runs.append(table.weight.detach())
    assert torch.equal(*runs)


class OnGPU(torch.Tensor):
    device = torch.device("cuda")


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="on the CPU"):
        memory_map(torch.ones(2).as_subclass(OnGPU), tmp_path / "a")
    with pytest.raises(ValueError, match="dense tensor or sparse CSR"):
        memory_map(torch.eye(2).to_sparse_coo(), tmp_path / "a")
    optimizer = torch.optim.Adam(torch.nn.Linear(2, 2).parameters())
    with pytest.raises(ValueError, match=r"module or RowAdam \(got Adam\)"):
        memory_map_(optimizer, tmp_path / "a")
    assert not list(tmp_path.iterdir())
