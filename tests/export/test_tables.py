"""Tables in the formats of others hold the very numbers, and no pickle."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from ltgnn_pyg.export import to_numpy, to_parquet, to_safetensors
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import Vectors, top_k
from tests.export.conftest import write_run


def raw(ids):
    return [ids[n] for n in range(len(ids))]


def same(vectors, user, item, bias):
    assert torch.equal(torch.as_tensor(user), vectors.user)
    assert torch.equal(torch.as_tensor(item), vectors.item)
    assert (bias is None) == (vectors.item_bias is None)
    assert bias is None or torch.equal(torch.as_tensor(bias), vectors.item_bias)


def test_numpy(run, tmp_path):
    files = to_numpy(run, tmp_path / "a" / "b")
    assert sorted(files) == sorted((tmp_path / "a" / "b").iterdir())
    arrays = {p.stem: np.load(p, mmap_mode="c") for p in files if p.suffix == ".npy"}
    same(run.vectors, arrays["user"], arrays["item"], arrays.get("item_bias"))
    for side, ids in (("user", run.user_ids), ("item", run.item_ids)):
        text = (tmp_path / "a" / "b" / f"{side}_ids.json").read_text("utf-8")
        assert json.loads(text) == raw(ids)


def test_numpy_of_half_precision(run, tmp_path):
    half = run.vectors.to(torch.bfloat16)
    run = RunFolder.write(tmp_path / "half", half, run.split, {})
    to_numpy(run, tmp_path / "out")
    user = np.load(tmp_path / "out" / "user.npy")
    assert user.dtype == np.float32
    assert torch.equal(torch.from_numpy(user), half.user.float())


def test_parquet(run, tmp_path):
    files = to_parquet(run, tmp_path / "out")
    assert [file.name for file in files] == ["users.parquet", "items.parquet"]
    users, items = map(pq.read_table, files)
    assert users.schema.field("vector").type == pa.list_(pa.float32(), 6)
    assert users["id"].to_pylist() == raw(run.user_ids)
    assert items["id"].to_pylist() == raw(run.item_ids)
    bias = items["bias"].to_numpy().copy() if "bias" in items.column_names else None
    tables = (np.array(t["vector"].to_pylist(), np.float32) for t in (users, items))
    same(run.vectors, *tables, bias)


def test_safetensors(run, tmp_path):
    (file,) = to_safetensors(run, tmp_path / "out")
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        about = opened.metadata()
        part = opened.get_slice("item")[3:5]
    vectors = Vectors(**tensors)
    same(vectors, run.vectors.user, run.vectors.item, run.vectors.item_bias)
    assert torch.equal(part, run.vectors.item[3:5])
    text = "".join(f"{one}\n" for one in raw(run.user_ids) + raw(run.item_ids))
    assert about["ids_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(about["model"]) == run.config["model"]
    assert all(isinstance(value, str) for value in about.values())
    assert torch.equal(top_k(vectors, 5)[1], top_k(run.vectors, 5)[1])


@pytest.mark.parametrize("to", [to_numpy, to_parquet, to_safetensors])
def test_a_file_is_there_in_full_or_as_it_was(to, tmp_path, monkeypatch):
    """Nothing is left behind, and a second export goes over the first."""
    run = write_run(tmp_path / "run")
    first = to(run, tmp_path / "out")
    old = [file.read_bytes() for file in first]

    def full_disk(*args):
        raise OSError("no space left")

    other = write_run(tmp_path / "other", bias=False, dim=9)
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        to(other, tmp_path / "out")
    assert [file.read_bytes() for file in first] == old
    monkeypatch.undo()
    assert to(run, tmp_path / "out") == first
    assert not list((tmp_path / "out").glob("*.tmp"))
