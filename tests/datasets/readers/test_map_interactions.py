"""Two routes to one answer: what is mapped on disk is what is read in memory."""

import gzip
import json
import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from ltgnn_pyg.datasets import map_interactions, read_interactions, split_ratio
from ltgnn_pyg.datasets.readers import column_text


def outcome(read, *args, **kwargs):
    """All that a call gives: interactions, or an error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            out = read(*args, **kwargs)
        except ValueError as error:
            return str(error), [str(each.message) for each in caught]
    fields = [out.user, out.item, out.rating, out.time]
    fields = [None if x is None else (x.dtype, x.tolist()) for x in fields]
    ids = [(x.dtype, x.tolist()) for x in (out.user_ids, out.item_ids)]
    sizes = (out.num_users, out.num_items)
    return fields, ids, sizes, [str(each.message) for each in caught]


@pytest.fixture
def both(tmp_path):
    """Reads by both ways and once more from the folder, and compares."""
    folders = iter(range(99))

    def both(path, **kwargs):
        folder = tmp_path / f"mapped{next(folders)}"
        expected = outcome(read_interactions, path, **kwargs)
        assert outcome(map_interactions, path, folder, **kwargs) == expected
        if len(expected) == 4:
            assert outcome(read_interactions, folder)[:3] == expected[:3]
        else:
            assert not folder.exists() or not list(folder.iterdir())
        return expected

    return both


HEAD = "user,item,rating,time\n"
GOOD = {
    "integers": "10,7,5,3\n2,7,4,1\n10,30,1,2\n9,4,2,9\n",
    "strings": "u10,a,5,3\nu2,a,4.5,1\nu10,b,1e0,2\n",
    "one is no integer": "1,01,5,3\n2,1,5,3\n2,10,5,3\n",
    "beyond int64": f"{2**63},1,5,3\n{2**63 - 1},1,5,3\n",
    "uint64 and text": f"{2**64},x,5,3\n7,y,5,3\n",
    "quotes": '"a,""b""","x\ny",5,3\n"a,b",x,5,3\n"a",\'x\',5,3\n',
    "unicode": "\u00fc,\u65e5\u672c,5,3\nz,\U0001f600,5,3\nu\u0308,\uffff,5,3\n",
    "blanks": " a,b ,5,3\na,b,5,3\n",
    "names of SQL": "'; DROP TABLE ids;--,NaT,5,3\n\\N,None,5,3\n",
    "dates": "a,b,5,2020-01-01\nb,b,5,2021-01-01 00:00:01\n",
    "zones": "a,b,5,2020-01-01T00:00:00Z\nb,b,5,2021-01-01T00:00:00Z\n",
    "parts of seconds": "a,b,5,2020-01-01 00:00:00\nb,b,5,2021-01-01 00:00:01.5\n",
    "left out": "a,b,5,3\nb,b,good,\n",
    "all of one": "1,2,+3,4\n",
}
WRONG = {
    "missing user": "1,2,3,4\n\n,6,7,8\n",
    "missing item": '1,2,3,4\n5,"",7,8\n',
    "nan": "1,2,3,4\n5,NaN,7,8\n",
    "null": "1,2,3,4\nnull,6,7,8\n",
    "ragged": "1,2,3,4\n\n5,6,7\n",
    "negative": "1,2,3,4\n1,-3,3,4\n1,-2,3,4\n",
    "open quotes": '1,2,3,4\n5,"6,7,8\n',
    "repeated": "1,2,3,4\n\n5,6,7,8\n1,2,9,9\n5,6,1,1\n",
    "not UTF-8": b"1,2,3,4\n1,\xff,3,4\n",
    "none": "",
}
WRONG_NUMBERS = {
    "text": "1,2,3,4\n\n1,3,good,4\n",
    "text at last": "1,2,3,4\n" * 9 + "1,3,x,4\n",
    "infinite": "1,2,3,4\n1,3,inf,4\n",
    "too large": "1,2,1e300,4\n",
    "logical": "1,2,true,4\n",
    "missing": "1,2,,4\n",
    "not UTF-8": b"1,2,3,4\n1,3,3,\xff\n",
}


