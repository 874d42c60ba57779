import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from ltgnn_pyg.cli import list_all
from ltgnn_pyg.runs.run_folder import RunFolder
from tests.cli.conftest import STRANGE


def expected(folder, user, k):
    """A list by hand: all items that a user has not taken, by their scores."""
    run = RunFolder.open(folder)
    index, vectors = run.user_ids.index(user), run.vectors
    scores = vectors.item @ vectors.user[index] + vectors.item_bias
    known = set()
    for part in (run.split.train, run.split.val):
        known |= set(part.item[part.user == index].tolist())
    left = [item for item in range(vectors.num_items) if item not in known]
    left.sort(key=lambda item: -scores[item])
    return [(run.item_ids[item], float(scores[item])) for item in left[:k]]


@pytest.mark.parametrize("user", [*STRANGE, "only", "u3"])
def test_lists_are_the_highest_scores(folder, user, as_json):
    result = as_json("recommend", folder, f"--user={user}", "-k", 4)
    want = expected(folder, user, 4)
    assert [each["user"] for each in result] == [user]
    items = result[0]["items"]
    assert [each["item"] for each in items] == [item for item, _ in want]
    assert [each["score"] for each in items] == pytest.approx([s for _, s in want])


def test_lists_to_read(folder, ltgnn):
    code, out, error = ltgnn("recommend", folder, "--user", "-5", "007", "-k", 2)
    lines = out.splitlines()
    assert code == 0 and error == "" and lines[0::3] == ["user -5", "user 007"]
    want = [item for item, _ in expected(folder, "-5", 2)]
    assert [line[17:] for line in lines[1:3]] == want


def test_json_to_a_file(folder, ltgnn, tmp_path):
    path = tmp_path / "out.json"
    code, out, _ = ltgnn("recommend", folder, "--user", "u1", "--json", path)
    assert code == 0 and out.startswith("user u1\n")
    assert [each["user"] for each in json.loads(path.read_text())] == ["u1"]


def test_users_of_standard_input(folder, as_json, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a b\n-x\r\n\n ü\n"))
    result = as_json("recommend", folder, "--user", "u1", "-", "-k", 1)
    assert [each["user"] for each in result] == ["u1", "a b", "-x", " ü"]


def test_what_is_left_is_fewer(folder, ltgnn):
    code, out, error = ltgnn("recommend", folder, "--user", "u1", "u2", "-k", 1000)
    left = len(expected(folder, "u1", 1000))
    assert code == 0 and f"user 'u1' has {left} items left to list, of 1000" in error
    assert "and 1 more lists are short" in error
    assert out.splitlines().index("user u2") == left + 1


def test_an_unknown_user_is_named(folder, ltgnn, monkeypatch):
    code, out, error = ltgnn("recommend", folder, "--user", "u1", "No One", "x")
    assert code == 1 and out == "" and error.count("\n") == 1
    assert "'No One' and 1 more" in error and "of the form '" in error
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, _, error = ltgnn("recommend", folder, "--user", "-")
    assert code == 1 and "Expected users (got none)" in error


def read(path):
    if path.suffix == ".parquet":
        return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines()
        return [tuple(json.loads(line).values()) for line in lines]
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        assert next(rows) == ["user", "item", "rank", "score"]
        return [(u, i, int(rank), float(score)) for u, i, rank, score in rows]


@pytest.mark.parametrize("suffix", list_all.SUFFIXES)
@pytest.mark.parametrize("rows", [1, 40, 1 << 20])
def test_all_lists(suffix, rows, folder, tmp_path, ltgnn, monkeypatch):
    monkeypatch.setattr(list_all, "ROWS", rows)
    path, k = tmp_path / f"lists{suffix}", 37  # Some have fewer left.
    code, out, error = ltgnn("recommend", folder, "--all-users", "--out", path, "-k", k)
    assert (code, out, error) == (0, "", "")
    found, at = read(path), 0
    ids = RunFolder.open(folder).user_ids
    for user in (ids[n] for n in range(len(ids))):
        want = expected(folder, user, k)
        part, at = found[at : at + len(want)], at + len(want)
        assert [row[:3] for row in part] == [
            (user, item, rank) for rank, (item, _) in enumerate(want, 1)
        ]
        assert [row[3] for row in part] == pytest.approx([s for _, s in want])
    assert at == len(found) and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_all_lists_need_a_known_form(folder, tmp_path, ltgnn):
    path = tmp_path / "lists.xlsx"
    code, _, error = ltgnn("recommend", folder, "--all-users", "--out", path)
    assert code == 1 and ".parquet, .csv, .jsonl" in error and not path.exists()
