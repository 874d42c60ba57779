import copy
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from ltgnn_pyg import LTGNN, Graph, PairLoader, VRNeighborLoader, fit
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.train.average import moving_average
from ltgnn_pyg.train.training import default_loader
from tests.toy import MODELS, blocks


def small(data, model):
    return PairLoader(data, batch_size=64, num_rounds=3)


def build(seed=0, cls=LTGNN):
    torch.manual_seed(seed)
    train = blocks().train
    return cls(train.num_users, train.num_items, 8)


def test_chooses_the_best_epoch_and_refits_on_both_parts():
    rows = []
    report = fit(
        build(),
        blocks(),
        loader=small,
        metric="ndcg@3",
        max_epochs=4,
        log=lambda row, step: rows.append((row, step)),
    )
    chosen = [row for row in report.curve if row["phase"] == 0]
    again = [row for row in report.curve if row["phase"] == 1]
    best = max(chosen, key=lambda row: row["ndcg@3"])["epoch"]
    assert report.epochs == best == len(again)
    assert rows == list(zip(report.curve, range(1, len(rows) + 1), strict=True))
    assert len(report.interactions) == len(blocks().train) + len(blocks().val)
    assert report.settings["loader"] == "small" and report.settings["max_epochs"] == 4
    assert report.order == "random" and report.validation["ndcg@3"] <= 1.0
    assert all(text in str(report) for text in (f"{best} epochs", "random", "ndcg@3"))


def test_stops_when_nothing_is_gained():
    report = fit(build(), blocks(), loader=small, metric="recall@1", patience=2)
    chosen = [row for row in report.curve if row["phase"] == 0]
    assert len(chosen) == report.epochs + 2
    assert "without a gain in 2 more" in report.reason
    report = fit(build(), blocks(), loader=small, max_epochs=1)
    assert report.epochs == 1 and "raise 'max_epochs'" in report.reason


def test_without_refit_the_best_epoch_is_kept():
    model = build()
    report = fit(
        model,
        blocks(),
        loader=small,
        optimizer=partial(RowAdam, lr=0.5),  # So large that it gets worse.
        metric="ndcg@3",
        max_epochs=6,
        patience=6,
        refit=False,
    )
    data = Graph.from_interactions(blocks().train)
    result = evaluate(
        model.scorer(data).vectors,
        blocks().val,
        exclude=blocks().train,
        k=3,
    )
    assert result["ndcg@3"] == report.validation["ndcg@3"]
    assert torch.equal(report.vectors.user, model.scorer(data).vectors.user)


def test_refit_starts_from_where_the_model_started():
    """The second training equals one that had no first, but for what is drawn."""
    split, both = blocks(), blocks()
    both.train, both.val = split.known, split.val[:0]

    def in_order(data, model):
        return PairLoader(data, batch_size=64, num_rounds=3, shuffle=False)

    settings = {"loader": in_order, "init": None}
    one, two = build(), build()
    report = fit(one, split, max_epochs=2, metric="recall@1", **settings)
    fit(two, both, max_epochs=report.epochs, **settings)
    assert torch.equal(one.inputs.weight, two.inputs.weight)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_scores_have_the_temperature_of_what_was_trained_on(tmp_path, average):
    """Also those of the average, and of a model that is read back."""
    split, model = blocks(), build()
    report = fit(model, split, max_epochs=2, average=average, loader=small)
    known = report.interactions
    ratio = known.num_users * known.num_items / len(known)
    temperature = max(0.12, 0.79 / max(math.log(ratio), 1.0))
    degree = torch.bincount(known.item, minlength=known.num_items)
    bias = temperature * degree.clamp(min=1).log()
    torch.testing.assert_close(report.vectors.item_bias, bias)
    assert temperature > 0.12 and model.loss_fn.tau == temperature
    read = build()
    read.load_state_dict(model.state_dict())
    assert read.loss_fn.tau == temperature
    model.save_pretrained(tmp_path)
    read = LTGNN.from_pretrained(tmp_path)
    assert read.loss_fn.tau == temperature and read.loss_fn.temperature is None


