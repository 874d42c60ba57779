import pytest
import torch

from ltgnn_pyg import LTGNN, Graph, ItemNegativeSampling, PairLoader
from ltgnn_pyg.batch import MicroBatch, Round
from ltgnn_pyg.nn import BPRLoss, LightGCN, MatrixFactorization, SoftmaxLoss
from tests.toy import ThreeLayers, blocks

GRAPH = Graph.from_interactions(blocks().train)
SIZE = GRAPH.num_users, GRAPH.num_items


def load(**kwargs):
    kwargs = {"batch_size": 32, "num_rounds": 3, **kwargs}
    return PairLoader(GRAPH, generator=torch.Generator().manual_seed(1), **kwargs)


def drawn(kind):
    popular = {"edge_index": GRAPH.target_edges, "power": 0.5}
    return {
        "none": None,
        "one": ItemNegativeSampling(*SIZE),
        "several": ItemNegativeSampling(*SIZE, 3, **popular),
        "shared": ItemNegativeSampling(*SIZE, 4, shared=True, **popular),
    }[kind]


@pytest.mark.parametrize("kind", ["none", "one", "several", "shared"])
def test_micro_batches_are_a_partition(kind):
    """Put together again, by the numbers of nodes, they are the round."""
    weight = torch.rand(GRAPH.num_edges) + 0.1
    for batch in load(neg_sampling=drawn(kind), edge_label_weight=weight):
        torch.testing.assert_close(
            batch.weight, (weight / weight.mean())[batch.input_id]
        )
        assert type(batch) is Round and torch.equal(batch.seeds, batch.n_id)
        parts = list(batch.micro_batches())
        assert len(parts) == batch.num_micro_batches == 4
        assert all(type(part) is MicroBatch for part in parts)
        assert [part.num_seeds for part in parts] == batch.seeds_of_parts
        assert torch.equal(torch.cat([part.n_id for part in parts]), batch.n_id)
        for name in ("input_id", "weight"):
            found = torch.cat([part[name] for part in parts])
            assert torch.equal(found, batch[name])
        for name in ("src_index", "dst_pos_index", "dst_neg_index"):
            if batch.get(name) is not None:
                found = torch.cat([part.n_id[part[name]] for part in parts])
                assert torch.equal(found, batch.n_id[batch[name]])
        if kind in ("several", "shared"):
            found = torch.cat([part.log_q for part in parts])
            assert torch.equal(found, batch.log_q)
        assert sum(part.num_pairs for part in parts) == batch.num_pairs
        shares = [batch.share(part) for part in parts]
        assert shares == [part.num_pairs / batch.num_pairs for part in parts]
        for part in parts:
            assert part.num_pairs <= 32 and part.num_nodes == part.num_seeds
            assert part.seeds.unique().numel() == part.num_seeds
            assert list(part.micro_batches()) == [part] and part.share(part) == 1.0
            assert part.get("graph") is None
            rows = 1 if kind == "shared" else part.num_pairs
            assert (part.negatives is None) == (kind == "none")
            assert kind == "none" or part.negatives.size(0) == rows


@pytest.mark.parametrize("cls", [LTGNN, LightGCN, MatrixFactorization, ThreeLayers])
def test_rows_are_those_of_the_graph(cls):
    model = cls(*SIZE, 8).double()
    for batch in load():
        z = model.encode(batch.graph)
        torch.testing.assert_close(batch.rows(model), z[batch.n_id])


def test_rows_of_a_table_take_no_step_beside_them():
    """A model of one coefficient asks for its seeds alone."""
    model = MatrixFactorization(*SIZE, 8)
    batch = next(iter(load()))
    batch.rows(model).sum().backward()
    assert model.inputs.weight.grad.is_sparse
    rows = model.inputs.weight.grad.coalesce().indices()[0]
    assert torch.equal(rows, batch.n_id.unique())


@pytest.mark.parametrize("cls, drawn", [(SoftmaxLoss, None), (BPRLoss, "triplet")])
@pytest.mark.parametrize("more", [0, 5])
def test_mean_is_that_over_pairs(cls, drawn, more):
    """With gradient and without: each micro-batch by its share of the pairs."""
    loss_fn = cls().double()
    for batch in load(batch_size=32 + more, neg_sampling=drawn):
        z = torch.randn(batch.num_seeds, 8, dtype=torch.double, requires_grad=True)
        params = list(loss_fn.parameters())
        expected = sum(
            part.num_pairs * loss_fn(rows, part)
            for rows, part in zip(
                z.split(batch.seeds_of_parts), batch.micro_batches(), strict=True
            )
        )
        expected = expected / batch.num_pairs
        found = batch.mean(z, loss_fn, params)
        torch.testing.assert_close(found, expected)
        with torch.no_grad():
            torch.testing.assert_close(batch.mean(z, loss_fn), expected)
        wanted = torch.autograd.grad(3 * expected, (z, *params))
        grads = torch.autograd.grad(3 * found, (z, *params))
        for one, two in zip(grads, wanted, strict=True):
            torch.testing.assert_close(one, two)


def test_a_micro_batch_has_no_graph():
    part = next(next(iter(load())).micro_batches())
    with pytest.raises(ValueError, match=r"the graph of its round .*'PairLoader'"):
        part.rows(LTGNN(*SIZE, 8))
    with pytest.raises(ValueError, match="the graph of its round"):
        LTGNN(*SIZE, 8).loss(part)


def test_made_by_hand():
    """As an objective takes it."""
    batch = MicroBatch(
        n_id=torch.tensor([4, 9, 7]),
        num_seeds=2,
        src_index=torch.tensor([0, 0, 0]),
        dst_pos_index=torch.tensor([1, 1, 1]),
    )
    assert batch.seeds.tolist() == [4, 9] and batch.num_pairs == 3
    assert batch.negatives is None and batch.get("log_q") is None
    z = torch.randn(2, 3)
    assert batch.mean(z, lambda rows, part: (rows is z, part is batch)) == (True, True)
