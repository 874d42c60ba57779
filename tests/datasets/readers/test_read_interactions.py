import contextlib
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from ltgnn_pyg.datasets import read_interactions
from ltgnn_pyg.datasets.readers import lines
from tests.datasets.readers.pairs import pairs_of

DATA = Path(__file__).parents[3] / "../shared/data"


# The same five pairs in every format, in this order.
PAIRS = [(10, 7), (2, 7), (10, 30), (2, 4), (9, 4)]
TEXT = {
    "csv": "user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in PAIRS),
    "tsv": "user\titem\n" + "".join(f"{u}\t{i}\n" for u, i in PAIRS),
    "recbole": "user_id:token\titem_id:token\n"
    + "".join(f"{u}\t{i}\n" for u, i in PAIRS),
    "libfm": "".join(f"1 {u}:1 {i}:1\n" for u, i in PAIRS),
}


@pytest.mark.parametrize("format", TEXT)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_formats_agree(write, format, newline):
    text = TEXT[format].replace("\n", newline)
    for path, given in [(write(text, "a.txt"), None), (write(text, "b"), format)]:
        out = read_interactions(path, given)
        assert pairs_of(out) == PAIRS
        # Sorted by number, not as strings:
        assert out.user_ids.tolist() == [2, 9, 10]
        assert out.item_ids.tolist() == [4, 7, 30]
        assert out.user_ids.dtype == np.int64
        assert out.user.tolist() == [2, 0, 2, 0, 1]
        assert (out.num_users, out.num_items, len(out)) == (3, 3, 5)
        assert out.user.dtype == out.item.dtype == torch.long


def test_parquet(tmp_path):
    user, item = zip(*PAIRS, strict=True)
    for users in (pa.array(user), pa.array(user, pa.int32()), pa.array(map(str, user))):
        path = tmp_path / "file.parquet"
        parquet.write_table(pa.table({"user_id": users, "item_id": item}), path)
        assert pairs_of(read_interactions(path)) == PAIRS
    table = pa.table({"user_id": [1, 2], "item_id": [1, None]})
    parquet.write_table(table, path)
    with pytest.raises(ValueError, match="row 2: Expected a value in column 'item_id'"):
        read_interactions(path)
    parquet.write_table(pa.table({"user_id": [1, 2], "item_id": [1.0, 2.0]}), path)
    with pytest.raises(ValueError, match=r"integer or string ids.*got double"):
        read_interactions(path)
    nan = pa.table({"user_id": [1, 2], "item_id": [1, 2], "rating": [1, float("nan")]})
    parquet.write_table(nan, path)
    with pytest.raises(ValueError, match=r"row 2: .*finite number in column 'rating'"):
        read_interactions(path, rating="rating")


def test_lightgcn(write, monkeypatch):
    text = "0 3 1\n2 1\n3\n\n1 0  5 \n"
    for size in (1 << 24, 1, 5):
        monkeypatch.setattr(lines.blocks, "__defaults__", (size,))
        for path in (write(text, "a.txt"), write(text.rstrip(), "b.txt")):
            out = read_interactions(path)
            assert pairs_of(out) == [(0, 3), (0, 1), (2, 1), (1, 0), (1, 5)]
            assert (out.num_users, out.num_items) == (4, 6)
            assert out.user_ids is None and out.item_ids is None


@pytest.mark.parametrize(
    "text, match",
    [
        ("0 1 2\n1 -3\n", "line 2: .*non-negative integers.*got '-3'"),
        ("0 1 2\n1 3.5\n", "line 2: .*got '3.5'"),
        ("0 1 2\n\n1 3\n2 x1 4\n", "line 4: .*got 'x1'"),
        ("0,1\n1,2\n", "line 1: .*got '0,1'.*another format"),
        (
            "0 1 2\n1 5\n\n0 7 1\n",
            "line 4: .*user 0 with item 1 again, first on line 1",
        ),
        ("0 1 2\n1 5 5\n", "line 2: .*again, first on line 2"),
        ("0\n1\n", r"Expected interactions \(got none"),
        ("\n", r"Expected interactions \(got none"),
        ("", "empty file"),
        (f"0 1\n{2**70} 1\n", f"line 2: .*at most 18 digits .got '{2**70}'"),
        (f"0 1\n\n0 {2**63}\n", f"line 3: .*at most 18 digits .got '{2**63}'"),
    ],
)
@pytest.mark.parametrize("size", [1 << 24, 1])
def test_lightgcn_errors(write, monkeypatch, text, match, size):
    monkeypatch.setattr(lines.blocks, "__defaults__", (size,))
    with pytest.raises(ValueError, match=match):
        read_interactions(write(text, "train.txt"), "lightgcn")


