import json

import pytest

from ltgnn_pyg.cli import tune
from ltgnn_pyg.cli.models import MODELS, settings_of_model

pytest.importorskip("optuna")


@pytest.fixture
def words(ratings):
    few = ["--epochs", 2, "--models", "ltgnn", "mf", "--embedding-dim", 8]
    return ["tune", ratings, *few, "--average", 0.9]


def timeless(result):
    for row in result["models"]:
        del row["seconds"]
    return result


def test_a_study_goes_on_as_if_nothing_had_happened(
    words, tmp_path, as_json, ltgnn, monkeypatch
):
    whole = as_json(*words, "--out", tmp_path / "a", "--trials", 4)
    assert [row["model"] for row in whole["models"]] == ["ltgnn", "mf"]
    assert [row["trials"] for row in whole["models"]] == [4, 4]
    fit_model, calls = tune.fit_model, []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit_model(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(tune, "fit_model", interrupted)
        assert ltgnn(*words, "--out", tmp_path / "b", "--trials", 4)[0] == 130
    resumed = as_json(*words, "--out", tmp_path / "b", "--trials", 4)
    assert timeless(resumed) == timeless(whole)
    # Of a study with more trials, as many count as are asked for.
    first = as_json(*words, "--out", tmp_path / "b", "--trials", 1)
    for row in first["models"]:
        assert row["trials"] == 1 and row["settings"] == {"embedding_dim": 8}
    best = [row["validation"] for row in whole["models"]]
    assert all(a >= b["validation"] for a, b in zip(best, first["models"], strict=True))


def test_the_best_settings_train_to_the_same_figure(words, ratings, tmp_path, ltgnn):
    out, run = tmp_path / "study", tmp_path / "run"
    code, text, _ = ltgnn(*words, "--out", out, "--trials", 3)
    assert code == 0 and text.splitlines()[0].split()[:2] == ["model", "recall@20"]
    settings = out / "ltgnn.json"
    found = ["--epochs", 2, "--average", 0.9, "--settings", settings, "--no-refit"]
    assert ltgnn("train", ratings, "--out", run, *found)[0] == 0
    validation = json.loads((run / "config.json").read_text())["validation"]
    assert f"{validation['recall@20']:.4f}" == text.splitlines()[1].split()[1]


def test_a_study_has_one_kind_of_trial(words, tmp_path, ltgnn):
    words += ["--out", tmp_path, "--trials", 1]
    assert ltgnn(*words)[0] == 0
    code, _, error = ltgnn(*words, "--seed", 3)
    assert code == 1 and "Expected the settings of the study" in error


def test_a_study_needs_a_validation_part(words, tmp_path, ltgnn):
    code, _, error = ltgnn(*words, "--out", tmp_path / "x", "--val-ratio", 0)
    assert code == 1 and "Expected a validation part" in error
    assert not (tmp_path / "x").exists()


def test_the_space_is_of_settings_and_holds_the_defaults():
    class Inside:
        def __init__(self, value):
            self.value = value

        def suggest_float(self, name, low, high, log):
            assert low <= self.value <= high

        def suggest_int(self, name, low, high):
            assert low <= self.value <= high

    for model in MODELS:
        for name, setting in settings_of_model(model).items():
            if name in tune.SPACE and setting.default is not None:
                tune.SPACE[name](Inside(setting.default), name)
    every = {name for model in MODELS for name in settings_of_model(model)}
    assert set(tune.SPACE) <= every | {"lr"}