def body(text):
    return HEAD.encode() + (text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("name", GOOD)
def test_both_ways_agree(write, both, name):
    path = write(body(GOOD[name]))
    assert len(both(path)) == 4


@pytest.mark.parametrize("name", WRONG)
def test_both_ways_refuse_alike(write, both, name):
    message, _ = both(write(body(WRONG[name])))
    assert "Expected" in message and "file.csv" in message


@pytest.mark.parametrize("name", WRONG_NUMBERS)
def test_both_ways_treat_numbers_alike(write, both, name):
    path = write(body(WRONG_NUMBERS[name]))
    assert len(both(path, duplicates="drop")) == 4  # With a warning.
    message, _ = both(path, rating="rating", time="time", duplicates="drop")
    assert "in column" in message


def test_min_rating(write, both):
    path = write(body(GOOD["strings"]))
    for lowest in (0, 4.5, 5):
        assert len(both(path, min_rating=lowest)) == 4
    assert "lower min_rating" in both(path, min_rating=6)[0]
    rows = "1,2,1,0\nx,2,1,0\n3,4,5,0\n5,4,5,0\n3,4,5,0\n"  # x makes 3 and 5 text.
    _, ids, *_ = both(write(body(rows)), min_rating=2, duplicates="drop")
    assert ids[0][1] == ["3", "5"] and ids[1][1] == [4]
    assert "line 6" in both(write(body(rows)), min_rating=2)[0]
    assert "none" in both(write("user,item\n1,2\n"), min_rating=2)[0]


def test_names_and_formats(write, both):
    both(write(body(GOOD["strings"])), user="item", item="user", rating="time")
    assert len(both(write(gzip.compress(body(GOOD["quotes"])), "a.csv.gz"))) == 4
    rows = "B\t7\t5.0\t12\nA\t7\t1.0\t11\nB\t8\t2.0\t13\n"
    names = ["user", "item", "rating", "time"]
    assert len(both(write(rows, "a.tsv"), names=names)) == 4
    both(write(rows, "a.txt"), names=names, sep="\t")
    both(write("user:token\titem:token\n1\t2\n1\t3\n", "a.inter"))
    headed = "uid,iid\n" + "".join(f"{i},{i % 7}\n" for i in range(20))
    message, _ = both(write(headed), names=["user", "item"])
    assert "leave names out" in message
    assert "other formats" in outcome(
        map_interactions, write("0 1 2\n1 5\n2 4 3\n", "b.txt"), "x"
    )[0]  # fmt: skip
    for kwargs in (dict(sep="::"), dict(duplicates="all"), dict(user="c")):
        both(write("user,item\n1,2\n"), **kwargs)
    both(write("user:token\titem:token\n1\t2\n", "a.inter"), names=names)
    both(write("", "empty.csv"))
    both(write(gzip.compress(body(GOOD["strings"]))[:-9], "broken.csv"))


def test_parquet(tmp_path, both):
    users, items = [10, 2, 10, 9], ["a", "b", "\u00fc", "a"]
    path = tmp_path / "file.parquet"
    for kind in (pa.int32(), pa.uint64(), pa.string()):
        user, item = pa.array(users).cast(kind), pa.array(items).dictionary_encode()
        times = pa.array([4, 3, 2, 1], pa.timestamp("ms"))
        table = pa.table({"user_id": user, "item_id": item, "time": times})
        parquet.write_table(table, path)
        assert len(both(path)) == 4
    for table in (
        {"user_id": [1, 2], "item_id": [1, None]},
        {"user_id": [1, 2], "item_id": [1.0, 2.0]},
        {"user_id": [1, -2], "item_id": [1, 2]},
        {"user_id": [1, 1], "item_id": [2, 2]},
    ):
        parquet.write_table(pa.table(table), path)
        assert len(both(path)) == 2
    path.write_bytes(b"PAR1 and no more")
    assert len(both(path)) == 2


def test_a_type_that_changes_late(write, both, monkeypatch):
    monkeypatch.setattr(column_text, "_BLOCKS", (256, 300, 1 << 16))
    rows = "".join(f"u{i % 7},{i},{1 + i % 5},{i}\n" for i in range(100))
    long = "u7,100," + "1" * 400 + ",5\n"  # A record beyond a block.
    for last in ("u7,100,1.5,7.5\n", "u7,100,x,2020-01-01\n", long, '"u\n7",100,5,5\n'):
        both(write(body(rows + last + rows.replace("u", "v"))), time="time")


def test_many_files(write, tmp_path):
    rows = [f"u{i % 7},i{i},{i % 5},{99 - i}\n" for i in range(30)]
    whole = read_interactions(write(body("".join(rows))))
    for name, part in (("a", rows[:11]), ("b", []), ("c", rows[11:])):
        write(body("".join(part)), f"parts/{name}.csv")
    paths = [tmp_path / f"parts/{name}.csv" for name in "abc"]
    for number, path in enumerate((tmp_path / "parts/*.csv", paths)):
        out = map_interactions(path, tmp_path / f"out{number}")
        for name in ("user", "item", "rating", "time"):
            assert torch.equal(getattr(out, name), getattr(whole, name))
        assert out.user_ids.tolist() == whole.user_ids.tolist()
    write(body("".join(rows[4:])), "parts/c.csv")
    with pytest.raises(ValueError, match=r"c.csv, line 2: .*u4.*on .*a.csv, line 6"):
        map_interactions(paths, tmp_path / "out")
    write("item,user\n1,2\n", "parts/c.csv")
    with pytest.raises(ValueError, match=r"c.csv: Expected the same columns"):
        map_interactions(paths, tmp_path / "out")
    with pytest.raises(ValueError, match=r"named '.*none\*' \(got none"):
        map_interactions(tmp_path / "none*", tmp_path / "out")
    with pytest.raises(ValueError, match=r"a file \(got a folder.*parts/\*"):
        map_interactions(tmp_path / "parts", tmp_path / "out")


@pytest.mark.parametrize("spilled", [False, True])
def test_the_folder(write, tmp_path, spilled):
    num = 300_000 if spilled else 3_000
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, num, num), np.arange(num)
    rows = "".join(f"user {u:030},{i}\n" for u, i in zip(user, item, strict=True))
    path = write("user,item\n" + rows)
    folder = tmp_path / "user=5" / "it's [1]*"  # No pattern and no columns.
    out = map_interactions(path, folder, memory_limit="96MB" if spilled else "1GB")
    expected = read_interactions(path)
    assert torch.equal(out.user, expected.user) and torch.equal(out.item, expected.item)
    assert (out.user_ids == expected.user_ids).all()
    assert sorted(path.name for path in folder.iterdir()) == [
        "item.npy", "item_ids.parquet", "sizes.json", "user.npy", "user_ids.parquet"
    ]  # fmt: skip
    sizes = json.loads((folder / "sizes.json").read_text())
    assert sizes == {
        "num_users": out.num_users, "num_items": num, "num_interactions": num
    }  # fmt: skip
    again = read_interactions(folder)
    out.user[:] = 0  # The files stay as they are.
    assert torch.equal(read_interactions(folder).user, again.user)
    assert len(split_ratio(again).train) > 0
    with pytest.raises(ValueError, match="empty folder"):
        map_interactions(path, folder)


def test_memory_limit(write, tmp_path):
    path = write("user,item\n" + "".join(f"{i:040},{i}\n" for i in range(200_000)))
    with pytest.raises(ValueError, match="memory_limit as a size"):
        map_interactions(path, tmp_path / "out", memory_limit="much")
    assert not list((tmp_path / "out").iterdir())
    out = map_interactions(path, tmp_path / "out", memory_limit="0.1 MiB")
    expected = read_interactions(path)
    for key in ("user", "item"):
        assert torch.equal(getattr(out, key), getattr(expected, key))
        assert (getattr(out, f"{key}_ids") == getattr(expected, f"{key}_ids")).all()
