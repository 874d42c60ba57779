"""Files of quoted text, archives, ids and columns that one would not expect."""

import csv
import gzip
import io
import warnings

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ltgnn_pyg.datasets import read_interactions
from ltgnn_pyg.datasets.readers import column_text
from tests.datasets.readers.pairs import pairs_of


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
    assert pairs_of(out) == [(row[1], int(row[3])) for row in rows]
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
            assert pairs_of(read_interactions(write(text + end))) == [(1, 2), (3, 4)]
    # Text longer than a block of the reader.
    text = 'user,item,text\n1,2,"' + "a\n" * 2**21 + '"\n3,4,x\n'
    assert pairs_of(read_interactions(write(text))) == [(1, 2), (3, 4)]


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
        assert pairs_of(out) == [row[:2] for row in rows]
        assert out.rating.tolist() == [row[2] for row in rows]
    # One ragged line does not make it sure.
    with pytest.raises(ValueError, match="27 of 28 lines"):
        read_interactions(write(text + "9 1\n", "b.txt"))
    with pytest.raises(ValueError, match=r"'timestamp', '-'\]"):
        read_interactions(write("0 1 2 3 4\n", "c.txt"))
    # Lists of a user and one item are the same either way, and others are sure.
    assert pairs_of(read_interactions(write("0 1\n1 5\n", "d.txt"))) == [(0, 1), (1, 5)]
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
        assert pairs_of(out) == list(zip(big, [1, 2], strict=True))
        assert out.user_ids.dtype == np.int64
    # Beyond int64 they stay what they are, as in text.
    out = read(user_id=pa.array([2**63, 5], pa.uint64()), item_id=[1, 2])
    assert pairs_of(out) == [(str(2**63), 1), ("5", 2)]
    with pytest.raises(ValueError, match=r"row 2: Expected numbers < 2\*\*63.*'time'"):
        read(user_id=[1, 2], item_id=[1, 2], time=pa.array([1, 2**63], pa.uint64()))
    out = read(user_id=[1, 2], item_id=[1, 2], time=pa.array([1, 2**62], pa.uint64()))
    assert out.time.tolist() == [1, 2**62]
    users = pa.array(["a", "b"]).dictionary_encode()
    assert pairs_of(read(user_id=users, item_id=[1, 2])) == [("a", 1), ("b", 2)]
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
    assert pairs_of(out) == [(1, 2), (4, 5)] and getattr(out, column) is None
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
