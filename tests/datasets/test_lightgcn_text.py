import os
import zipfile
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from ltgnn_pyg.datasets import (
    AlibabaIFashion,
    AmazonBook,
    AmazonLarge,
    Gowalla,
    InteractionDataset,
    LightGCNText,
    Yelp2018,
    interaction_dataset,
    lightgcn_text,
)
from ltgnn_pyg.graph import Graph

DATA = Path(__file__).parents[2] / "../shared/data"
FILES = {"train.txt": "0 0 2\n1 1\n", "test.txt": "0 1\n1\n2 3\n"}


@pytest.fixture
def tiny(monkeypatch):
    for cls in (Gowalla, Yelp2018):
        monkeypatch.setattr(cls, "sizes", None)


def _write(folder, files=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def _check(dataset):
    data = dataset[0]
    assert len(dataset) == 1
    assert data.edge_index.tolist() == [[0, 0, 1, 3, 5, 4], [3, 5, 4, 0, 0, 1]]
    assert (data.num_users, data.num_items, data.num_nodes) == (3, 4, 7)
    split = dataset.split()
    in_order = isinstance(dataset, (Gowalla, Yelp2018))
    assert split.order == ("lines" if in_order else "random")
    assert (
        Graph.from_interactions(split.train).to_data().edge_index.equal(data.edge_index)
    )
    assert (split.test.user.tolist(), split.test.item.tolist()) == ([0, 2], [1, 3])
    assert len(split.val) == 0
    split = dataset.split(val_ratio=0.5, order="random", seed=1)
    assert split.val.user.tolist() == [0] and len(split.train) == 2
    split = dataset.split(val_ratio=0.5, order="lines")
    assert (split.val.user.tolist(), split.val.item.tolist()) == ([0], [2])
    with pytest.raises(ValueError, match="order='time'"):
        dataset.split(order="time")


@pytest.mark.parametrize(
    "cls", [Gowalla, Yelp2018, AmazonBook, AlibabaIFashion, AmazonLarge, LightGCNText]
)
@pytest.mark.parametrize("layout", ["raw", "", "name"])
def test_layouts(tmp_path, tiny, monkeypatch, cls, layout):
    def no_network(*args):
        raise AssertionError

    monkeypatch.setattr(interaction_dataset, "download_url", no_network)
    monkeypatch.setattr(lightgcn_text, "download_google_url", no_network)
    folder = tmp_path / (cls.name if layout == "name" else layout)
    _write(folder)
    before = sorted(tmp_path.rglob("*"))
    for root in (tmp_path, str(tmp_path), folder):
        dataset = cls(root)
        assert Path(dataset.raw_dir) == folder
        _check(dataset)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written
    assert repr(dataset) == f"{cls.__name__}()"


def test_transform(tmp_path):
    _write(tmp_path)

    def mark(data):
        data.marked = True
        return data

    dataset = LightGCNText(tmp_path, transform=mark)
    assert dataset[0].marked
    assert isinstance(dataset, InteractionDataset)


@pytest.mark.parametrize("cls", [Gowalla, Yelp2018, AmazonBook, AlibabaIFashion])
def test_download(tmp_path, tiny, monkeypatch, cls):
    urls = []

    def download_url(url, folder, log):
        urls.append(url)
        path = os.path.join(folder, url.rpartition("/")[2])
        Path(path).write_text(FILES[url.rpartition("/")[2]])
        return path

    monkeypatch.setattr(interaction_dataset, "download_url", download_url)
    _check(cls(tmp_path / "new"))
    assert urls == [f"{cls.url}/train.txt", f"{cls.url}/test.txt"]
    assert all(u.startswith("https://raw.githubusercontent.com/") for u in urls)
    assert sorted(p.name for p in (tmp_path / "new/raw").iterdir()) == sorted(FILES)
    _check(cls(tmp_path / "new"))
    assert len(urls) == 2


def test_download_fails(tmp_path, monkeypatch):
    def download_url(url, folder, log):
        if url.endswith("train.txt"):
            path = os.path.join(folder, "train.txt")
            Path(path).write_text("0 1\n")
            return path
        raise URLError("no network")

    monkeypatch.setattr(interaction_dataset, "download_url", download_url)
    with pytest.raises(RuntimeError, match=r"no network.*into .*raw by hand"):
        AmazonBook(tmp_path)
    assert list((tmp_path / "raw").iterdir()) == []  # no half of a dataset


def test_amazon_large(tmp_path, monkeypatch):
    def download_google_url(id, folder, filename, log):
        assert id == "13pYTb6FqdfaDy3WC-Ax-ruK1q9_d0Qub"
        path = os.path.join(folder, filename)
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in inside.items():
                archive.writestr(f"amazon-large/{name}", text)
        return path

    monkeypatch.setattr(lightgcn_text, "download_google_url", download_google_url)
    inside = {**FILES, "readme": ""}
    _check(AmazonLarge(tmp_path / "a"))
    assert sorted(p.name for p in (tmp_path / "a/raw").iterdir()) == sorted(FILES)
    inside = {"ratings.csv": ""}
    with pytest.raises(RuntimeError, match=r"unpacks to .*ratings\.csv"):
        AmazonLarge(tmp_path / "b")

    def page(id, folder, filename, log):
        path = os.path.join(folder, filename)
        Path(path).write_text("<html>quota exceeded")
        return path

    monkeypatch.setattr(lightgcn_text, "download_google_url", page)
    with pytest.raises(RuntimeError, match=r"<html>quota exceeded.*unpacks to \[\]"):
        AmazonLarge(tmp_path / "c")


def test_errors(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"'train.txt' and 'test.txt' in one of"
    ):
        LightGCNText(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    _write(tmp_path)
    with pytest.raises(ValueError, match=r"Gowalla of \(29858, .*got \(3, 4, 3, 2\)\)"):
        Gowalla(tmp_path)
    _write(tmp_path / "x", {"train.txt": "0 0 1\n", "test.txt": "0 1 2 2\n"})
    with pytest.raises(ValueError, match=r"test\.txt, line 1: .*duplicates='drop'"):
        LightGCNText(tmp_path / "x")
    split = LightGCNText(tmp_path / "x", duplicates="drop").split()
    assert (split.test.user.tolist(), split.test.item.tolist()) == ([0], [2])


def test_sorted_lines_of_a_set_in_order(tmp_path, tiny):
    # Files under the name of a set in order of time whose lines are sorted by item.
    rows = [torch.randperm(50)[:12].tolist() for _ in range(60)]
    for order, lines in (("lines", rows), ("random", map(sorted, rows))):
        train = "".join(f"{u} {' '.join(map(str, x))}\n" for u, x in enumerate(lines))
        _write(tmp_path / order, {"train.txt": train, "test.txt": "0 50\n"})
        assert Gowalla(tmp_path / order).split(0.1).order == order
        assert LightGCNText(tmp_path / order).split(0.1).order == "random"
    with pytest.raises(ValueError, match=r"sorted by item.*order='random'"):
        Gowalla(tmp_path / "random").split(0.1, order="lines")


@pytest.mark.skipif(not DATA.exists(), reason="no published data")
@pytest.mark.parametrize("cls", [Gowalla, Yelp2018])
def test_published_sizes(cls):
    dataset = cls(DATA)
    split = dataset.split(val_ratio=0.1)
    assert split.order == "lines"
    assert cls(DATA / cls.name)[0].edge_index.equal(dataset[0].edge_index)
    num_users, num_items, num_train, num_test = cls.sizes
    data = Graph.from_interactions(split.train).to_data()
    assert (data.num_users, data.num_items) == (num_users, num_items)
    assert len(split.train) + len(split.val) == num_train
    assert len(split.test) == num_test
    assert abs(len(split.val) / num_train - 0.1) < 0.01
    assert split.train.user.bincount(minlength=num_users).min() >= 1
