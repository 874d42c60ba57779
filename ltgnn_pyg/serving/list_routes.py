"""The paths that answer with lists."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response
from torch import Tensor

from ltgnn_pyg.runs import Ids
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.json_route import JsonRoute
from ltgnn_pyg.serving.recommend import Entry, recommend
from ltgnn_pyg.serving.refusal import Refusal, refuse, shown
from ltgnn_pyg.serving.request_middleware import Loaded
from ltgnn_pyg.serving.schema import (
    Compared,
    Cosines,
    DiversePage,
    ItemId,
    Neighbors,
    NoParameters,
    Page,
    Popular,
    Scored,
    SessionRows,
    UserId,
    Version,
)
from ltgnn_pyg.serving.snapshot import NoVectors, Snapshot

Part = Annotated[Page, Query()]
DiversePart = Annotated[DiversePage, Query()]
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "Refused, for what is wrong with it"}
}


def list_routes(counts: FeedbackCounts, num_threads: int) -> APIRouter:
    """Makes the paths.

    Args:
        counts (FeedbackCounts): The part of the store that lists are made of.
        num_threads (int): The number of lists made at a time; more wait in a row. With
            one, they are made where requests are read: a thread of its own would cost
            as much as a list of some thousand items.
    """
    router = APIRouter(
        prefix="/api", tags=["lists"], route_class=JsonRoute, responses=REFUSALS
    )
    limiter = CapacityLimiter(num_threads)

    async def ranked(make: Callable[[], Response]) -> Response:
        counts.follow_hidden()
        try:
            if num_threads == 1:
                return make()
            return await run_sync(make, limiter=limiter)
        except NoVectors as error:
            raise refuse(str(error), 404) from error

    @router.get(
        "/recommend/{user_id:path}",
        summary="A list for a user",
        response_model=list[str] | list[Scored],
    )
    async def get_recommend(
        snapshot: Loaded, user_id: UserId, page: DiversePart, version: Version = "1"
    ) -> Response:
        feedback = counts.store.of_user(user_id)
        return await personal(snapshot, page, feedback, user_id, version == "2")

    @router.post(
        "/session/recommend",
        summary="A list from feedback that is not kept",
        response_model=list[Scored],
    )
    async def session_recommend(
        snapshot: Loaded, rows: SessionRows, page: DiversePart
    ) -> Response:
        return await personal(snapshot, page, [(row.type, row.item) for row in rows])

    async def personal(
        snapshot: Snapshot,
        page: DiversePage,
        feedback: list[tuple[str, str]],
        user: str | None = None,
        scores: bool = True,
    ) -> Response:
        def make() -> Response:
            stop, lam = page.offset + page.n, page.relevance
            entries = recommend(
                snapshot, counts, stop, user=user, feedback=feedback, relevance=lam
            )
            return answer(entries[page.offset :], scores)

        return await ranked(make)

    @router.get(
        "/item-to-item/{name}/{item_id:path}",
        summary="Similar items",
        response_model=list[Scored],
    )
    async def item_to_item(
        snapshot: Loaded, name: Neighbors, item_id: ItemId, page: Part
    ) -> Response:
        index = snapshot.item_index(item_id)
        if index is None:
            raise refuse(f"Expected an item of the model (got {shown(item_id)})", 404)

        def make() -> Response:
            exclude = torch.cat([torch.tensor([index]), counts.hidden_items(snapshot)])
            row, stop = snapshot.known_vectors.item[index], page.offset + page.n
            found = snapshot.similar("item", row, stop, exclude)
            return answer(named(snapshot.item_ids, *found, name)[page.offset :])

        return await ranked(make)

    @router.get(
        "/user-to-user/{name}/{user_id:path}",
        summary="Similar users",
        response_model=list[Scored],
    )
    async def user_to_user(
        snapshot: Loaded, name: Neighbors, user_id: UserId, page: Part
    ) -> Response:
        index = snapshot.user_index(user_id)
        if index is None:
            raise refuse(f"Expected a user of the model (got {shown(user_id)})", 404)

        def make() -> Response:
            row, stop = snapshot.known_vectors.user[index], page.offset + page.n
            found = snapshot.similar("user", row, stop, torch.tensor([index]))
            return answer(named(snapshot.user_ids, *found, name)[page.offset :])

        return await ranked(make)

    @router.get(
        "/latest", summary="Items first taken last", response_model=list[Scored]
    )
    async def latest(snapshot: Loaded, page: Part) -> Response:
        return await not_personal(snapshot, page, counts.latest, "latest")

    @router.get(
        "/non-personalized/{name}",
        summary="Items taken most often of late",
        response_model=list[Scored],
    )
    async def popular(snapshot: Loaded, name: Popular, page: Part) -> Response:
        return await not_personal(snapshot, page, counts.popular, name)

    async def not_personal(
        snapshot: Snapshot,
        page: Page,
        find: Callable[..., list[tuple[str, float]]],
        source: str,
    ) -> Response:
        def make() -> Response:
            stop = page.offset + page.n
            found = find(snapshot, stop, counts.hidden_items(snapshot))
            return answer(Entry(raw, s, source) for raw, s in found[page.offset :])

        return await ranked(make)

    @router.post(
        "/similarity",
        summary="The cosines of items: how diverse a list is",
        response_model=Cosines,
    )
    async def similarity(
        snapshot: Loaded, items: Compared, query: Annotated[NoParameters, Query()]
    ) -> Response:
        index = [snapshot.item_index(raw) for raw in items]

        def make() -> Response:
            return in_json({"Items": items, "Cosine": snapshot.cosine(index)})

        return await ranked(make)

    return router


def answer(entries: Iterable[Entry], scores: bool = True) -> Response:
    """A list as an answer: ids, or objects with their scores and sources."""
    entries = list(entries)
    source = ",".join(dict.fromkeys(entry.source for entry in entries)) or "none"
    body: list[Any] = [entry.item for entry in entries]
    if scores:
        body = [{"Id": e.item, "Score": e.score, "Source": e.source} for e in entries]
    return in_json(body, {"X-Source": source})


def in_json(body: Any, headers: dict[str, str] | None = None) -> Response:
    """An answer of its final bytes."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, 200, headers, "application/json")


def named(ids: Ids, score: Tensor, index: Tensor, source: str) -> list[Entry]:
    """Neighbours by their raw ids."""
    pairs = zip(index.tolist(), score.tolist(), strict=True)
    return [Entry(ids[i], s, source) for i, s in pairs]