@pytest.mark.parametrize("one", [0, 1])
def test_a_resumed_run_takes_the_kernels_it_began_with(tmp_path, one):
    """Whatever the machine that it goes on would choose."""
    product, scores = "product on cpu in float32", "scores of a softmax on cpu"
    given = [
        {product: "bags", scores: "float32"},
        {product: "matmul", scores: "bfloat16"},
    ]

    def large(graph, model):
        return PairLoader(graph, batch_size=600, num_rounds=2)

    def run(folder, chosen, resume=False, max_epochs=3):
        torch.manual_seed(4 + resume)
        with kernels.run(chosen):
            return fit(
                LTGNN(192, 32, 8),
                blocks(rounds=6),
                loader=large,
                max_epochs=max_epochs,
                folder=tmp_path / folder,
                resume=resume,
                refit=False,
            )

    expected, other = run("whole", given[one]), run("other", given[1 - one])
    assert expected.kernels == given[one] and other.kernels == given[1 - one]
    assert not torch.equal(other.vectors.user, expected.vectors.user)
    run("cut", given[one], max_epochs=1)
    report = run("cut", given[1 - one], resume=True)
    assert report.kernels == given[one]
    assert torch.equal(report.vectors.user, expected.vectors.user)
    assert torch.equal(report.vectors.item, expected.vectors.item)
    assert report.curve[-1]["loss"] == expected.curve[-1]["loss"]
    assert fit(build(), blocks(), max_epochs=1).kernels[product] == "bags"


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("refit", [False, True])
def test_a_killed_run_resumes_to_the_bit(tmp_path, steps, refit):
    class Killed(Exception):
        pass

    def steps_of(data, model):
        return VRNeighborLoader(data, model, 2, batch_size=32)

    def run(folder, last=None, resume=False, seed=0, max_epochs=3):
        def log(row, step):
            if step == last:
                raise Killed

        return fit(
            build(seed),
            blocks(),
            loader=steps_of if steps else small,
            max_epochs=max_epochs,
            patience=3,
            metric="ndcg@3",
            refit=refit,
            folder=folder,
            resume=resume,
            log=log,
        )

    expected = run(tmp_path / "whole")
    for last in range(1, len(expected.curve) + 1):
        folder = tmp_path / str(last)
        with pytest.raises(Killed):
            run(folder, last)
        report = run(folder, resume=True, seed=last)  # Whatever was drawn before.
        assert torch.equal(report.vectors.user, expected.vectors.user)
        assert torch.equal(report.vectors.item, expected.vectors.item)
        drop = {"seconds"}
        for one, two in zip(report.curve, expected.curve, strict=True):
            assert {k: v for k, v in one.items() if k not in drop} == {
                k: v for k, v in two.items() if k not in drop
            }
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == report.curve
    with pytest.raises(ValueError, match="resume=True"):
        run(tmp_path / "whole")
    with pytest.raises(ValueError, match="the settings of the run"):
        fit(build(), blocks(), patience=9, folder=tmp_path / "whole", resume=True)
    other = blocks()
    other.train, other.val = other.val, other.train  # Another split of the same data.
    with pytest.raises(ValueError, match="the settings of the run"):
        fit(build(), other, folder=tmp_path / "whole", resume=True)
    if refit:
        with pytest.raises(ValueError, match="is chosen already"):
            run(tmp_path / "whole", resume=True, max_epochs=9)


SCRIPT = """
import sys, torch
from ltgnn_pyg import fit
from tests.train.test_fit import build, small
from tests.toy import blocks
report = fit(build(), blocks(), loader=small, max_epochs=40, patience=40,
             metric="ndcg@3", folder=sys.argv[1], resume=True,
             log=lambda row, step: print(step, flush=True))
torch.save(report.vectors.user, sys.argv[2])
"""


def test_a_run_that_is_killed_hard_resumes(tmp_path):
    def start(folder, out):
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(out)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    whole = start(tmp_path / "whole", tmp_path / "expected")
    cut = start(tmp_path / "cut", tmp_path / "actual")
    for _ in range(5):
        assert cut.stdout.readline()
    cut.send_signal(signal.SIGKILL)
    cut.communicate()
    again = start(tmp_path / "cut", tmp_path / "actual")
    again.communicate()
    whole.communicate()
    assert again.returncode == whole.returncode == 0
    assert torch.equal(
        torch.load(tmp_path / "actual"), torch.load(tmp_path / "expected")
    )


