"""Inputs that were read wrongly once; both ways of reading say the same of them."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ltgnn_pyg.datasets import map_interactions, read_interactions, split_ratio


@pytest.fixture
def both(tmp_path):
    """What both ways of reading give, or the error of both."""
    folders = iter(range(99))

    def both(path, **kwargs):
        folder, found = tmp_path / f"mapped{next(folders)}", []
        for read, args in ((read_interactions, ()), (map_interactions, (folder,))):
            try:
                out = read(path, *args, **kwargs)
            except ValueError as error:
                found.append(str(error))
                continue
            found.append(everything(out))
        if not isinstance(found[1], str):
            found.append(everything(read_interactions(folder, duplicates="keep")))
        assert all(each == found[0] for each in found)
        return found[0]

    return both


def everything(out):
    values = (out.user, out.item, out.rating, out.time, out.weight, out.behavior)
    values = [None if x is None else (x.dtype, x.tolist()) for x in values]
    ids = [out.user_ids.tolist(), out.item_ids.tolist(), out.behaviors]
    return values, ids, out.num_users, out.num_items, out.time_unit


def test_quotes_that_swallow_lines_of_a_tsv(write, both):
    lines = ['a\tx\t"Open\t1', 'b\ty\tShut"\t2', "c\tz\tPlain\t3"]
    path = write("\n".join(["user\titem\tname\trating", *lines]) + "\n", "a.tsv")
    assert "line 2: Expected quotes around whole fields" in both(path)
    assert "closed on line 3" in both(path)
    # Quotes that belong there.
    text = 'user\titem\tname\n\na\tx\t"two\nlines"\nb\ty\t"a tab\tand ""quotes"""\n'
    assert both(write(text, "b.tsv"))[2] == 2


def test_the_header_once_more(write, both):
    for text, line in [
        ('"user_id","item_id"\n"user_id","item_id"\n3,20\n', 2),
        ("user_id,item_id\n1,2\n3,4\n\nuser_id,item_id\n5,6\n", 5),
    ]:
        message = both(write(text))
        assert f"line {line}: Expected an interaction (got the names" in message
    text = "user_id:token\titem_id:token\n"
    message = both(write(f"{text}1\t2\n{text}", "a.inter"))
    assert "line 3: Expected an interaction (got the names" in message
    # An id that is called like one column is none.
    assert both(write("user,item\nuser,1\na,2\n"))[2] == 2


@pytest.mark.parametrize("first, second", [("Z", ""), ("", "Z")])
def test_zones_of_some_rows(write, both, first, second):
    text = f"1,2,2021-03-01T00:00:00{first}\n1,3,2021-03-02T00:00:00{second}\n"
    path = write("user,item,time\n" + text)
    message = both(path, time="time")
    assert "line 3: Expected a time as the others are" in message
    with pytest.warns(UserWarning, match="line 3: left the column 'time' out"):
        out = read_interactions(path)
    assert out.time is None


def test_times_of_files_in_several_units(tmp_path, both):
    days = [datetime.datetime(2021, 3, day) for day in range(1, 7)]
    for number, (rows, kind) in enumerate(
        [(slice(0, 3), "us"), (slice(3, 6), "ms")], start=1
    ):
        times = pa.array(days[rows], pa.timestamp(kind))
        users, items = [1, 2, 3], np.arange(6)[rows]
        table = pa.table({"user": users, "item": items, "time": times})
        parquet.write_table(table, tmp_path / f"part{number}.parquet")
    out = map_interactions(tmp_path / "part*.parquet", tmp_path / "out")
    seconds = [
        int((day - datetime.datetime(1970, 1, 1)).total_seconds()) for day in days
    ]
    assert out.time.tolist() == [10**6 * each for each in seconds]
    assert out.time_unit == "us"
    assert sorted(split_ratio(out, 0.5, 0.0).test.item.tolist()) == [3, 4, 5]
    # Dates are moments too; numbers and zones are not to be mixed with them.
    for times in (
        pa.array([1, 2, 3]),
        pa.array(days[:3], pa.timestamp("us", "UTC")),
    ):
        table = pa.table({"user": users, "item": items, "time": times})
        parquet.write_table(table, tmp_path / "part2.parquet")
        with pytest.raises(ValueError, match=r"part2.*times of one type in all files"):
            map_interactions(tmp_path / "part*.parquet", tmp_path / "other")
    dates = pa.array([day.date() for day in days[3:]])
    table = pa.table({"user": users, "item": items, "time": dates})
    parquet.write_table(table, tmp_path / "part2.parquet")
    again = map_interactions(tmp_path / "part*.parquet", tmp_path / "third")
    assert again.time.tolist() == out.time.tolist()
    assert both(tmp_path / "part2.parquet")[-1] == "s"


