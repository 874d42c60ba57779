"""Frames in memory give what the same rows in a file do."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from ltgnn_pyg.datasets import Interactions, read_interactions

DAYS = [datetime.datetime(2021, 3, day) for day in (1, 2, 3)]
ROWS = {
    "who": ["u2", "u10", "u2"],
    "item": [7, 7, 30],
    "rating": [1.5, 4, 5],
    "timestamp": DAYS,
    "kind": ["view", "buy", "buy"],
}


def frames():
    yield ROWS
    yield pa.table(ROWS)
    yield pa.record_batch(ROWS)
    yield OnlyDataFrame(pa.table({**ROWS, "timestamp": pa.array(DAYS)}))


class OnlyDataFrame:
    """A frame of another library, that has the older protocol."""

    def __init__(self, table):
        self.table = table

    def __dataframe__(self, *args, **kwargs):
        return self.table.__dataframe__(*args, **kwargs)


class OnlyStream:
    """A frame of another library, that has the protocol of Arrow."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def check(out):
    assert out.user_ids.tolist() == ["u10", "u2"] and out.user.tolist() == [1, 0, 1]
    assert out.item_ids.tolist() == [7, 30] and out.item.tolist() == [0, 0, 1]
    assert out.rating.tolist() == [1.5, 4, 5]
    day = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[out.time_unit] * 86400
    assert (out.time - out.time[0]).tolist() == [0, day, 2 * day]
    assert out.behaviors == ("buy", "view") and out.behavior.tolist() == [1, 0, 0]


def read(frame, **kwargs):
    return Interactions.from_frame(frame, user="who", behavior="kind", **kwargs)


@pytest.mark.parametrize("frame", [*frames(), OnlyStream(pa.table(ROWS))])
def test_frames_of_arrow(frame):
    check(read(frame))
    assert read(frame, min_rating=4).user_ids.tolist() == ["u10", "u2"]
    assert read(frame, min_rating=5).num_users == 1


def test_a_file_and_a_frame_agree(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("user,item,time\n10,x,3\n9,y,2\n10,y,1\n")
    table = {"user": ["10", "9", "10"], "item": ["x", "y", "y"], "time": [3, 2, 1]}
    one, two = read_interactions(path), Interactions.from_frame(table)
    assert one.user_ids.tolist() == two.user_ids.tolist() == [9, 10]
    for name in ("user", "item", "time"):
        assert getattr(one, name).tolist() == getattr(two, name).tolist()


def test_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS)
    check(read(frame))
    check(read(frame.astype({"who": "category", "item": "int32", "rating": "float32"})))
    zone = frame.assign(timestamp=frame.timestamp.dt.tz_localize("Europe/Berlin"))
    check(read(zone))
    assert (read(zone).time < read(frame).time).all()  # East of Greenwich.
    shuffled = frame.set_index(np.array([5, 1, 9]))
    check(read(shuffled))
    # A column of mixed types matters where it is read alone.
    check(read(frame.assign(junk=[1, "x", None])))
    for column, values, match in [
        ("who", ["a", None, "b"], "row 2: Expected a value in column 'who'"),
        ("who", [None, "a", 3], "row 3: .*one type in column 'who' .got int after str"),
        ("item", [1, 2, np.nan], "row 3: Expected a value in column 'item'"),
        ("item", [1.5, 2, 3], "integer or string ids in column 'item' .got double"),
        ("item", [1, -2, 3], "row 2: Expected ids >= 0 in column 'item'"),
        ("rating", [1, "x", 2], "row 2: .*one type in column 'rating' .got str after"),
        ("rating", [1, np.inf, 2], "row 2: Expected a finite number in .*'rating'"),
        ("timestamp", [DAYS[0], None, DAYS[1]], "row 2: Expected a value in .*'times"),
        ("timestamp", ["2021-03-01"] * 3, "a number in column 'timestamp' .*convert"),
    ]:
        with pytest.raises(ValueError, match=match):
            names = {"rating": "rating", "time": "timestamp"}
            read(frame.assign(**{column: pandas.Series(values)}), **names)
    with pytest.warns(UserWarning, match="row 2: left the column 'rating' out"):
        assert read(frame.assign(rating=[1, None, 2])).rating is None
    with pytest.raises(ValueError, match=r"frame: .*named one of \['item_id'"):
        Interactions.from_frame(frame.drop(columns="item"), user="who")
    with pytest.raises(ValueError, match="frame: Expected a column 'uid'"):
        Interactions.from_frame(frame, user="uid")
    with pytest.raises(ValueError, match="row 2: Expected distinct pairs"):
        Interactions.from_frame(pandas.DataFrame({"user": [1, 1], "item": [2, 2]}))
    with pytest.raises(ValueError, match="frame: Expected interactions"):
        read(frame.iloc[:0])


def test_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(ROWS)
    check(read(frame))
    kinds = [polars.col("who").cast(polars.Categorical),
             polars.col("rating").cast(polars.Decimal(4, 1)),
             polars.col("timestamp").cast(polars.Date),
             polars.col("kind").cast(polars.Enum(["view", "cart", "buy"]))]  # fmt: skip
    check(read(frame.with_columns(kinds)))
    zone = polars.col("timestamp").dt.replace_time_zone("Asia/Tokyo")
    assert (read(frame.with_columns(zone)).time < read(frame).time).all()
    holes = frame.with_columns(polars.Series("item", [7, None, 3]))
    with pytest.raises(ValueError, match="row 2: Expected a value in column 'item'"):
        read(holes)
    lists = frame.with_columns(polars.Series("item", [[7], [1], [3]]))
    with pytest.raises(ValueError, match=r"ids in column 'item' \(got large_list"):
        read(lists)


@pytest.mark.parametrize("frame", [3, "events.csv", [1, 2], None])
def test_no_frame(frame):
    with pytest.raises(ValueError, match=r"Expected a frame.*got .*convert it"):
        Interactions.from_frame(frame)