def test_moving_average_is_that_of_all_before():
    decay, values = 0.7, [torch.randn(3) for _ in range(6)]
    param = torch.nn.Linear(3, 1, bias=False)
    averaged = torch.optim.swa_utils.AveragedModel(
        param, multi_avg_fn=moving_average(decay)
    )
    for num, value in enumerate(values, 1):
        with torch.no_grad():
            param.weight[0] = value
        averaged.update_parameters(param)
        weight = torch.tensor([decay ** (num - m) for m in range(1, num + 1)])
        expected = (weight[:, None] * torch.stack(values[:num])).sum(0) / weight.sum()
        torch.testing.assert_close(averaged.module.weight[0].detach(), expected)


def test_scores_with_the_average():
    """Of few steps: the moving average is near their mean, and none of them."""
    weights = []

    class Recorded(RowAdam):
        def step(self, closure=None):
            out = super().step(closure)
            weights.append(self.param_groups[0]["params"][0].detach().clone())
            return out

    split = blocks()
    split.val = split.val[:0]
    model = build(cls=LTGNN)
    fit(
        model,
        split,
        loader=small,
        optimizer=partial(Recorded, lr=0.1),
        max_epochs=2,
        average=0.9,
    )
    decay = 0.9 ** (80 / 3)  # Three updates an epoch stand for eighty.
    num = len(weights)
    share = torch.tensor([decay ** (num - m - 1) for m in range(num)])
    expected = torch.einsum("s,snd->nd", share / share.sum(), torch.stack(weights))
    torch.testing.assert_close(model.inputs.weight.detach(), expected)


def test_scores_over_the_weighted_graph():
    split = blocks()
    report = fit(
        model := build(),
        split,
        loader=small,
        max_epochs=1,
        metric="recall@1",
        edge_weight=lambda interactions: 0.1 + interactions.item,
    )
    weight = 0.1 + report.interactions.item
    known = replace(report.interactions, weight=weight)
    expected = model.scorer(Graph.from_interactions(known)).vectors
    assert torch.equal(report.vectors.item_bias, expected.item_bias)
    assert torch.equal(report.vectors.user, expected.user)


def test_validates_on_a_sample():
    whole = fit(build(), blocks(), loader=small, max_epochs=1, metric="ndcg@3")
    sample = fit(
        build(), blocks(), loader=small, max_epochs=1, metric="ndcg@3", eval_users=5
    )
    assert sample.curve[0]["loss"] == whole.curve[0]["loss"]
    assert 0.0 <= sample.validation["ndcg@3"] <= 1.0


def test_default_loader():
    """Inner steps for what is linear in its table, a step a round for others."""
    data, size = Graph.from_interactions(blocks().train), (64, 32, 8)
    for cls in MODELS:
        model = cls(*size)
        loader = default_loader(data, model)
        assert isinstance(loader, PairLoader)
        assert loader.inner_steps == (model.coefficients is not None)
        has_no_graph = model.coefficients is not None and len(model.coefficients) == 1
        assert loader.leave_out != has_no_graph


def test_the_papers_steps():
    model = LTGNN(64, 32, 8, alpha=0.2, K=None)
    report = fit(
        model, blocks(), loader=VRNeighborLoader, max_epochs=20, patience=20,
        metric="recall@2",
    )  # fmt: skip
    assert report.validation["recall@2"] == 1.0


def test_ends_in_time():
    report = fit(build(), blocks(), loader=small, max_seconds=1e-9, refit=False)
    assert report.epochs == len(report.curve) == 1 and "in 1e-09 s" in report.reason
    with pytest.raises(ValueError, match="positive 'max_seconds'"):
        fit(build(), blocks(), max_seconds=0.0)


def test_leaves_the_model_ready():
    model = build()
    before = copy.deepcopy(model)
    fit(model, blocks(), loader=small, max_epochs=1)
    assert not model.training
    assert not torch.equal(model.inputs.weight, before.inputs.weight)
    model.train()
    model.loss(
        next(iter(PairLoader(Graph.from_interactions(blocks().train))))
    ).backward()


def test_bad_arguments():
    with pytest.raises(ValueError, match="positive 'max_epochs'"):
        fit(build(), blocks(), max_epochs=0)
    with pytest.raises(ValueError, match="'average'"):
        fit(build(), blocks(), average=1.0)
    for metric in ("recall", "recall@0", "nonsense@20", "recall@x"):
        with pytest.raises(ValueError, match="'NAME@K'"):
            fit(build(), blocks(), metric=metric)
    other = LTGNN(3, 4, 8)
    with pytest.raises(ValueError, match="64 users and 32 items"):
        fit(other, blocks())
