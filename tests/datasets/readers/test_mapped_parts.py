import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from ltgnn_pyg.datasets import read_interactions, split_temporal
from ltgnn_pyg.datasets.readers import mapped_parts

USER, ITEM, TIME = [2, 0, 2, 1, 0], [0, 3, 1, 0, 0], [50, 40, 30, 20, 10]
NUMS = {"num_users": 3, "num_items": 5}  # Of item 2 and 4 there is nothing.


@pytest.fixture
def arrays(tmp_path):
    def arrays(folder="arrays", **values):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, value in {"user": USER, "item": ITEM, **values}.items():
            np.save(tmp_path / folder / f"{name}.npy", value)
        return tmp_path / folder

    return arrays


@pytest.fixture
def parts(tmp_path):
    """What Spark leaves: parts in one folder, a marker and check sums beside them."""

    def parts(*tables, folder="parts"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "_SUCCESS").touch()
        for number, table in enumerate(tables):
            name = f"part-{number:05}-c000.snappy.parquet"
            parquet.write_table(pa.table(table), tmp_path / folder / name)
            (tmp_path / folder / f".{name}.crc").touch()
        return tmp_path / folder

    return parts


def check(out, **more):
    assert (out.user.tolist(), out.item.tolist()) == (USER, ITEM)
    assert out.user.dtype == out.item.dtype == torch.long
    assert (out.num_users, out.num_items) == (3, 5)
    for name in ("rating", "time", "user_ids", "item_ids"):
        value, expected = getattr(out, name), more.get(name)
        assert (None if value is None else value.tolist()) == expected


def test_arrays_are_mapped(arrays):
    folder = arrays(time=np.array(TIME), rating=np.ones(5, np.float32))
    out = read_interactions(folder, **NUMS)
    check(out, time=TIME, rating=[1] * 5)
    assert read_interactions(folder, "mapped", **NUMS).time.tolist() == TIME
    # Mapped: what is written to the file is seen; what is written here is not.
    out.item[0] = 4
    assert np.load(folder / "item.npy")[0] == 0
    file = np.load(folder / "user.npy", mmap_mode="r+")
    file[0] = 1
    assert out.user[0] == 1
    assert len(split_temporal(out, 0.2, 0.2).train) == 3


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint64, ">i8"])
def test_other_integers_are_copied(arrays, monkeypatch, dtype):
    monkeypatch.setattr(mapped_parts, "_STEP", 2)
    values = {"user": np.array(USER, dtype), "item": np.array(ITEM, dtype)}
    folder = arrays(**values, rating=[1, 2, 3, 4, 5], time=np.float32(TIME))
    out = read_interactions(folder, **NUMS)
    check(out, rating=[1, 2, 3, 4, 5], time=TIME)
    assert (out.rating.dtype, out.time.dtype) == (torch.float, torch.double)


def test_parquet_parts(parts, monkeypatch):
    monkeypatch.setattr(mapped_parts, "_STEP", 2)
    tables = [
        {
            "user": pa.array(USER[part], pa.int32()),
            "item": pa.array(ITEM[part], pa.int64()),
            "when": pa.array(TIME[part], pa.timestamp("ms")),
            "rating": np.float64(USER[part]),
        }
        for part in (slice(0, 3), slice(3, 3), slice(3, 5))
    ]
    folder = parts(*tables)
    check(read_interactions(folder, **NUMS), rating=USER)
    check(read_interactions(folder, time="when", **NUMS), rating=USER, time=TIME)
    other = read_interactions(
        folder, user="item", item="user", num_users=5, num_items=3
    )
    assert (other.user.tolist(), other.item.tolist()) == (ITEM, USER)


def test_sizes_are_said_not_guessed(arrays, parts):
    table = {"user": USER, "item": ITEM}
    for folder in (arrays(), parts(table)):
        with pytest.raises(
            ValueError, match=r"number of users .*\(got none\).*num_users=.*map_inter"
        ):
            read_interactions(folder)
        with pytest.raises(ValueError, match="number of items"):
            read_interactions(folder, num_users=3)
        check(read_interactions(folder, **NUMS))
        (folder / "sizes.json").write_text(json.dumps({**NUMS, "num_interactions": 5}))
        check(read_interactions(folder))
        with pytest.raises(ValueError, match=r"one number of users .*4.*json': 3"):
            read_interactions(folder, num_users=4)
        (folder / "sizes.json").write_text('{"num_users": 3}')
        check(read_interactions(folder, num_items=5))
        (folder / "sizes.json").write_text(json.dumps({**NUMS, "num_interactions": 6}))
        with pytest.raises(ValueError, match="6 interactions, as sizes"):
            read_interactions(folder)
        for text in (
            "{",
            "[]",
            '{"num_users": 3.0}',
            '{"users": 3}',
            '{"num_users":-1}',
        ):
            (folder / "sizes.json").write_text(text)
            with pytest.raises(ValueError, match="json: Expected integers 'num_users'"):
                read_interactions(folder)


