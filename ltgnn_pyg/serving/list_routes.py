"""The paths that answer with lists."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Path, Query, Request, Response
from torch import Tensor

from ltgnn_pyg.serving.checks import (
    check_id,
    check_names,
    parse_feedback,
    read_json,
    refuse,
    shown,
    snapshot_of,
)
from ltgnn_pyg.serving.live import Live
from ltgnn_pyg.serving.recommend import Entry, recommend

NEIGHBORS = "neighbors"  #: The one name of lists of similar users or items.
POPULAR = "popular"
PAGE = frozenset({"n", "offset"})
N = Annotated[int, Query(ge=1, le=1000, description="The length of the list")]
Offset = Annotated[int, Query(ge=0, le=10_000, description="Where it starts")]
Relevance = Annotated[
    float,
    Query(
        alias="lambda",
        ge=0.0,
        le=1.0,
        description="1 for the best scores, less for a more diverse list",
    ),
]
Version = Annotated[
    str | None, Header(alias="X-API-Version", description="2 for scores and sources")
]
FEEDBACK: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["FeedbackType", "UserId", "ItemId"],
        "properties": {
            "FeedbackType": {"type": "string", "example": "like"},
            "UserId": {"type": "string"},
            "ItemId": {"type": "string"},
            "Value": {"type": "number", "default": 0},
            "Timestamp": {"type": "string", "format": "date-time"},
        },
    },
}


def body_of(schema: dict[str, Any]) -> dict[str, Any]:
    """What the documentation says of a body that is read here."""
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def list_routes(live: Live) -> APIRouter:
    """Makes the paths.

    Args:
        live (Live): What came after the model, and its store.
    """
    router = APIRouter(prefix="/api", tags=["lists"])

    @router.get("/recommend/{user_id:path}", summary="A list for a user")
    def get_recommend(
        request: Request,
        user: Annotated[str, Path(alias="user_id")],
        n: N = 10,
        offset: Offset = 0,
        relevance: Relevance = 1.0,
        version: Version = None,
    ) -> Response:
        snapshot = snapshot_of(request)
        check_names(request, PAGE | {"lambda"})
        feedback = live.store.of_user(check_id("user_id", user))
        live.follow_hidden()
        entries = recommend(
            snapshot,
            live,
            offset + n,
            user=user,
            feedback=feedback,
            relevance=relevance,
        )
        return answer(entries[offset:], scores=version == "2")

    @router.post(
        "/session/recommend",
        summary="A list from feedback that is not kept",
        openapi_extra=body_of(FEEDBACK),
    )
    async def session_recommend(
        request: Request, n: N = 10, offset: Offset = 0, relevance: Relevance = 1.0
    ) -> Response:
        snapshot = snapshot_of(request)
        check_names(request, PAGE | {"lambda"})
        rows = parse_feedback(await read_json(request), with_user=False)
        feedback = [(row.type, row.item) for row in rows]

        def make() -> Response:
            live.follow_hidden()
            entries = recommend(
                snapshot, live, offset + n, feedback=feedback, relevance=relevance
            )
            return answer(entries[offset:])

        return await run_sync(make)

    @router.get("/item-to-item/{name}/{item_id:path}", summary="Similar items")
    def item_to_item(
        request: Request,
        name: str,
        item: Annotated[str, Path(alias="item_id")],
        n: N = 10,
        offset: Offset = 0,
    ) -> Response:
        snapshot = snapshot_of(request)
        check_names(request, PAGE)
        _check_list(name, NEIGHBORS)
        index = snapshot.item_index(check_id("item_id", item))
        if index is None:
            raise refuse(f"Expected an item of the model (got {shown(item)})", 404)
        live.follow_hidden()
        exclude = torch.cat([torch.tensor([index]), live.hidden_items(snapshot)])
        query = snapshot.vectors.item[index]
        found = snapshot.similar("item", query, offset + n, exclude)
        return answer(_named(snapshot.item_ids, *found, NEIGHBORS)[offset:])

    @router.get("/user-to-user/{name}/{user_id:path}", summary="Similar users")
    def user_to_user(
        request: Request,
        name: str,
        user: Annotated[str, Path(alias="user_id")],
        n: N = 10,
        offset: Offset = 0,
    ) -> Response:
        snapshot = snapshot_of(request)
        check_names(request, PAGE)
        _check_list(name, NEIGHBORS)
        index = snapshot.user_index(check_id("user_id", user))
        if index is None:
            raise refuse(f"Expected a user of the model (got {shown(user)})", 404)
        query = snapshot.vectors.user[index]
        found = snapshot.similar("user", query, offset + n, torch.tensor([index]))
        return answer(_named(snapshot.user_ids, *found, NEIGHBORS)[offset:])

    @router.get("/latest", summary="Items first taken last")
    def latest(request: Request, n: N = 10, offset: Offset = 0) -> Response:
        return not_personal(request, live.latest, "latest", n, offset)

    @router.get("/non-personalized/{name}", summary="Items taken most often of late")
    def popular(request: Request, name: str, n: N = 10, offset: Offset = 0) -> Response:
        _check_list(name, POPULAR)
        return not_personal(request, live.popular, POPULAR, n, offset)

    def not_personal(
        request: Request, make: Any, source: str, n: int, offset: int
    ) -> Response:
        snapshot = snapshot_of(request)
        check_names(request, PAGE)
        live.follow_hidden()
        found = make(snapshot, offset + n, live.hidden_items(snapshot))
        return answer([Entry(raw, s, source) for raw, s in found[offset:]])

    @router.post(
        "/similarity",
        summary="The cosines of some items, to see how diverse a list is",
        openapi_extra=body_of({"type": "array", "items": {"type": "string"}}),
    )
    async def similarity(request: Request) -> Response:
        snapshot = snapshot_of(request)
        names = await read_json(request)
        if not isinstance(names, list) or not 1 <= len(names) <= 100:
            raise refuse(f"Expected a list of 1 to 100 items (got {shown(names)})")
        index = [snapshot.item_index(check_id("item", raw)) for raw in names]
        return _json({"Items": names, "Cosine": snapshot.cosine(index)})

    return router


def answer(entries: Iterable[Entry], scores: bool = True) -> Response:
    """A list as an answer: ids, or objects with their scores and sources."""
    entries = list(entries)
    source = ",".join(dict.fromkeys(entry.source for entry in entries)) or "none"
    if scores:
        body: Any = [{"Id": e.item, "Score": e.score, "Source": e.source}
                     for e in entries]  # fmt: skip
    else:
        body = [entry.item for entry in entries]
    return _json(body, {"X-Source": source})


def _json(body: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(
        json.dumps(body, separators=(",", ":")), 200, headers, "application/json"
    )


def _named(ids: Any, score: Tensor, index: Tensor, source: str) -> list[Entry]:
    pairs = zip(index.tolist(), score.tolist(), strict=True)
    return [Entry(ids[i], s, source) for i, s in pairs]


def _check_list(name: str, known: str) -> None:
    if name != known:
        raise refuse(f"Expected the list '{known}' (got {shown(name)})", 404)
