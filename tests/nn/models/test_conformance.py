"""What every model must do with its default arguments, on a toy with a known answer."""

import copy
import math
import pickle

import pytest
import torch

from ltgnn_pyg import Graph, PairLoader, VRNeighborLoader, fit
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import LTGNN, NGCF, LightGODE, MatrixFactorization
from ltgnn_pyg.train.checkpoint import load_checkpoint, save_checkpoint
from tests.toy import MODELS, blocks

DROPS = [NGCF]  # Their steps are random in training, but not after it.
NO_GRAPH = [MatrixFactorization, LightGODE]  # In training.

every_model = pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)


def build(cls, device, dtype=torch.float32):
    train = blocks().train
    model = cls(train.num_users, train.num_items).to(device, dtype)
    return model, Graph.from_interactions(train).to(device)


def assert_same(one, two, atol=1e-4):
    """To the bit, but on a GPU, where sums are in no fixed order, and Adam moves what
    is nearly zero by its rate in either direction.
    """
    if one.is_cuda:
        torch.testing.assert_close(one, two, atol=atol, rtol=1e-3)
    else:
        assert torch.equal(one, two)


def step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = model.loss(batch)
    loss.backward()
    optimizer.step()
    return loss.detach()


def finds_the_held_out(vectors, split):
    result = evaluate(vectors, split.test, exclude=split.known, k=1)
    assert result == {"recall@1": 1.0, "ndcg@1": 1.0}


@every_model
def test_plain_loop_finds_the_held_out(cls, device):
    model, data = build(cls, device)
    loader, optimizer = PairLoader(data, batch_size=128), RowAdam(model.parameters())
    optimizer.param_groups[0]["lr"] = 0.01
    for _ in range(12):
        for batch in loader:
            step(model, optimizer, batch)
    finds_the_held_out(model.scorer(data).vectors, blocks())


@every_model
def test_fit_finds_the_held_out(cls, device):
    model, _ = build(cls, device)
    report = fit(model, blocks(), patience=30, metric="recall@2", refit=False)
    assert report.validation["recall@2"] == 1.0
    split = blocks()  # Of two items that are left, either may be the first.
    split.train, split.val = split.known, split.val[:0]
    model, _ = build(cls, device)
    finds_the_held_out(fit(model, split).vectors, blocks())


def test_paper_step_finds_the_held_out(device):
    model, data = build(LTGNN, device)
    optimizer = RowAdam(model.parameters(), lr=0.01)
    for _ in range(30):
        for batch in VRNeighborLoader(data, model, 3, batch_size=128):
            step(model, optimizer, batch)
    finds_the_held_out(model.scorer(data).vectors, blocks())


def rounds(data, model):
    return PairLoader(data, batch_size=64, num_rounds=5)


@every_model
def test_fit_is_the_plain_loop_to_the_bit(cls, device):
    torch.manual_seed(1)
    model, data = build(cls, device)
    other = copy.deepcopy(model)
    torch.manual_seed(2)
    settings = {"refit": False, "average": 0.0, "init": None, "max_epochs": 2}
    split = blocks()
    split.val = split.val[:0]
    report = fit(model, split, loader=rounds, **settings)
    torch.manual_seed(2)
    loader = rounds(data, other)
    other.loss_fn.prepare(loader.graph)
    optimizer = RowAdam(other.parameters(), lr=0.007)
    for _ in range(2):
        losses = [step(other, optimizer, batch) for batch in loader]
    assert len(losses) == 5
    mean = sum(losses) / len(losses)
    assert_same(mean, torch.tensor(report.curve[-1]["loss"], device=device))
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert_same(one, two)


@every_model
def test_shapes_and_types(cls, device):
    for dtype in (torch.float32, torch.float64):
        model, data = build(cls, device, dtype)
        z = model.encode(data)
        assert z.shape == (model.num_nodes, model.out_dim) and z.dtype == dtype
        vectors = model.scorer(data).vectors
        assert vectors.user.shape == (model.num_users, model.out_dim)
        if model.loss_fn.item_bias(torch.ones(model.num_items)) is not None:
            assert vectors.item_bias.shape == (model.num_items,)
        assert model.training  # As before.
        assert not vectors.user.requires_grad
        loss = model.loss(next(iter(PairLoader(data))))
        loss.backward()
        assert loss.dim() == 0 and loss.dtype == dtype and loss.isfinite()
        assert all(p.grad is not None for p in model.parameters())


