import contextlib
import csv
import gzip
import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from ltgnn_pyg.datasets import read_interactions
from ltgnn_pyg.datasets.readers import column_text, lines

DATA = Path(__file__).parents[3] / "../shared/data"


@pytest.fixture
def write(tmp_path):
    def write(text, name="file.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def _pairs(out):
    user, item = out.user.numpy(), out.item.numpy()
    user = user if out.user_ids is None else out.user_ids[user]
    item = item if out.item_ids is None else out.item_ids[item]
    return list(zip(user.tolist(), item.tolist(), strict=True))


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
        assert _pairs(out) == PAIRS
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
        assert _pairs(read_interactions(path)) == PAIRS
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
            assert _pairs(out) == [(0, 3), (0, 1), (2, 1), (1, 0), (1, 5)]
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
    assert _pairs(out) == [(0, 12), (3, 11)]
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
    assert _pairs(out) == [("u2", "a,1"), ("u10", "b"), ("u2", "b")]
    assert out.user_ids.tolist() == ["u10", "u2"]
    assert out.rating.tolist() == [1.5, 4, 5] and out.rating.dtype == torch.float
    assert out.time.tolist() == [5, 2, 9] and out.time.dtype == torch.long
    out = read_interactions(write(text), **columns, min_rating=4)
    assert _pairs(out) == [("u10", "b"), ("u2", "b")]
    assert (out.num_users, out.num_items, out.item_ids.tolist()) == (2, 1, ["b"])
    with pytest.raises(ValueError, match=r"ratings >= 6 \(got at most 5.0"):
        read_interactions(write(text), **columns, min_rating=6)


def test_columns_by_usual_names_and_other_separator(write):
    text = "Rating;ItemId;USER;timestamp\n3;01;a;2020-01-02\n3;1;a;2020-01-01\n"
    out = read_interactions(write(text), sep=";")
    assert _pairs(out) == [("a", "01"), ("a", "1")]
    assert out.rating.tolist() == [3, 3]
    assert (out.time[0] - out.time[1]).item() == 24 * 3600
    out = read_interactions(write(TEXT["csv"]), min_rating=None)
    assert out.rating is None and out.time is None


def test_names_of_a_file_without_them(write):
    text = "B,7,5.0,12\n\nA,7,1.0,11\nB,7,2.0,13\n"
    names = ["user", "item", "rating", "timestamp"]
    out = read_interactions(write(text), names=names, duplicates="drop")
    assert _pairs(out) == [("B", 7), ("A", 7)]
    assert (out.rating.tolist(), out.time.tolist()) == ([5, 1], [12, 11])
    out = read_interactions(
        write(text), names=["user", "item", "-", "-"], duplicates="drop"
    )
    assert _pairs(out) == [("B", 7), ("A", 7)] and out.rating is out.time is None
    tabs = write(text.replace(",", "\t"), "a.tsv")
    out = read_interactions(
        tabs, names=["x", *names[1:]], user="x", min_rating=1, duplicates="drop"
    )
    assert _pairs(out) == [("B", 7), ("A", 7)]
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
    assert _pairs(out) == [(1, 2), (3, 4)]
    assert out.rating.tolist() == [5, 1]
    out = read_interactions(write("0 1 1\n0 2\n", "a.txt"), duplicates="drop")
    assert _pairs(out) == [(0, 1), (0, 2)]


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


def _rfc4180(seed, num, repeat=1):
    """A file of RFC 4180 with all that may stand in quotes, and its records."""
    rng = np.random.default_rng(seed)
    end = "\r\n" if seed % 2 else "\n"
    pieces = ["a", "b c", ",", '"', '""', "\n", "\r\n", "\n\n", "\u00e9", "1,2,3\n", ""]

    def field(raw):
        quote = set(raw) & set(',"\r\n') or rng.random() < 0.2
        return '"' + raw.replace('"', '""') + '"' if quote else raw

    rows = []
    for row in range(num):
        texts = [
            "".join(rng.choice(pieces, rng.integers(9))) * repeat for _ in range(3)
        ]
        user = f"u{rng.integers(50)}" + texts[0].replace("\r\n", "\n")
        rows.append([texts[1], user, texts[2], str(row), str(rng.integers(1, 6))])
    head = ["note", "user", 'multi\nline "name"' if seed % 4 else "x", "item", "rating"]
    lines = [",".join(map(field, row)) for row in [head, *rows]]
    return end.join(lines) + (end if seed % 3 else ""), rows


def _check_rfc4180(path, text, rows):
    # Two routes: Python's csv module reads the same rows.
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == rows
    out = read_interactions(path, "csv")
    assert _pairs(out) == [(row[1], int(row[3])) for row in rows]
    assert out.rating.tolist() == [float(row[4]) for row in rows]


@pytest.mark.parametrize("seed", range(12))
def test_quoted_text_across_blocks(write, monkeypatch, seed):
    monkeypatch.setattr(column_text, "_BLOCKS", (256, 1 << 16))
    text, rows = _rfc4180(seed, 300)
    _check_rfc4180(write(text), text, rows)
    _check_rfc4180(write(gzip.compress(text.encode()), "file.csv.gz"), text, rows)


@pytest.mark.parametrize("seed", range(2))
def test_quoted_text_in_a_large_file(write, seed):
    text, rows = _rfc4180(seed, 6_000, repeat=15)
    assert len(text) > 1.5 * 2**20
    _check_rfc4180(write(text), text, rows)


def test_errors_after_quoted_text_name_the_line(write):
    head = 'user,item,text\n1,2,"a\nb"\n\n3,4,"c\n\nd"\n'  # Seven lines.
    for line, match in [
        ("5,6", "line 8: Expected 3 fields .*got 2"),
        ("5,,x", "line 8: Expected a value in column 'item'"),
        ("1,2,x", "line 8: Expected distinct pairs .*first on line 2"),
        ('5,6,"x\n7,8,y', "line 8: Expected quotes that are closed"),
        ('"5\n7,8,y', "line 8: Expected quotes that are closed|line 8: .*3 fields"),
    ]:
        for name in ("a.csv", "a.csv.gz"):
            text = (head + line + "\n").encode()
            text = gzip.compress(text) if name.endswith("gz") else text
            with pytest.raises(ValueError, match=match):
                read_interactions(write(text, name))
    text = 'user,item,"te\nxt"\n1,2,3\n4,5\n'
    with pytest.raises(ValueError, match="line 4: Expected 3 fields"):
        read_interactions(write(text))
    for last in ("3,4,x", '3,4,"x"', '"3",4,'):  # A quote within a field is itself.
        text = f'user,item,text\n1,2,5" disk\n{last}'
        for end in ("", "\n"):
            assert _pairs(read_interactions(write(text + end))) == [(1, 2), (3, 4)]
    # Text longer than a block of the reader.
    text = 'user,item,text\n1,2,"' + "a\n" * 2**21 + '"\n3,4,x\n'
    assert _pairs(read_interactions(write(text))) == [(1, 2), (3, 4)]


@pytest.mark.parametrize("format", [*TEXT, "lightgcn"])
def test_gzip(write, format):
    text = TEXT.get(format, "0 3 1\n2 1\n")
    packed = gzip.compress(text.encode())
    expected = _pairs(read_interactions(write(text, "a"), format))
    assert _pairs(read_interactions(write(packed, "b"), format)) == expected
    suffix = {"recbole": "inter", "lightgcn": "txt"}.get(format, format)
    assert _pairs(read_interactions(write(packed, f"c.{suffix}.gz"))) == expected
    for broken in (packed[:-9], packed[:20], packed[:15] + b"?" * 9 + packed[24:]):
        with pytest.raises(ValueError, match=r"broken.*: Expected a whole gzip file"):
            read_interactions(write(broken, "broken"), format)
    padded = write(packed + b"\0" * 9, "padded")
    with contextlib.suppress(ValueError):  # Read or refused, and never else.
        assert _pairs(read_interactions(padded, format)) == expected
    long = gzip.compress((text + text.splitlines()[-1] + "\n").encode())
    place = {"libfm": 6, "lightgcn": 3}.get(format, 7)
    with pytest.raises(ValueError, match=f"line {place}: .*again, first on line"):
        read_interactions(write(long, "d"), format)
    names = ["user", "item"]
    bare = gzip.compress(b"1,2\n3,4\n")
    assert _pairs(read_interactions(write(bare, "e.gz"), names=names)) == [
        (1, 2),
        (3, 4),
    ]


@pytest.mark.parametrize(
    "start, what",
    [
        (b"PK\x03\x04", "zip archive"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\x00", "xz file"),
        (b"\x28\xb5\x2f\xfd", "zstandard"),
        ("user,item\n".encode("utf-16"), "UTF-16"),
    ],
)
@pytest.mark.parametrize("format", [None, "csv", "lightgcn", "libfm"])
def test_other_archives_are_refused_by_name(write, start, what, format):
    with pytest.raises(ValueError, match=rf"file: Expected UTF-8 text.*got .*{what}"):
        read_interactions(write(start + b"\0" * 90, "file"), format)


def test_columns_with_blanks_are_not_taken_for_lightgcn_text(write):
    rows = [(u, i, 1 + (u * i) % 5) for u in range(9) for i in range(3)]
    text = "".join(f"{u} {i} {r}\n" for u, i, r in rows)
    for name in ("a.txt", "a.data", "a"):
        path = write(text, name)
        with pytest.raises(
            ValueError,
            match=r"27 of 27 lines with 3 integers.*LightGCN text.*or columns.*"
            r"format='lightgcn', or format='csv', sep=' ', names=\['user_id', "
            r"'item_id', 'rating'\]",
        ):
            read_interactions(path, duplicates="drop")
    names = ["user_id", "item_id", "rating"]
    for kwargs in ({}, {"format": "csv"}):
        out = read_interactions(path, sep=" ", names=names, **kwargs)
        assert _pairs(out) == [row[:2] for row in rows]
        assert out.rating.tolist() == [row[2] for row in rows]
    # One ragged line does not make it sure.
    with pytest.raises(ValueError, match="27 of 28 lines"):
        read_interactions(write(text + "9 1\n", "b.txt"))
    with pytest.raises(ValueError, match=r"'timestamp', '-'\]"):
        read_interactions(write("0 1 2 3 4\n", "c.txt"))
    # Lists of a user and one item are the same either way, and others are sure.
    assert _pairs(read_interactions(write("0 1\n1 5\n", "d.txt"))) == [(0, 1), (1, 5)]
    assert len(read_interactions(write("0 1 2\n1 5\n2 4 3 1\n", "e.txt"))) == 6
    assert len(read_interactions(write(text[:6], "f.txt"), "lightgcn")) == 2


def test_lightgcn_ids_far_apart(write):
    for line, name in ((f"0 3 {10**12}", "item"), (f"{10**12} 3", "user")):
        with pytest.raises(
            ValueError, match=rf"line 3: .*got {name} {10**12} in \d inter"
        ):
            read_interactions(write(f"0 1 2\n\n{line}\n", "a.txt"), "lightgcn")
    out = read_interactions(write("0 1 1000000\n"), "lightgcn")  # Small enough.
    assert out.num_items == 1_000_001


@pytest.mark.parametrize("value", ["1e39", "-4e38", "1e400"])
def test_ratings_beyond_float32(write, value):
    path = write(f"user,item,rating\n1,2,3\n4,5,{value}\n")
    with pytest.raises(ValueError, match=r"line 3: Expected a finite.*'rating'"):
        read_interactions(path, rating="rating")
    with pytest.raises(ValueError, match=r"line 4: .*finite"):
        read_interactions(write(f"1 1:1 2:1\n\n\r\n{value} 3:1 4:1\n"), "libfm")
    path = write(f"user,item,time\n1,2,3\n4,5,{value}\n")
    if value != "1e400":
        assert read_interactions(path, time="time").time[1] == float(value)


def test_parquet_unsigned_and_large_ids(tmp_path):
    path = tmp_path / "file.parquet"

    def read(**columns):
        parquet.write_table(pa.table(columns), path)
        return read_interactions(path, time="time" if "time" in columns else None)

    big = [2**63 - 1, 5]
    for kind in (pa.int64(), pa.uint64()):
        out = read(user_id=pa.array(big, kind), item_id=[1, 2])
        assert _pairs(out) == list(zip(big, [1, 2], strict=True))
        assert out.user_ids.dtype == np.int64
    # Beyond int64 they stay what they are, as in text.
    out = read(user_id=pa.array([2**63, 5], pa.uint64()), item_id=[1, 2])
    assert _pairs(out) == [(str(2**63), 1), ("5", 2)]
    with pytest.raises(ValueError, match=r"row 2: Expected numbers < 2\*\*63.*'time'"):
        read(user_id=[1, 2], item_id=[1, 2], time=pa.array([1, 2**63], pa.uint64()))
    out = read(user_id=[1, 2], item_id=[1, 2], time=pa.array([1, 2**62], pa.uint64()))
    assert out.time.tolist() == [1, 2**62]
    users = pa.array(["a", "b"]).dictionary_encode()
    assert _pairs(read(user_id=users, item_id=[1, 2])) == [("a", 1), ("b", 2)]
    users = pa.array([b"a", b"\xff"]).cast(pa.string(), safe=False)
    with pytest.raises(ValueError, match=r"row 2: Expected UTF-8 text in .*'user_id'"):
        read(user_id=users, item_id=[1, 2])


def test_corrupt_parquet(tmp_path):
    path = tmp_path / "file.parquet"
    num = 1000
    parquet.write_table(
        pa.table({"user_id": range(num), "item_id": range(num)}),
        path,
        compression="zstd",
        use_dictionary=False,
    )
    good = path.read_bytes()
    for bad in (good[:-3], good[: len(good) // 2], b"PAR1" + b"?" * 50):
        path.write_bytes(bad)
        for given in (path, path.with_suffix(".pq")):
            given.write_bytes(bad)
            with pytest.raises(
                ValueError, match=r"file\.p.*: Expected a whole Parquet"
            ):
                read_interactions(given)
    path.write_bytes(good[:40] + b"?" * 40 + good[80:])
    with pytest.raises(ValueError, match=r"file\.parquet: Expected a whole Parquet"):
        read_interactions(path)
    (tmp_path / "file.csv").write_bytes(good)  # Parquet whatever it is called.
    assert len(read_interactions(tmp_path / "file.csv")) == num


def test_ids_of_many_digits_stay_numbers(write):
    ids = [2**63 - 1, 10**18, 10**18 + 1, 7]
    out = read_interactions(write("user,item\n" + "".join(f"{i},1\n" for i in ids)))
    assert out.user_ids.dtype == np.int64
    assert out.user_ids.tolist() == sorted(ids)
    out = read_interactions(write(f"user,item\n{2**63},1\n7,1\n"))
    assert out.user_ids.tolist() == ["7", str(2**63)]


def test_text_that_is_not_utf_8(write):
    rows = b"".join(b"%d,%d,x\xff\n" % (i, i) for i in range(40))
    out = read_interactions(write(b"user,item,note\n" + rows))
    assert len(out) == 40  # The column is not read.
    assert len(read_interactions(write(b"user,item,\xff\n1,2,3\n"))) == 1
    for cell in (b"a\xffb,1", b"1,caf\xe9"):
        path = write(b'user,item,note\n1,2,"a\nb"\n' + rows[:14] + cell + b",z\n")
        with pytest.raises(
            ValueError, match=r"file.csv, line 6: Expected UTF-8 text in"
        ):
            read_interactions(path)
    path = write(b"user,item,note\n" + rows[:14] + b"\xff,1\n")
    with pytest.raises(ValueError, match=r"line 4: Expected 3 fields .*got 2"):
        read_interactions(path)
    path = write(b"user,item,time\n1,2,3\n4,5,\xff\n")
    with pytest.raises(ValueError, match="line 3: Expected a number in column 'time'"):
        read_interactions(path, time="time")


@pytest.mark.parametrize("column", ["rating", "time"])
@pytest.mark.parametrize("hole", ["", "NaN", "good", "inf"])
def test_a_column_that_is_not_asked_for_is_left_out(write, column, hole):
    path = write(f"user,item,{column}\n1,2,3\n\n4,5,{hole}\n")
    with pytest.warns(UserWarning, match=rf"line 4: left the column '{column}' out"):
        out = read_interactions(path)
    assert _pairs(out) == [(1, 2), (4, 5)] and getattr(out, column) is None
    with pytest.raises(ValueError, match=f"line 4: Expected .* in column '{column}'"):
        read_interactions(path, **{column: column})
    if column == "rating":
        with pytest.raises(ValueError, match=r"line 4: Expected .* in column 'rating'"):
            read_interactions(path, min_rating=1)
    names = ["user", "item", column]
    path = write(f"1,2,3\n\n4,5,{hole}\n")
    with pytest.raises(ValueError, match="line 3: Expected"):
        read_interactions(path, names=names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_interactions(path, names=["user", "item", "-"])) == 2


def test_one_column_for_two(write):
    path = write("user,item,item,x\n1,2,3,4\n")
    for kwargs, match in [
        (dict(user="x", item="x"), "a column each for user and item .got 'x' for both"),
        (dict(item="x", rating="x"), "a column each for item and rating"),
        (dict(), "one column 'item' .got 2"),
    ]:
        with pytest.raises(ValueError, match=match):
            read_interactions(path, **kwargs)
    path = write("user,rating\n1,2\n")
    assert read_interactions(path, item="rating").rating is None


@pytest.mark.parametrize(
    "head, names",
    [
        ("user,item", ["user", "item"]),
        ("User_ID , x", ["user", "item"]),
        ("user_id:token,item_id:token", ["user", "item"]),
        ("uid,iid", ["user", "item"]),
        ("reviewer,asin,rating", ["user", "item", "rating"]),
        ("a,b,c", ["user", "item", "rating"]),
    ],
)
@pytest.mark.parametrize("gz", [True, False])
def test_names_of_a_file_with_names(write, head, names, gz):
    text = "".join(f"{i},{i + 7}{',1' * (len(names) - 2)}\n" for i in range(3))

    def path(text):
        data = text.encode()
        return write(gzip.compress(data) if gz else data, "a.csv.gz" if gz else "a.csv")

    assert len(read_interactions(path(text), names=names)) == 3
    with pytest.raises(ValueError, match=r"line 1: Expected"):
        read_interactions(path(head + "\n" + text), names=names)


def test_names_of_a_file_whose_first_id_is_a_word(write):
    text = "".join(f"u{i},{i}\n" for i in range(30))
    assert len(read_interactions(write("u99,x\n" + text[:20]), names=["user", "item"]))
    with pytest.raises(ValueError, match=r"line 1: .*got 'u99,x'.*leave names out"):
        read_interactions(write("u99,x\n" + text), names=["user", "item"])
    words = "".join(f"u{i},i{i}\n" for i in range(30))
    assert len(read_interactions(write(words), names=["user", "item"])) == 30


def test_a_file_without_names(write):
    with pytest.raises(
        ValueError, match="or, if these are data, names= of all columns"
    ):
        read_interactions(write("196\t242\t3\t881250949\n", "u.data"))


@pytest.mark.skipif(not (DATA / "ml-100k").exists(), reason="no ml-100k")
def test_ml_100k():
    out = read_interactions(DATA / "ml-100k/ml-100k.inter")
    assert (out.num_users, out.num_items, len(out)) == (943, 1682, 100_000)
    assert out.user_ids.tolist() == list(range(1, 944))
    assert _pairs(out)[0] == (196, 242)
    assert (out.rating[0].item(), out.time[0].item()) == (3, 881250949)
    assert (
        read_interactions(DATA / "ml-100k/ml-100k.inter", min_rating=4).num_users < 943
    )
