"""Lists over HTTP are those of the library, and never short."""

import shutil
from urllib.parse import quote

import pytest
import torch

from ltgnn_pyg.retrieval import Index, similar_items, similar_users
from ltgnn_pyg.scorers import FoldIn, Vectors, top_k
from ltgnn_pyg.serving import publish
from tests.serving.conftest import (
    NUM_ITEMS,
    NUM_USERS,
    client_of,
    fold_in,
    item_id,
    make_run,
)

V2 = {"X-API-Version": "2"}


def like(client, user, *items, type_="like"):
    rows = [{"FeedbackType": type_, "UserId": user, "ItemId": i} for i in items]
    answer = client.post("/api/feedback", json=rows)
    assert answer.status_code == 200
    return answer.json()["RowAffected"]


def listed(client, user, headers=None, **params):
    path = f"/api/recommend/{quote(user, safe='')}"
    answer = client.get(path, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def test_own_list_is_top_k(client, run):
    score, item = top_k(run.vectors, 26, exclude=run.seen)
    for user in range(NUM_USERS - 1):
        expected = [item_id(i) for i in item[user].tolist()]
        answer = listed(client, f"u{user}", n=26)
        assert answer.json() == expected and answer.headers["X-Source"] == "own"
        assert listed(client, f"u{user}").json() == expected[:10]
        assert listed(client, f"u{user}", n=7, offset=5).json() == expected[5:12]
        rows = listed(client, f"u{user}", V2, n=26).json()
        assert [row["Id"] for row in rows] == expected
        assert {row["Source"] for row in rows} == {"own"}
        for row, expected_score in zip(rows, score[user].tolist(), strict=True):
            assert row["Score"] == pytest.approx(expected_score, abs=1e-6)
    assert listed(client, "u0", n=1000).json() == listed(client, "u0", n=26).json()
    assert listed(client, "u0", offset=10_000).json() == []


def test_strangers_get_what_is_popular(client, run):
    popular = client.get("/api/non-personalized/popular", params={"n": 30}).json()
    names = [row["Id"] for row in popular]
    degree = torch.bincount(run.split.train.item, minlength=NUM_ITEMS)
    taken = [item_id(i) for i in range(NUM_ITEMS) if degree[i] > 0]
    assert set(names[: len(taken)]) == set(taken) and len(names) == NUM_ITEMS
    for user in ("nobody", "u11", "ü/?#"):  # u11 has no interaction.
        answer = listed(client, user, n=30)
        assert answer.json() == names and answer.headers["X-Source"] == "popular"


def test_feedback_changes_the_next_list(client, run):
    first = listed(client, "u0", n=26).json()
    assert like(client, "u0", first[0], first[3]) == 2
    second = listed(client, "u0", n=30)
    assert second.headers["X-Source"] == "fold-in"
    assert set(second.json()) == set(first) - {first[0], first[3]}
    order = [item for item in first if item in second.json()]
    assert second.json() != order  # The vector moved.
    # And as the formula says.
    liked = torch.tensor([run.item_ids.index(i) for i in (first[0], first[3])])
    degree = torch.bincount(run.split.train.item, minlength=NUM_ITEMS).float()
    own = FoldIn(run.vectors, degree, alpha=0.1)
    one = torch.tensor([0])
    seen = torch.tensor([0, 4]), run.seen[1][:4]
    row = own.rows((torch.tensor([0, 2]), liked), one, seen)
    scores = run.vectors.item @ row[0] + run.vectors.item_bias
    expected = [item_id(i) for i in scores.argsort(descending=True).tolist()]
    assert second.json() == [i for i in expected if i in second.json()]


def test_neutral_feedback_only_hides(client):
    first = listed(client, "u0", n=26).json()
    like(client, "u0", first[1], type_="read")
    like(client, "u0", first[2], type_="dislike")
    second = listed(client, "u0", n=26)
    assert second.json() == [first[0], *first[3:]]
    assert second.headers["X-Source"] == "own"


def test_new_users_are_folded_in(client):
    like(client, "new", item_id(7), "i8", "unheard of")
    answer = listed(client, "new", V2, n=40)
    names = [row["Id"] for row in answer.json()]
    assert answer.headers["X-Source"] == "fold-in"
    assert len(names) == len(set(names)) == NUM_ITEMS - 2
    assert not {item_id(7), "i8", "unheard of"} & set(names)
    rows = [{"FeedbackType": "like", "ItemId": i} for i in (item_id(7), "i8")]
    session = client.post("/api/session/recommend?n=40", json=rows)
    assert session.json() == answer.json()
    empty = client.post("/api/session/recommend", json=[])
    assert empty.headers["X-Source"] == "popular" and len(empty.json()) == 10


def test_lists_are_filled_from_what_is_new(client):
    """Items that the model does not know come last, by their feedback."""
    like(client, "a", "fresh")
    like(client, "b", "fresh", "fresher")
    client.get("/api/item/fresh")  # Follows the store at once.
    answer = listed(client, "u0", V2, n=40)
    assert answer.headers["X-Source"] == "own,popular"
    assert [row["Id"] for row in answer.json()][-2:] == ["fresh", "fresher"]
    assert [row["Id"] for row in listed(client, "b", V2, n=40).json()][-1] != "fresh"
    latest = client.get("/api/latest", params={"n": 40}).json()
    assert [row["Id"] for row in latest[:2]] == ["fresher", "fresh"] or (
        latest[0]["Score"] == latest[1]["Score"]
    )
    assert [row["Id"] for row in latest[2:]] == [item_id(i) for i in range(13, -1, -1)]


def test_popularity_counts_feedback(client):
    for user in range(30):
        like(client, f"new{user}", "i29")
    client.get("/api/item/fresh")
    best = client.get("/api/non-personalized/popular", params={"n": 1}).json()
    assert best[0]["Id"] == "i29" and best[0]["Score"] == 30.0


def test_neighbours(client, run):
    score, index = similar_items(run.vectors, 5)
    for item in (0, 7):
        path = f"/api/item-to-item/neighbors/{quote(item_id(item), safe='')}"
        rows = client.get(path, params={"n": 3, "offset": 2}).json()
        assert [row["Id"] for row in rows] == [item_id(i) for i in index[item, 2:]]
        assert rows[0]["Score"] == pytest.approx(float(score[item, 2]), abs=1e-6)
    _, index = similar_users(run.vectors, 4)
    rows = client.get("/api/user-to-user/neighbors/u3", params={"n": 4}).json()
    assert [row["Id"] for row in rows] == [f"u{u}" for u in index[3].tolist()]


def test_hidden_items_are_in_no_list(client):
    best = listed(client, "u0", n=1).json()[0]
    path = f"/api/item/{quote(best, safe='')}"
    assert client.get(path).json() == {"ItemId": best, "IsHidden": False}
    assert client.patch(path, json={"IsHidden": True}).json() == {"RowAffected": 1}
    assert client.get(path).json()["IsHidden"]
    assert best not in listed(client, "u0", n=40).json()
    assert best not in listed(client, "nobody", n=40).json()
    for other in ("latest", "non-personalized/popular", "item-to-item/neighbors/i1"):
        rows = client.get(f"/api/{other}", params={"n": 40}).json()
        assert best not in [row["Id"] for row in rows]
    client.patch(path, json={"IsHidden": False})
    assert best == listed(client, "u0", n=1).json()[0]


def test_diverse_lists(client, run):
    plain = listed(client, "u0", n=20).json()
    assert listed(client, "u0", n=20, **{"lambda": 1.0}).json() == plain
    diverse = listed(client, "u0", n=20, **{"lambda": 0.3}).json()
    assert diverse[0] == plain[0] and diverse != plain
    body = client.post("/api/similarity", json=[*diverse[:3], "unheard of"]).json()
    index = [run.item_ids.index(i) for i in diverse[:3]]
    expected = run.vectors.item[index] @ run.vectors.item[index].t()
    assert body["Cosine"][3] == [None] * 4
    got = torch.tensor([row[:3] for row in body["Cosine"][:3]])
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_an_index_gives_the_same_lists(client, run, tmp_path, kind):
    """On so few items it looks into all of its lists."""
    if kind == "ivf":
        pytest.importorskip("faiss")
    other = shutil.copytree(run.path, tmp_path / "other")
    Index.build(run.vectors, kind).save(other / "index")
    publish(other, tmp_path / "store")
    paths = [
        f"/api/recommend/u{u}?n=9&lambda={lam}" for u in (0, 3) for lam in (1, 0.5)
    ]
    expected = [client.get(path).json() for path in paths]
    for place in (other, tmp_path / "store"):
        with client_of(place) as indexed:
            assert [indexed.get(path).json() for path in paths] == expected


def test_pages_of_users_and_items(client):
    names, cursor = [], ""
    while True:
        page = client.get("/api/items", params={"n": 11, "cursor": cursor}).json()
        names += [row["ItemId"] for row in page["Items"]]
        if not (cursor := page["Cursor"]):
            break
    assert names == [item_id(i) for i in range(NUM_ITEMS)]
    page = client.get("/api/users", params={"n": 2}).json()
    assert page == {"Cursor": "2", "Users": [{"UserId": "u0"}, {"UserId": "u1"}]}


def test_vectors_without_bias_of_half_precision(tmp_path):
    from ltgnn_pyg.runs.run_folder import RunFolder

    run = make_run(tmp_path / "one", unit=False)
    half = Vectors(run.vectors.user.half(), run.vectors.item.half())
    known = fold_in(half, run.split.known)
    other = RunFolder.write(tmp_path / "other", known, run.split, {})
    _, item = top_k(half, 5, exclude=other.seen)
    with client_of(other.path) as client:
        expected = [str(i) for i in item[3].tolist()]
        assert listed(client, "3", n=5).json() == expected
        like(client, "3", expected[0])
        assert listed(client, "3", n=5).headers["X-Source"] == "fold-in"


def test_a_user_counts_once_an_item(client):
    """By no number of types, and not by those that say nothing good."""
    for name in ("i29", "fresh"):
        like(client, "a", name)
        for number in range(50):
            like(client, "a", name, type_=f"type {number}")
            like(client, f"user {number}", name, type_="dislike")
    like(client, "b", "disliked", type_="dislike")
    client.get("/api/item/fresh")  # Follows the store at once.
    like(client, "a", "i29", type_="later")
    like(client, "user 1", "i29", type_="later")
    assert client.get("/api/item/disliked").status_code == 200
    popular = client.get("/api/non-personalized/popular", params={"n": 40}).json()
    score = {row["Id"]: row["Score"] for row in popular}
    assert score["i29"] == 2.0 and score["fresh"] == 1.0 and "disliked" not in score
    latest = client.get("/api/latest", params={"n": 40}).json()
    assert latest[0]["Id"] == "fresh" and "disliked" not in str(latest)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_latest_in_any_unit(tmp_path, unit):
    run = make_run(tmp_path / "run", start=1_700_000_000, unit_of_time=unit)

    def feedback(item, user, day):
        row = {"FeedbackType": "like", "UserId": user, "ItemId": item}
        return {**row, "Timestamp": f"2024-{day}T00:00:00Z"}

    def latest(client):
        client.get("/api/item/other")  # Follows the store at once.
        return [row["Id"] for row in client.get("/api/latest?n=5").json()]

    old = [item_id(i) for i in range(13, -1, -1)]
    with client_of(run.path) as client:
        rows = [feedback("n1", "a", "06-01"), feedback("n2", "a", "03-01")]
        client.post("/api/feedback", json=rows)
        assert latest(client) == ["n1", "n2", *old[:3]]
        # First taken by a later row, and by one that was there.
        client.post("/api/feedback", json=[feedback("n1", "b", "02-01")])
        assert latest(client) == ["n2", "n1", *old[:3]]
        for day in ("01-15", "01-01"):
            row = feedback("n2", "a", day)
            assert client.put("/api/feedback", json=[row]).json() == {"RowAffected": 1}
        assert latest(client) == ["n1", "n2", *old[:3]]
        client.put("/api/feedback", json=[feedback("n1", "b", "07-01")])
        client.put("/api/feedback", json=[feedback("n1", "c", "01-02")])
        assert latest(client) == ["n1", "n2", *old[:3]]
    with client_of(run.path) as client:
        assert latest(client) == ["n1", "n2", *old[:3]]