def test_libfm(write, monkeypatch):
    monkeypatch.setattr(lines.blocks, "__defaults__", (1,))
    out = read_interactions(write("4.5 0:1 12:1\n\n-1e0 3:1.0\t11:1 \n", "a.libfm"))
    assert pairs_of(out) == [(0, 12), (3, 11)]
    assert out.rating.tolist() == [4.5, -1.0]
    for line in (
        "1 2:1",
        "1 2:1 3:1 4:1",
        "1 2 3",
        "x 2:1 3:1",
        "1 -2:1 3:1",
        "1 2:1 3:",
    ):
        path = write(f"1 0:1 1:1\n{line}\n", "a.libfm")
        with pytest.raises(ValueError, match=f"line 2: Expected 'label user.*'{line}'"):
            read_interactions(path)
    with pytest.raises(
        ValueError, match=r"line 3: .*0 with item 1 again, first on line 1"
    ):
        read_interactions(write("1 0:1 1:1\n\n1 0:1 1:1\n", "a.libfm"))


def test_columns(write):
    text = '\ufeffwhen,movie,who,stars\n5,"a,1",u2,1.5\n\n2,b,u10,4\n9,b,u2,5\n'
    columns = dict(user="who", item="movie", rating="stars", time="when")
    out = read_interactions(write(text), **columns)
    assert pairs_of(out) == [("u2", "a,1"), ("u10", "b"), ("u2", "b")]
    assert out.user_ids.tolist() == ["u10", "u2"]
    assert out.rating.tolist() == [1.5, 4, 5] and out.rating.dtype == torch.float
    assert out.time.tolist() == [5, 2, 9] and out.time.dtype == torch.long
    out = read_interactions(write(text), **columns, min_rating=4)
    assert pairs_of(out) == [("u10", "b"), ("u2", "b")]
    assert (out.num_users, out.num_items, out.item_ids.tolist()) == (2, 1, ["b"])
    with pytest.raises(ValueError, match=r"ratings >= 6 \(got at most 5.0"):
        read_interactions(write(text), **columns, min_rating=6)


def test_columns_by_usual_names_and_other_separator(write):
    text = "Rating;ItemId;USER;timestamp\n3;01;a;2020-01-02\n3;1;a;2020-01-01\n"
    out = read_interactions(write(text), sep=";")
    assert pairs_of(out) == [("a", "01"), ("a", "1")]
    assert out.rating.tolist() == [3, 3]
    assert (out.time[0] - out.time[1]).item() == 24 * 3600
    out = read_interactions(write(TEXT["csv"]), min_rating=None)
    assert out.rating is None and out.time is None


def test_names_of_a_file_without_them(write):
    text = "B,7,5.0,12\n\nA,7,1.0,11\nB,7,2.0,13\n"
    names = ["user", "item", "rating", "timestamp"]
    out = read_interactions(write(text), names=names, duplicates="drop")
    assert pairs_of(out) == [("B", 7), ("A", 7)]
    assert (out.rating.tolist(), out.time.tolist()) == ([5, 1], [12, 11])
    out = read_interactions(
        write(text), names=["user", "item", "-", "-"], duplicates="drop"
    )
    assert pairs_of(out) == [("B", 7), ("A", 7)] and out.rating is out.time is None
    tabs = write(text.replace(",", "\t"), "a.tsv")
    out = read_interactions(
        tabs, names=["x", *names[1:]], user="x", min_rating=1, duplicates="drop"
    )
    assert pairs_of(out) == [("B", 7), ("A", 7)]
    with pytest.raises(ValueError, match=r"line 4: .*user B with item 7 again.*line 1"):
        read_interactions(write(text), names=names)
    for wrong, place in (("B,7,5\n", "line 1"), (text + "C,2\n", "line 5")):
        with pytest.raises(ValueError, match=f"{place}: Expected 4 fields"):
            read_interactions(write(wrong), names=names)
    with pytest.raises(ValueError, match="no names for format='recbole'"):
        read_interactions(write(TEXT["recbole"], "a.inter"), names=names)


