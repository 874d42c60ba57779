"""A folder for a hub: a card that parses, a model that loads, and no data."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ltgnn_pyg.export import to_huggingface
from ltgnn_pyg.nn import LTGNN, LightGCN
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import Vectors
from tests.export.conftest import write_run

yaml = pytest.importorskip("yaml")
FIGURES = {"recall@20": 0.1234, "ndcg@20": 0.05}


def head(folder):
    _, text, _ = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(text)


def test_the_card_says_what_was_measured(tmp_path):
    run = write_run(tmp_path / "run", metrics={**FIGURES, "order": "time"})
    to_huggingface(run, tmp_path / "out", license="mit")
    card = head(tmp_path / "out")
    assert card["library_name"] == "ltgnn_pyg" and card["license"] == "mit"
    assert {"recommender-systems", "graph-ml"} <= set(card["tags"])
    assert card["metrics"] == list(FIGURES)
    (index,) = card["model-index"]
    assert index["name"] == "LightGCN"
    (result,) = index["results"]
    assert {m["type"]: m["value"] for m in result["metrics"]} == FIGURES
    assert {"task", "dataset"} <= result.keys()
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| recall@20 | 0.1234 |" in text


def test_the_model_is_built_anew(run, tmp_path):
    files = to_huggingface(run, tmp_path / "out")
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    model = LightGCN.from_pretrained(tmp_path / "out")
    assert model.settings() == run.config["model"]
    for name, value in run.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    vectors = Vectors(**load_file(tmp_path / "out" / "vectors.safetensors"))
    assert torch.equal(vectors.user, run.vectors.user)
    with pytest.raises(ValueError, match=r"LightGCN.from_pretrained"):
        LTGNN.from_pretrained(tmp_path / "out")


def test_no_data_goes_along(run, tmp_path):
    files = to_huggingface(run, tmp_path / "out")
    names = {"README.md", "config.json", "model.safetensors", "vectors.safetensors"}
    assert {file.name for file in files} == names
    every = b"".join(file.read_bytes() for file in files)
    assert b"secret" not in every and "物品".encode() not in every
    asked = to_huggingface(run, tmp_path / "asked", ids=True)
    assert {file.name for file in asked} == names | {"ids.parquet"}
    assert (tmp_path / "asked" / "ids.parquet").read_bytes() == (
        run.path / "ids.parquet"
    ).read_bytes()


def test_vectors_alone(run, tmp_path):
    """A run without a model has no model to build, and says nothing of one."""
    run = RunFolder.write(tmp_path / "vectors", run.vectors, run.split, {})
    files = to_huggingface(run, tmp_path / "out")
    assert "model.safetensors" not in {file.name for file in files}
    assert "from_pretrained" not in (tmp_path / "out" / "README.md").read_text()
    assert "model" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert head(tmp_path / "out").keys() == {"library_name", "license", "tags"}
