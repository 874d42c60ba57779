import inspect

import pytest

import ltgnn_pyg.nn
from ltgnn_pyg.cli.models import MODELS, build_model, settings_of_model
from ltgnn_pyg.nn import GuidedSoftmaxLoss, Recommender, SoftmaxLoss
from ltgnn_pyg.runs.run_folder import RunFolder


def test_every_model_has_a_name():
    public = (getattr(ltgnn_pyg.nn, name) for name in ltgnn_pyg.nn.__all__)
    classes = {c for c in public if inspect.isclass(c) and issubclass(c, Recommender)}
    assert set(MODELS.values()) == classes - {Recommender}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_that_of_the_library(name):
    model = build_model({"model": name}, 9, 7)
    own = MODELS[name](9, 7)
    assert repr(model) == repr(own) and repr(model.loss_fn) == repr(own.loss_fn)
    given = {"temperature": 0.3} if "temperature" in settings_of_model(name) else {}
    assert bool(given) == (type(own.loss_fn) is SoftmaxLoss)
    model = build_model({"model": name, "embedding_dim": 8, **given}, 9, 7)
    assert model.embedding_dim == 8
    assert not given or model.loss_fn.temperature == 0.3


def test_a_filter_guides_the_softmax():
    flags = {"model": "ltgnn", "guide_weight": 0.4, "temperature": 0.3}
    loss_fn = build_model(flags, 9, 7).loss_fn
    assert repr(loss_fn) == repr(GuidedSoftmaxLoss(7, 7, 0.3, guide_weight=0.4))
    assert type(build_model({**flags, "guide_weight": 0.0}, 9, 7).loss_fn) is (
        SoftmaxLoss
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_on_its_defaults(name, ratings, tmp_path, ltgnn):
    words = ["train", ratings, "--out", tmp_path / "run", "--model", name]
    code, out, error = ltgnn(*words, "--epochs", 1, "--embedding-dim", 8)
    assert code == 0, error
    run = RunFolder.open(tmp_path / "run")
    again = MODELS[name].from_pretrained(tmp_path / "run")
    assert again.settings() == run.config["model"] and "recall@20" in out
    code, out, error = ltgnn("recommend", tmp_path / "run", "--user", "u1", "-k", 3)
    assert code == 0 and len(out.splitlines()) == 4
