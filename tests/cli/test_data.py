import hashlib
import io
from types import SimpleNamespace

import pytest
import torch

from ltgnn_pyg.cli.data import open_data
from ltgnn_pyg.datasets import (
    LightGCNText,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from tests.scripts import write_lightgcn

BASE = {"seed": 3, "root": "data"}


def same(one, other):
    return all(
        torch.equal(getattr(getattr(one, part), side),
                    getattr(getattr(other, part), side))
        for part in ("train", "val", "test") for side in ("user", "item")
    ) and one.order == other.order  # fmt: skip


def test_a_file_is_split_as_the_library_does(ratings):
    source = open_data({**BASE, "data": str(ratings)})
    assert source.name == ratings.name
    assert source.sha256 == hashlib.sha256(ratings.read_bytes()).hexdigest()
    whole = read_interactions(ratings)
    assert same(source.split(), split_ratio(whole, seed=3))
    source = open_data({**BASE, "data": str(ratings), "val_ratio": 0.0,
                        "test_ratio": 0.3})  # fmt: skip
    assert same(source.split(), split_ratio(whole, 0.3, 0.0, seed=3))


def test_a_file_is_read_as_flags_say(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a;b;5\na;b;4\nc;d;1\n")
    flags = {"data": str(path), "format": "csv", "sep": ";", "names": ["who", "what",
             "stars"], "user": "who", "item": "what", "rating": "stars",
             "min_rating": 2.0, "duplicates": "drop"}  # fmt: skip
    out = open_data({**BASE, **flags}).interactions
    assert out.user_ids.tolist() == ["a"] and out.rating.tolist() == [5.0]


def test_a_folder_keeps_its_parts(tmp_path):
    write_lightgcn(tmp_path)
    source = open_data({**BASE, "data": str(tmp_path)})
    own = LightGCNText(tmp_path)
    assert same(source.split(), own.split(val_ratio=0.1, seed=3))
    assert len(source.interactions) == len(own.train) + len(own.test)
    files = [tmp_path / "train.txt", tmp_path / "test.txt"]
    whole = b"".join(path.read_bytes() for path in files)
    assert source.sha256 == hashlib.sha256(whole).hexdigest()
    with pytest.raises(ValueError, match="no --test-ratio with"):
        open_data({**BASE, "data": str(tmp_path), "test_ratio": 0.1})


def test_synthetic_interactions_are_drawn_by_the_seed():
    source = open_data({**BASE, "data": "synthetic"})
    drawn = synthetic_interactions(seed=3)
    assert torch.equal(source.interactions.item, drawn.item)
    assert source.sha256 is None


def test_standard_input_is_a_file(ratings, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(ratings.read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    source = open_data({**BASE, "data": "-"})
    other = open_data({**BASE, "data": str(ratings)})
    assert source.sha256 == other.sha256 and source.name == "-"
    assert same(source.split(), other.split())


def test_what_cannot_be_downloaded_is_said(tmp_path, monkeypatch):
    def refused(*args):
        raise OSError("no net")

    monkeypatch.setattr(LightGCNText.__mro__[1], "_fetch", refused)
    with pytest.raises(ConnectionError, match="by hand"):
        open_data({**BASE, "data": "gowalla", "root": str(tmp_path)})