@every_model
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_fit_in_few_bits(cls, dtype, device):
    """Tables of few bits are trained, with moments and sums of more."""
    torch.manual_seed(1)
    model, _ = build(cls, device, dtype)
    report = fit(model, blocks(), max_epochs=1)
    assert all(math.isfinite(row["loss"]) for row in report.curve)
    for param in model.parameters():
        assert param.dtype == dtype and param.isfinite().all()
    for vector in (report.vectors.user, report.vectors.item):
        assert vector.dtype in (dtype, torch.float32) and vector.isfinite().all()


def drawn_alike(model, batch):
    torch.manual_seed(0)
    return model.loss(batch)


@every_model
def test_calling_it_leaves_nothing_behind(cls, device):
    """No state but parameters: a loss more, or an epoch cut short, changes nothing."""
    torch.manual_seed(1)
    model, data = build(cls, device)
    other = copy.deepcopy(model)
    batches = list(PairLoader(data, batch_size=16, num_rounds=6))
    optimizer, plain = (RowAdam(m.parameters(), lr=0.01) for m in (model, other))
    names = set(vars(model)) | set(model.state_dict())
    for i, batch in enumerate(batches):
        with torch.no_grad():
            first = drawn_alike(model, batch)
        again = drawn_alike(model, batch)  # Thrown away, without a backward.
        assert_same(first, again.detach())
        scored = drawn_alike(model.eval(), batch).detach()
        if cls not in DROPS:
            assert_same(scored, first)
        model.train()
        optimizer.zero_grad(set_to_none=i % 2 == 0)
        if i != 2:  # A batch that is skipped loses itself alone.
            drawn_alike(model, batch).backward()
            optimizer.step()
            plain.zero_grad()
            drawn_alike(other, batch).backward()
            plain.step()
        next(iter(PairLoader(data)))  # Another loader's epoch, cut short.
        copy.deepcopy(model)
    assert names == set(vars(model)) | set(model.state_dict())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        tolerance = 0.1 if one.is_cuda else 1e-7  # Ten steps of Adam.
        torch.testing.assert_close(one, two, atol=tolerance, rtol=1e-6)


@every_model
def test_pickle_and_state_dict(cls, device):
    model, data = build(cls, device)
    step(model, RowAdam(model.parameters()), next(iter(PairLoader(data))))

    def embedding(model):
        torch.manual_seed(1)  # Some models draw.
        return model.eval().encode(data)

    expected = embedding(model)
    assert_same(embedding(pickle.loads(pickle.dumps(model))), expected)
    other, _ = build(cls, device)
    other.load_state_dict(model.state_dict())
    assert_same(embedding(other), expected)
    other.reset_parameters()
    assert not torch.equal(embedding(other), expected)


@every_model
def test_resumes_to_the_bit(cls, device, tmp_path):
    def run(num_epochs, resume=False):
        torch.manual_seed(3)
        model, data = build(cls, device)
        optimizer = RowAdam(model.parameters(), lr=0.01)
        generator = torch.Generator().manual_seed(4)
        loader = PairLoader(data, batch_size=32, num_rounds=3, generator=generator)
        state = {"model": model, "optimizer": optimizer, "generator": generator}
        if resume:
            torch.manual_seed(99)
            load_checkpoint(tmp_path / "run.ckpt", **state)
        for _ in range(num_epochs):
            for batch in loader:
                step(model, optimizer, batch)
        return model, state

    expected, _ = run(4)
    _, state = run(2)
    save_checkpoint(tmp_path / "run.ckpt", **state)
    model, _ = run(2, resume=True)
    for one, two in zip(model.parameters(), expected.parameters(), strict=True):
        assert_same(one, two)


@every_model
def test_the_rows_of_a_round_alone_get_the_objective(cls, device):
    """A batch without its graph is refused, but by a model that needs none."""
    model, data = build(cls, device)
    batch = next(iter(PairLoader(data)))
    del batch.graph
    if cls in NO_GRAPH:
        assert model.loss(batch).isfinite()
    else:
        with pytest.raises(ValueError, match="'PairLoader'"):
            model.loss(batch)