@pytest.mark.parametrize(
    "text, match",
    [
        ("1,2,3,4\n5,6,7\n", "line 3: Expected 4 fields separated by ',' \\(got 3"),
        ("1,2,3,4\n\n5,6,7,8\n9\n", "line 5: Expected 4 fields .*got 1 in '9'"),
        ("1,2,3,4\n\n5,,7,8\n", "line 4: .*empty or NaN field.*line"),
        ("nan,2,3,4\n", "line 2: .*a value in column 'user'.*empty or NaN"),
        ("1,2,3,4\n1,3,NaN,4\n", "line 3: .*column 'rating' \\(got an empty or NaN"),
        (
            "1,2,3,4\n\n1,3,good,4\n",
            "line 4: Expected a number in .*'rating' \\(got 'good'",
        ),
        ("1,2,3,4\n1,3,inf,4\n", "line 3: Expected a finite number in column 'rating'"),
        ("1,2,true,4\n", "line 2: Expected a number in column 'rating' \\(got bool"),
        ("1,2,3,4\n-1,3,3,4\n", "line 3: Expected ids >= 0 in column 'user' \\(got -1"),
        (
            "1,2,3,4\n\n5,6,7,8\n1,2,9,9\n5,6,1,1\n",
            r"line 5: .*user 1 with item 2 again, first on line 2, 2 repeated",
        ),
        ("", "column names alone"),
    ],
)
def test_column_errors(write, text, match):
    path = write("user,item,rating,time\n" + text)
    with pytest.raises(ValueError, match=match) as error:
        read_interactions(path, rating="rating", time="time")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "text, kwargs, match",
    [
        ("", {}, "empty file"),
        (
            "user;item\n1;2\n",
            {},
            "line 1: .*separated by ',' .got 'user;item'.; pass sep=';'",
        ),
        ("user\titem\n1\t2\n", {}, r"pass sep='\\t'"),
        ("user\n1\n", {}, "name the columns there"),
        (
            "a,b\n1,2\n",
            {},
            r"column named one of \['user_id'.*the columns \['a', 'b'\]\); pass user=",
        ),
        ("user,b\n1,2\n", dict(item="c"), r"column 'c' .got the columns .*pass item="),
        ("user,item\n1,2\n", dict(min_rating=3), "ratings to compare with min_rating"),
        ("user,item\n1,2\n", dict(sep="::"), "sep of one character"),
        ("user,item\n1,2\n", dict(duplicates="all"), "duplicates='error', 'drop'"),
        ("user,item\n1,2\n", dict(format="xml"), "format to be one of"),
        ("user\titem\n1\t2\n", dict(format="recbole"), "header of 'name:type'"),
        ("0 1\n", dict(format="lightgcn", user="a"), "no column names"),
    ],
)
def test_door(write, text, kwargs, match):
    with pytest.raises(ValueError, match=match):
        read_interactions(write(text), **kwargs)


def test_unknown_format(write):
    with pytest.raises(
        ValueError, match=r"first line that tells the format .got 'what'"
    ):
        read_interactions(write("what\n", "file.dat"))


def test_drop_duplicates(write):
    text = "user,item,rating\n1,2,5\n3,4,1\n1,2,3\n"
    out = read_interactions(write(text), duplicates="drop")
    assert pairs_of(out) == [(1, 2), (3, 4)]
    assert out.rating.tolist() == [5, 1]
    out = read_interactions(write("0 1 1\n0 2\n", "a.txt"), duplicates="drop")
    assert pairs_of(out) == [(0, 1), (0, 2)]


def test_blocks_of_columns_agree(write):
    # Several blocks of pyarrow's reader: dictionaries unified, lines still right.
    num = 200_000
    user = (np.arange(num) * 7919) % 1000
    item = np.arange(num)
    rows = [f"u{u},{i}" for u, i in zip(user, item, strict=True)]
    out = read_interactions(write("user,item\n" + "\n".join(rows)))
    assert out.user_ids.tolist() == sorted({f"u{u}" for u in user})
    assert (out.user_ids[out.user] == [f"u{u}" for u in user]).all()
    assert (out.item_ids[out.item] == item).all()
    rows[150_000] += ",3"
    with pytest.raises(ValueError, match=r"line 150002: Expected 2 fields .*got 3"):
        read_interactions(write("user,item\n" + "\n".join(rows)))


@pytest.mark.parametrize("format", [*TEXT, "lightgcn"])
def test_gzip(write, format):
    text = TEXT.get(format, "0 3 1\n2 1\n")
    packed = gzip.compress(text.encode())
    expected = pairs_of(read_interactions(write(text, "a"), format))
    assert pairs_of(read_interactions(write(packed, "b"), format)) == expected
    suffix = {"recbole": "inter", "lightgcn": "txt"}.get(format, format)
    assert pairs_of(read_interactions(write(packed, f"c.{suffix}.gz"))) == expected
    for broken in (packed[:-9], packed[:20], packed[:15] + b"?" * 9 + packed[24:]):
        with pytest.raises(ValueError, match=r"broken.*: Expected a whole gzip file"):
            read_interactions(write(broken, "broken"), format)
    padded = write(packed + b"\0" * 9, "padded")
    with contextlib.suppress(ValueError):  # Read or refused, and never else.
        assert pairs_of(read_interactions(padded, format)) == expected
    long = gzip.compress((text + text.splitlines()[-1] + "\n").encode())
    place = {"libfm": 6, "lightgcn": 3}.get(format, 7)
    with pytest.raises(ValueError, match=f"line {place}: .*again, first on line"):
        read_interactions(write(long, "d"), format)
    names = ["user", "item"]
    bare = gzip.compress(b"1,2\n3,4\n")
    assert pairs_of(read_interactions(write(bare, "e.gz"), names=names)) == [
        (1, 2),
        (3, 4),
    ]


@pytest.mark.skipif(not (DATA / "ml-100k").exists(), reason="no ml-100k")
def test_ml_100k():
    out = read_interactions(DATA / "ml-100k/ml-100k.inter")
    assert (out.num_users, out.num_items, len(out)) == (943, 1682, 100_000)
    assert out.user_ids.tolist() == list(range(1, 944))
    assert pairs_of(out)[0] == (196, 242)
    assert (out.rating[0].item(), out.time[0].item()) == (3, 881250949)
    assert (
        read_interactions(DATA / "ml-100k/ml-100k.inter", min_rating=4).num_users < 943
    )
