"""Low ratings as dislikes: no verb lists them, and none trains on them."""

import random

import pytest

from ltgnn_pyg.runs import RunFolder


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """Ratings from 1 to 5, one a pair."""
    draw = random.Random(3)
    path = tmp_path_factory.mktemp("data") / "rated.csv"
    pairs = sorted({(draw.randrange(25), int(30 * draw.random() ** 2))
                    for _ in range(450)})  # fmt: skip
    rows = [f"u{u},i{i},{draw.randrange(1, 6)}" for u, i in pairs]
    path.write_text("\n".join(["user_id,item_id,rating", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    "more",
    [["--epochs", 2], ["--model", "ease"], ["--epochs", 2, "--beside", "ease"]],
    ids=["model", "filter", "blend"],
)
def test_dislikes_are_never_listed(more, rated, tmp_path, ltgnn, as_json):
    out = tmp_path / "run"
    words = ["train", rated, "--out", out, "--dislike-below", 3, *more]
    code, _, error = ltgnn(*words)
    assert code == 0, error
    run = RunFolder.open(out)
    assert run.config["data"]["dislike_below"] == 3.0
    ratings = {}
    for line in rated.read_text().splitlines()[1:]:
        user, item, rating = line.split(",")
        ratings[user, item] = int(rating)
    for name in ("train", "val", "test", "disliked"):
        part = getattr(run.split, name)
        rows = zip(part.user.tolist(), part.item.tolist(), strict=True)
        found = {ratings[run.user_ids[u], run.item_ids[i]] for u, i in rows}
        assert found == ({1, 2} if name == "disliked" else {3, 4, 5})
    for each in as_json("recommend", out, "--user", "u1", "u2", "-k", 30):
        for row in each["items"]:
            assert ratings.get((each["user"], row["item"]), 5) >= 3
    metrics = as_json("evaluate", out)
    assert {k: metrics[k] for k in run.config["metrics"]} == run.config["metrics"]


def test_it_is_of_ratings_in_a_file(rated, ratings, tmp_path, ltgnn):
    words = ["--out", tmp_path / "run", "--dislike-below", 3]
    code, _, error = ltgnn("train", "synthetic", *words)
    assert code == 1 and "Expected no --dislike-below with 'synthetic'" in error
    code, _, error = ltgnn("train", ratings, *words)
    assert code == 1 and error.splitlines()[-1].startswith("ltgnn: Expected")
    assert not (tmp_path / "run").exists()
