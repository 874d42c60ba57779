import pytest
import torch
from torch_geometric.data import Data

from ltgnn_pyg import LTGNN, Graph, PairLoader, VRNeighborLoader
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import BPRLoss, SoftmaxLoss
from tests.dense import dense_adj


def test_encode_is_k_exact_steps(graph):
    model = LTGNN(graph.num_users, graph.num_items, 4, alpha=0.3, K=4)
    x = model.inputs.weight.detach()
    adj = dense_adj(graph.edge_index, graph.num_nodes).float()
    z = x
    for _ in range(4):
        z = 0.7 * adj @ z + 0.3 * x
    torch.testing.assert_close(model.encode(Graph.from_data(graph)), z)
    size = (graph.num_nodes, graph.num_nodes)
    ones = torch.ones(graph.num_edges)
    raw = torch.sparse_coo_tensor(graph.edge_index.flip(0), ones, size).to_sparse_csr()
    data = Data(adj_t=raw, num_nodes=graph.num_nodes, num_users=graph.num_users)
    torch.testing.assert_close(model.encode(Graph.from_data(data)), z)


def test_default_objective_is_softmax():
    torch.manual_seed(0)
    model = LTGNN(7, 5, 4)
    torch.manual_seed(0)
    other = LTGNN(7, 5, 4, loss_fn=SoftmaxLoss())
    edge_index = torch.tensor([[0, 1, 1, 7, 8, 9], [7, 8, 9, 0, 1, 1]])
    data = Data(edge_index=edge_index, num_nodes=12, num_users=7)
    graph = Graph.from_data(data)
    for one, two in zip(
        vars(model.scorer(graph).vectors).values(),
        vars(other.scorer(graph).vectors).values(),
        strict=True,
    ):
        assert torch.equal(one, two)


@pytest.mark.parametrize("neg", [None, "triplet"])
def test_the_paper_step(graph, pairs, neg):
    """Loss, gradient and history of a step against a dense re-computation."""
    loss_fn = SoftmaxLoss() if neg is None else BPRLoss()
    model = LTGNN(7, 5, 4, alpha=0.3, loss_fn=loss_fn, weight_decay=0.1, init_std=1.0)
    model.double()
    loader = VRNeighborLoader(graph, model, -1, pairs, 6, neg)
    adj = dense_adj(graph.edge_index, graph.num_nodes)
    optimizer = RowAdam(model.parameters(), lr=0.1)
    for _ in range(2):
        for batch in loader:
            before = model.history.output()
            seed = batch.n_id[: batch.num_seeds]
            x = model.inputs.weight.detach().clone().requires_grad_()
            z = (0.7 * adj @ before + 0.3 * x)[seed]
            expected = loss_fn(z, batch)
            rows = [batch.src_index, batch.dst_pos_index]
            rows += [batch.dst_neg_index] if neg else []
            decay = sum(x[seed][i].square().sum() for i in rows)
            expected = expected + 0.1 / (2 * batch.src_index.numel()) * decay
            expected.backward()
            optimizer.zero_grad()
            loss = model.loss(batch)
            again = model.loss(batch)  # What it pushes, it pushes again.
            assert torch.equal(loss, again)
            loss.backward()
            optimizer.step()
            close = {"atol": 1e-6, "rtol": 1e-6}
            torch.testing.assert_close(loss, expected, **close)
            grad = model.inputs.weight.grad
            assert grad.is_sparse
            assert torch.equal(grad.coalesce().indices()[0], seed.sort().values)
            torch.testing.assert_close(grad.to_dense(), x.grad, **close)
            before[seed] = z.detach()
            torch.testing.assert_close(model.history.output(), before, **close)


def test_only_training_pushes(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    batch = next(iter(VRNeighborLoader(graph, model, 2, pairs, 5)))
    before = model.history.output()
    model.eval().loss(batch)
    with torch.no_grad():
        model.train().loss(batch)
    assert torch.equal(model.history.output(), before)
    model.loss(batch)
    assert not torch.equal(model.history.output(), before)


def test_loaders_may_alternate(graph, pairs):
    """Dense and sparse gradients of one table, in one optimizer."""
    model = LTGNN(graph.num_users, graph.num_items, 4, init_std=0.1)
    optimizer = RowAdam(model.parameters(), lr=0.01)
    loaders = PairLoader(graph, pairs), VRNeighborLoader(graph, model, 2, pairs, 4)
    losses = []
    for _ in range(40):
        for loader in loaders:
            for batch in loader:
                optimizer.zero_grad()
                loss = model.loss(batch)
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
    assert sum(losses[-20:]) < sum(losses[:20])
    model.zero_grad()
    for loader in loaders:  # Of both, in one gradient.
        model.loss(next(iter(loader))).backward()
    assert model.inputs.weight.grad.isfinite().all()


def test_history_elsewhere_and_narrow(graph, pairs):
    """A model on another device than its history, as far as shapes can tell."""
    model = LTGNN(
        graph.num_users,
        graph.num_items,
        4,
        history_device="cpu",
        history_dtype=torch.bfloat16,
    )
    for batch in VRNeighborLoader(graph, model, 2, pairs, 5):
        model.loss(batch).backward()
    assert model.history.reference.dtype == torch.bfloat16
    assert model.encode(Graph.from_data(graph)).dtype == torch.float32
    model.to("meta")
    assert not model.history.reference.is_meta


def test_state_dict_holds_the_history(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    empty = LTGNN(graph.num_users, graph.num_items, 4).state_dict()
    for batch in VRNeighborLoader(graph, model, 2, pairs, 5):
        model.loss(batch)
    other = LTGNN(graph.num_users, graph.num_items, 4)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.history.output(), model.history.output())
    assert other.history.num_refreshes == model.history.num_refreshes == 8
    other.load_state_dict(empty)  # And back.
    assert other.history.num_refreshes == 0
    with pytest.raises(ValueError, match="a filled history"):
        other.history.output()
    model.reset_parameters()
    assert model.history.num_refreshes == 0
    model.refresh(Graph.from_data(graph))
    assert model.history.num_refreshes == 8


def test_refuses_other_batches(graph, pairs):
    model = LTGNN(graph.num_users, graph.num_items, 4)
    batch = next(iter(PairLoader(graph, pairs)))
    del batch.graph
    with pytest.raises(ValueError, match="'PairLoader'"):
        model.loss(batch)


def test_a_copy_that_averages_trains_on(graph, pairs):
    """The history of a model and of its average are not taken for one another."""
    model = LTGNN(graph.num_users, graph.num_items, 4)
    optimizer = RowAdam(model.parameters(), lr=0.1)
    averaged, tables = torch.optim.swa_utils.AveragedModel(model), []
    for batch in VRNeighborLoader(graph, model, 2, pairs, 5):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
        averaged.update_parameters(model)
        tables.append(model.inputs.weight.detach().clone())
    mean = torch.stack(tables).mean(0)
    torch.testing.assert_close(averaged.module.inputs.weight.detach(), mean)
    assert averaged.module.history.is_empty and not model.history.is_empty


def test_k_of_the_fixed_point(graph):
    for alpha in (0.1, 0.3, 1.0):
        model = LTGNN(graph.num_users, graph.num_items, 4, alpha=alpha, K=None)
        assert (1 - alpha) ** model.K <= 0.1 + 1e-9
        assert model.K == 1 or (1 - alpha) ** (model.K - 1) > 0.1
    for bad in ({"alpha": 0.0, "K": None}, {"alpha": 1.5}, {"K": 0}):
        with pytest.raises(ValueError, match="Expected"):
            LTGNN(7, 5, 4, **bad)