def test_raw_ids(arrays, parts):
    users, items = ["a", "b", "\u00fc"], [5, 6, 7, 8, 9]
    folder = arrays(item_ids=np.array(items))
    parquet.write_table(pa.table({"id": users}), folder / "user_ids.parquet")
    check(read_interactions(folder), user_ids=users, item_ids=items)
    folder = parts({"user": USER, "item": ITEM})
    parquet.write_table(pa.table({"id": users}), folder / "user_ids.parquet")
    check(read_interactions(folder, num_items=5), user_ids=users)
    with pytest.raises(ValueError, match=r"one number of users .*2.*'user_ids': 3"):
        read_interactions(folder, num_users=2, num_items=5)
    parquet.write_table(pa.table({"id": ["a", None]}), folder / "user_ids.parquet")
    with pytest.raises(ValueError, match="Expected raw ids"):
        read_interactions(folder, num_items=5)
    (folder / "user_ids.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match="whole Parquet file"):
        read_interactions(folder, num_items=5)


def test_repeated_pairs(arrays, parts):
    user, item = [*USER, 2, 2], [*ITEM, 0, 1]
    for folder in (
        arrays(user=user, item=item, time=[*TIME, 1, 2]),
        parts(
            {"user": user[:4], "item": item[:4]}, {"user": user[4:], "item": item[4:]}
        ),
    ):
        with pytest.raises(
            ValueError,
            match=r"row 6: .*user 2 with item 0 again, first on row 1, 2 rep",
        ):
            read_interactions(folder, **NUMS)
        out = read_interactions(folder, duplicates="drop", **NUMS)
        check(out, time=None if out.time is None else TIME)


@pytest.mark.parametrize(
    "values, match",
    [
        ({"user": [0, 1, 2, 3, 0]}, r"'user' in 0..2 \(got 0..3\); raise 'num_users'"),
        ({"item": [0, -1, 2, 3, 0]}, r"'item' in 0..4 \(got -1..3"),
        ({"item": [0, 1]}, r"'item' as int64 \[5\] \(got .*\[2\]"),
        ({"user": np.float32(USER)}, r"user.npy: Expected integers .*float32 \[5\]"),
        ({"user": [USER]}, r"of one dimension \(got int64 \[1, 5\]"),
        ({"user": np.array(["a"] * 5)}, "Expected integers"),
        ({"user": np.array(USER, object)}, "a whole array"),
        ({"user": np.uint64([2**63, 0, 0, 0, 0])}, r"integers < 2\*\*63"),
        ({"time": TIME[1:]}, r"'time' of size \[5\] \(got \[4\]"),
        ({"time": np.float64([1, 2, np.nan, 4, 5])}, "finite values in 'time'"),
        ({"rating": np.array(["a"] * 5)}, "rating.npy: Expected numbers"),
    ],
)
def test_arrays_are_checked(arrays, values, match):
    folder = arrays(**values)
    with pytest.raises(ValueError, match=match) as error:
        read_interactions(folder, **NUMS)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    "second, match",
    [
        ({"user": [0, 3], "item": [0, 0]}, r"'user' in 0..2 \(got 0..3"),
        ({"user": [0, None], "item": [0, 0]}, r"part-00001.*row 2: Expected a value"),
        ({"user": ["0", "1"], "item": [0, 0]}, r"types of the parts before .*user str"),
        ({"user": [0], "item": [0], "time": [1]}, r"columns and types of the parts"),
        ({"who": [0, 3], "item": [0, 0]}, r"part-00001.*column named one of"),
    ],
)
def test_parts_are_checked(parts, second, match):
    folder = parts({"user": [0, 1], "item": [1, 2]}, second)
    with pytest.raises(ValueError, match=match):
        read_interactions(folder, **NUMS)


def test_folders_are_checked(arrays, parts, tmp_path):
    with pytest.raises(
        ValueError, match=r"users that are mapped to integers .*map_int"
    ):
        read_interactions(parts({"user": ["a"], "item": [0]}), **NUMS)
    both = parts({"user": [0], "item": [0]}, folder="arrays")
    with pytest.raises(ValueError, match=r"either 'user.npy'.*\(got both"):
        read_interactions(arrays(), **NUMS)
    for path in both.glob("*part*"):
        path.unlink()
    (both / "user.npy").write_bytes((both / "user.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match="a whole array"):
        read_interactions(both, **NUMS)
    (both / "user.npy").unlink()
    with pytest.raises(ValueError, match=r"user.npy: Expected a file of this name"):
        read_interactions(both, **NUMS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"either 'user.npy'.*\(got \[\]"):
        read_interactions(tmp_path / "empty", **NUMS)
    for kwargs in (dict(sep=","), dict(min_rating=3), dict(format="csv")):
        with pytest.raises(ValueError, match="no format, sep, names or min_rating"):
            read_interactions(both, **kwargs)
    with pytest.raises(ValueError, match="no column names for arrays"):
        read_interactions(arrays(), user="who", **NUMS)
    (tmp_path / "a.csv").write_text("user,item\n1,2\n")
    with pytest.raises(ValueError, match="num_users and num_items with a folder"):
        read_interactions(tmp_path / "a.csv", num_users=3)
    with pytest.raises(ValueError, match="a folder for format='mapped'"):
        read_interactions(tmp_path / "a.csv", "mapped", **NUMS)
