"""Lists of any scorer over HTTP: of filters, of blends, of bare vectors."""

from dataclasses import replace
from urllib.parse import quote

import pytest
import torch

from ltgnn_pyg.graph import Graph
from ltgnn_pyg.nn import LTGNN, LightGCNPlusPlus
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import Blend, Query, Vectors
from ltgnn_pyg.scorers.filters import EASE, GFCF, Popularity
from ltgnn_pyg.serving import publish
from tests.serving.conftest import NUM_ITEMS, client_of, item_id, make_run

V2 = {"X-API-Version": "2"}


def model_of(known, cls=LTGNN, **settings):
    torch.manual_seed(0)
    model = cls(known.num_users, known.num_items, 8, init_std=0.5, **settings)
    return model.scorer(Graph.from_interactions(known))


MAKERS = {
    "ease": EASE,
    "gfcf": lambda known: GFCF(known, rank=4),
    "blend": lambda known: Blend(model_of(known), EASE(known), 0.4),
    "model": model_of,
    "alpha 1": lambda known: model_of(known, alpha=1.0),
    # Whose exponents are called alpha and gamma.
    "lightgcn++": lambda known: model_of(known, LightGCNPlusPlus, alpha=1.6),
}


def get(client, user, **params):
    path = f"/api/recommend/{quote(user, safe='')}"
    answer = client.get(path, params=params, headers=V2)
    assert answer.status_code == 200, answer.text
    rows = answer.json()
    listed = {row["Id"]: row["Score"] for row in rows}
    assert len(listed) == len(rows)
    scores = list(listed.values())
    if {row["Source"] for row in rows} < {"own", "fold-in"}:
        assert scores == sorted(scores, reverse=True)
    return listed, answer.headers["X-Source"]


def like(client, user, *items):
    rows = [{"FeedbackType": "like", "UserId": user, "ItemId": i} for i in items]
    assert client.post("/api/feedback", json=rows).status_code == 200


def expected(run, query, exclude):
    """All items but some, by their scores, as the library has them."""
    score = run.scorer.score(query)[0]
    items = [i for i in score.argsort(descending=True).tolist() if i not in exclude]
    return {item_id(i): pytest.approx(float(score[i]), abs=1e-5) for i in items}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("published", [False, True])
def test_lists_are_those_of_the_scorer(name, published, tmp_path):
    run = make_run(tmp_path / "run", make=MAKERS[name])
    place = run.path
    if published:
        publish(place, tmp_path / "store")
        place = tmp_path / "store"
    one, fresh = torch.tensor([3]), [item_id(7), "i12"]
    items = Query.of_items([[7, 12]]).items
    seen = set(range(3, 7))
    with client_of(place) as client:
        own = expected(run, Query(one), seen)
        assert get(client, "u3", n=26) == (own, "own")
        popular = client.get("/api/non-personalized/popular", params={"n": 30}).json()
        for user in ("nobody", "u11"):  # u11 has no interaction.
            found, source = get(client, user, n=30)
            assert list(found) == [row["Id"] for row in popular]
            assert source == "popular"
        # A known user with feedback, a new one with some, and a session.
        like(client, "u3", *fresh)
        moved = expected(run, Query(one, items), seen | {7, 12})
        assert get(client, "u3", n=24) == (moved, "fold-in")
        like(client, "new", *fresh, "unheard of")
        new = expected(run, Query(items=items), {7, 12})
        assert get(client, "new", n=28) == (new, "fold-in")
        rows = [{"FeedbackType": "like", "ItemId": i} for i in fresh]
        answer = client.post("/api/session/recommend?n=28", json=rows)
        assert {row["Id"]: row["Score"] for row in answer.json()} == new
        assert answer.headers["X-Source"] == "fold-in"
        text = client.get("/metrics").text
        assert 'ltgnn_requests_total{route="recommend",status="5xx"} 0' in text


@pytest.mark.parametrize("name", ["ease", "gfcf", "blend"])
def test_what_it_cannot_do_is_a_sentence(name, tmp_path):
    run = make_run(tmp_path / "run", make=MAKERS[name])
    with client_of(run.path) as client:
        for answer in (
            client.get("/api/recommend/u3?lambda=0.5"),
            client.get("/api/item-to-item/neighbors/i1"),
            client.get("/api/user-to-user/neighbors/u3"),
            client.post("/api/similarity", json=["i1", "i2"]),
        ):
            assert answer.status_code == 404
            text = answer.json()["error"]
            assert text.startswith("Expected a model of vectors (got '")
            assert "\n" not in text
        assert client.get("/api/recommend/u3?lambda=1").status_code == 200
        assert client.get("/api/recommend/nobody?lambda=0.5").status_code == 200
        for path in ("/", "/api/latest", "/api/items", "/api/users", "/health/ready"):
            assert client.get(path).status_code == 200


def test_popularity_has_vectors_of_one_number(tmp_path):
    run = make_run(tmp_path / "run", make=Popularity)
    with client_of(run.path) as client:
        found, source = get(client, "u3", n=5)
        degree = torch.bincount(run.split.known.item, minlength=NUM_ITEMS)
        degree[3:7] = 0
        assert source == "own"
        assert list(found.values()) == degree.sort(descending=True)[0][:5].tolist()
        for raw, value in found.items():
            assert degree[run.item_ids.index(raw)] == value
        assert client.get("/api/item-to-item/neighbors/i1").status_code == 200


def test_bare_vectors_have_own_lists_after_feedback(tmp_path):
    """They know of no interactions: what was taken since is only left out."""

    def make(known):
        generator = torch.Generator().manual_seed(1)
        tables = (torch.randn(n, 4, generator=generator)
                  for n in (known.num_users, known.num_items))  # fmt: skip
        return Vectors(*tables)

    run = make_run(tmp_path / "run", make=make)
    with client_of(run.path) as client:
        own, source = get(client, "u3", n=26)
        first = next(iter(own))
        like(client, "u3", first)
        assert source == "own"
        del own[first]
        assert get(client, "u3", n=25) == (own, "own")
        like(client, "new", first)
        found, source = get(client, "new", n=40)
        assert source == "popular" and len(found) == NUM_ITEMS - 1


@pytest.mark.parametrize("name", ["model", "ease"])
def test_no_list_shows_what_was_disliked(name, tmp_path):
    """u3 has disliked two items, u11 has done nothing else."""
    run = make_run(tmp_path / "plain", make=MAKERS[name])
    split = run.split
    user, item = torch.tensor([3, 3, 11]), torch.tensor([20, 21, 22])
    disliked = replace(split.train[:3], user=user, item=item)
    split = replace(split, disliked=disliked)
    run = RunFolder.write(tmp_path / "run", run.scorer, split, {})
    one, hidden = torch.tensor([3]), {*range(3, 7), 20, 21}

    with client_of(run.path) as client:
        found, source = get(client, "3", n=24)
        score = run.scorer.score(Query(one))[0]
        want = {str(i): float(score[i]) for i in range(NUM_ITEMS) if i not in hidden}
        assert source == "own" and found == pytest.approx(want, abs=1e-5)
        found, source = get(client, "11", n=29)
        assert source == "popular" and "22" not in found and len(found) == 29
        # Liked after all: it has its say, and is not listed all the same.
        like(client, "3", "20")
        found, source = get(client, "3", n=24)
        moved = run.scorer.score(Query(one, Query.of_items([[20]]).items))[0]
        want = {str(i): float(moved[i]) for i in range(NUM_ITEMS) if i not in hidden}
        assert source == "fold-in" and found == pytest.approx(want, abs=1e-5)
