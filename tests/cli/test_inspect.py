import csv
import hashlib
from collections import Counter

import pytest

from ltgnn_pyg.runs.run_folder import RunFolder


def test_a_file_by_hand(ratings, as_json, ltgnn):
    with open(ratings, newline="") as file:
        pairs = [tuple(row) for row in csv.reader(file)][1:]
    result = as_json("inspect", ratings)
    assert result["name"] == "ratings.csv"
    assert result["sha256"] == hashlib.sha256(ratings.read_bytes()).hexdigest()
    assert result["num_interactions"] == len(pairs)
    for at, side in enumerate(("user", "item")):
        degrees = sorted(Counter(pair[at] for pair in pairs).values())
        num, found = len(degrees), result[f"{side}_degree"]
        assert result[f"num_{side}s"] == num
        assert (found["min"], found["max"]) == (degrees[0], degrees[-1])
        assert found["median"] == degrees[(num - 1) // 2]
        assert found["mean"] == pytest.approx(len(pairs) / num, abs=0.01)
    num_pairs = result["num_users"] * result["num_items"]
    assert result["density"] == len(pairs) / num_pairs
    _, out, _ = ltgnn("inspect", ratings)
    assert f"num_interactions  {len(pairs)}\n" in out


def test_a_run_is_its_data_and_its_config(folder, ratings, as_json, ltgnn):
    result, data = as_json("inspect", folder), as_json("inspect", ratings)
    for name in ("num_users", "num_items", "density", "user_degree", "item_degree"):
        assert result[name] == data[name]
    assert sum(result["parts"].values()) == data["num_interactions"]
    config = {**RunFolder.open(folder).config, "scorer": "FoldIn"}
    assert {name: result[name] for name in config} == config
    code, out, _ = ltgnn("inspect", folder)
    assert code == 0 and "recall@20" in out and "max_epochs" in out
    assert ltgnn("inspect", folder, "--min-rating", 3)[0] == 2


def test_times_and_ratings_have_a_range(tmp_path, as_json):
    path = tmp_path / "x.csv"
    path.write_text("user_id,item_id,rating,time\na,b,2.5,10\na,c,4,30\n")
    result = as_json("inspect", path)
    assert result["time"] == {"min": 10, "max": 30}
    assert result["rating"] == {"min": 2.5, "max": 4.0}
