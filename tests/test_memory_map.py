import pytest
import torch

from ltgnn_pyg import LTGNN, VRNeighborLoader, normalized_adj
from ltgnn_pyg.memory_map import memory_map, memory_map_
from ltgnn_pyg.optim import RowAdam


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
def test_dense(tmp_path, dtype):
    tensor = (100 * torch.randn(5, 3)).to(dtype)
    mapped = memory_map(tensor, tmp_path / "table")
    assert torch.equal(mapped, tensor) and mapped.dtype == dtype
    mapped[2] = 7
    size = tensor.numel()
    again = torch.from_file(str(tmp_path / "table"), True, size, dtype=dtype)
    assert torch.equal(again.view(5, 3), mapped)


def test_matrix(tmp_path, graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    mapped = memory_map(adj_t, tmp_path / "adj")
    assert torch.equal(mapped.to_dense(), adj_t.to_dense())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adj.col",
        "adj.crow",
        "adj.value",
    ]


def test_trains_alike(tmp_path, graph, pairs):
    """A run on mapped tables equals one in memory to the bit."""
    results = []
    for mapped in (False, True):
        with torch.device("meta" if mapped else "cpu"):
            model = LTGNN(graph.num_users, graph.num_items, 4, gradient="corrected")
        if mapped:
            memory_map_(model, tmp_path / "run")
        torch.manual_seed(0)
        model.reset_parameters()
        optimizer = RowAdam(model.parameters(), lr=0.1)
        if mapped:
            memory_map_(optimizer, tmp_path / "run")
        loader = VRNeighborLoader(graph, model.history, 2, pairs, 5)
        for _ in range(3):
            model.refresh(loader.adj_t)
            for batch in loader:
                optimizer.zero_grad()
                model.loss(batch).backward()
                optimizer.step()
        results.append(model)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"embedding.weight", "history.reference", "optimizer.0.exp_avg"} <= names
    first, second = (r.state_dict() for r in results)
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[name]), name
    on_disk = torch.from_file(
        str(tmp_path / "run" / "embedding.weight"), True, graph.num_nodes * 4
    )
    assert torch.equal(on_disk.view(-1, 4), first["embedding.weight"])


class OnGPU(torch.Tensor):
    device = torch.device("cuda")


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="on the CPU"):
        memory_map(torch.ones(2).as_subclass(OnGPU), tmp_path / "a")
    with pytest.raises(ValueError, match="dense tensor or sparse CSR"):
        memory_map(torch.eye(2).to_sparse_coo(), tmp_path / "a")
