"""The folder of a trained model: what is written is what is read."""

from dataclasses import replace

import pytest
import torch

from ltgnn_pyg.datasets import Interactions, Split, read_interactions, split_ratio
from ltgnn_pyg.runs import Ids, RunFolder
from ltgnn_pyg.scorers import Vectors, top_k


@pytest.fixture
def split(tmp_path):
    rows = [f"ü{u % 7},i{'x' * (u % 5)}{u % 11},{u}" for u in range(77)]
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return split_ratio(read_interactions(path), val_ratio=0.2, test_ratio=0.2)


def vectors(split, bias=True):
    size = split.train.num_users, split.train.num_items
    item_bias = torch.randn(size[1]) if bias else None
    return Vectors(torch.randn(size[0], 4), torch.randn(size[1], 4), item_bias)


@pytest.mark.parametrize("bias", [True, False])
def test_what_is_written_is_read(split, tmp_path, bias):
    scored, model = vectors(split, bias), torch.nn.Linear(3, 2)
    RunFolder.write(tmp_path / "run", scored, split, {"model": {"name": "x"}}, model)
    run = RunFolder.open(tmp_path / "run")
    assert run.config["model"] == {"name": "x"} and run.config["format"] == 2
    for name in ("user", "item", "item_bias"):
        value = getattr(scored, name)
        assert value is None or torch.equal(getattr(run.vectors, name), value)
    assert (run.vectors.item_bias is None) == (not bias)
    for name, value in model.state_dict().items():
        assert torch.equal(run.state_dict()[name], value)
    assert run.split.order == split.order == "time"
    for name in ("train", "val", "test"):
        one, other = getattr(run.split, name), getattr(split, name)
        for column in ("user", "item", "time"):
            assert torch.equal(getattr(one, column), getattr(other, column))
    for side, ids in (("user", run.user_ids), ("item", run.item_ids)):
        raw = [str(x) for x in getattr(split.train, f"{side}_ids")]
        assert [ids[n] for n in range(len(ids))] == raw
        assert [ids.index(x) for x in raw] == list(range(len(raw)))
        assert ids.index("nobody") is None and ids.index("") is None
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_what_is_seen_is_never_recommended(split, tmp_path):
    run = RunFolder.write(tmp_path / "run", vectors(split), split, {})
    known = Interactions.cat(split.train, split.val)
    _, one = top_k(run.vectors, 5, exclude=run.seen)
    _, other = top_k(run.vectors, 5, exclude=known)
    assert torch.equal(one, other)


def test_a_folder_without_a_run_is_refused(split, tmp_path):
    with pytest.raises(ValueError, match="finished run"):
        RunFolder.open(tmp_path)
    scored = vectors(split)
    other = Vectors(scored.user[1:], scored.item)
    with pytest.raises(ValueError, match="scorer of 7 users"):
        RunFolder.write(tmp_path / "run", other, split, {})


def test_a_damaged_file_is_told(split, tmp_path):
    run = RunFolder.write(tmp_path / "run", vectors(split), split, {})
    path = tmp_path / "run" / "model.safetensors"
    assert path.stat().st_mode == (tmp_path / "run" / "config.json").stat().st_mode
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="as it was written"):
        _ = run.vectors


def test_ids_are_there_once():
    import pyarrow as pa

    with pytest.raises(ValueError, match="once"):
        Ids(pa.chunked_array([["a", "b", "a"]]))


def test_what_is_disliked_is_kept_and_never_listed(split, tmp_path):
    some = split.test[torch.arange(4)]
    disliked = replace(split, disliked=some)
    RunFolder.write(tmp_path / "run", vectors(split), disliked, {})
    run = RunFolder.open(tmp_path / "run")
    for column in ("user", "item", "time"):
        found = getattr(run.split.disliked, column)
        assert torch.equal(found, getattr(some, column))
        assert torch.equal(getattr(run.split.test, column), getattr(split.test, column))
    num_items = split.train.num_items
    _, items = top_k(run.scorer, num_items, exclude=run.seen)
    hidden = Interactions.cat(split.train, split.val, some)
    pairs = set(zip(hidden.user.tolist(), hidden.item.tolist(), strict=True))
    for user, row in enumerate(items.tolist()):
        listed = {item for item in row if item >= 0}
        assert listed == {i for i in range(num_items) if (user, i) not in pairs}


def test_weights_and_behaviours_are_kept(tmp_path):
    num = 12
    given = Interactions(
        torch.arange(num) % 4,
        torch.arange(num) % 3,
        4,
        3,
        time=torch.arange(num),
        weight=torch.rand(num) + 0.5,
        behavior=torch.arange(num) % 2,
        behaviors=("view", "buy"),
        time_unit="s",
    )
    split = Split(given[:7], given[7:9], given[9:], "time")
    RunFolder.write(tmp_path, Vectors(torch.rand(4, 2), torch.rand(3, 2)), split, {})
    found = RunFolder.open(tmp_path).split
    for name in ("train", "val", "test"):
        one, two = getattr(found, name), getattr(split, name)
        for value in ("user", "item", "time", "weight", "behavior"):
            assert torch.equal(getattr(one, value), getattr(two, value))
        assert (one.behaviors, one.time_unit) == (("view", "buy"), "s")