def test_columns_of_other_types(tmp_path, both):
    path = tmp_path / "file.parquet"
    parquet.write_table(pa.table({"user": [1, 2], "item": [[1], [2, 3]]}), path)
    message = both(path)
    assert message.startswith(
        f"{path}: Expected integer or string ids in column 'item'"
    )
    assert "list<element: int64>" in message and "convert the column" in message
    ratings = pa.array([Decimal("4.5"), Decimal("0.5")], pa.decimal128(3, 1))
    parquet.write_table(
        pa.table({"user": [1, 2], "item": [1, 2], "rating": ratings}), path
    )
    assert both(path)[0][2][1] == [4.5, 0.5]
    text = pa.table({"user": [1, 2], "item": [1, 2], "rating": ["1", "2"]})
    parquet.write_table(text, path)
    assert "Expected a number in column 'rating' (got string)" in both(
        path, rating="rating"
    )


@pytest.mark.parametrize("field", [" abc ", '"a""b"', "abc"])
def test_the_line_of_a_field_that_is_no_number(write, both, field):
    path = write(f"user,item,rating\n1,2,3\n1,3,{field}\n")
    assert "line 3: Expected a number in column 'rating'" in both(path, rating="rating")


def test_json_and_comments(write, both):
    text = '{"user_id": "A", "item_id": "B", "rating": 5.0}\n'
    for name in ("a.jsonl", "a.csv", "a"):
        assert "Interactions.from_frame" in both(write(text * 2, name))
    message = both(write("# exported\nuser_id,item_id\n1,2\n"))
    assert "line 1" in message and "remove the line" in message
    assert "sep=" not in message


def test_weights_behaviors_and_repeats(write, both):
    text = "user,item,w,kind\na,x,1,view\na,x,2.5,buy\nb,x,1,view\na,x,4,view\n"
    path = write(text)
    columns = {"weight": "w", "behavior": "kind"}
    assert "user a with item x again, first on line 2, 1 repeated" in both(
        path, **columns
    )
    for duplicates, weight, kind in [
        ("keep", [1, 2.5, 1, 4], [1, 0, 1, 1]),
        ("drop", [1, 2.5, 1], [1, 0, 1]),
        ("count", [5, 2.5, 1], [1, 0, 1]),
    ]:
        (*_, weights, kinds), ids, *_ = both(path, duplicates=duplicates, **columns)
        assert (weights[1], kinds[1]) == (weight, kind)
        assert ids == [["a", "b"], ["x"], ("buy", "view")]
    assert both(path, duplicates="count")[0][4][1] == [3, 1]
    assert both(path, duplicates="keep")[0][4] is None
    for bad in ("0", "-1", "nan", "x"):
        message = both(write(text + f"c,x,{bad},view\n"), **columns)
        assert "line 6: Expected a" in message and "column 'w'" in message
    both(write(text), min_rating=2, rating="w", behavior="kind", duplicates="count")


def test_libfm_is_mapped_too(write, both):
    path = write("4.5 10:1 7:1\n\n1 2:1 7:1\n5 10:1 30:1\n", "a.libfm")
    assert both(path)[1][:2] == [[2, 10], [7, 30]]
    assert both(path, min_rating=2)[1][:2] == [[10], [7, 30]]
    assert "line 4: Expected distinct pairs" in both(
        write("1 1:1 2:1\n1 1:1 3:1\n\n1 1:1 2:1\n", "b.libfm")
    )
