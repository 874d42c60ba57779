"""The paths that answer with lists."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import torch
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from torch import Tensor

from ltgnn_pyg.serving.checks import (
    check_id,
    check_names,
    check_page,
    parse_feedback,
    read_json,
    refuse,
    shown,
    snapshot_of,
)
from ltgnn_pyg.serving.document import FEEDBACK, LAMBDA, NAMES, PAGE, VERSION, describe
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.recommend import Entry, recommend

NEIGHBORS, POPULAR = "neighbors", "popular"  #: The names that lists go by.
MAX_COMPARED = 100  #: Items whose cosines are asked for.


def list_routes(counts: FeedbackCounts, num_threads: int) -> APIRouter:
    """Makes the paths.

    Args:
        counts (FeedbackCounts): What came after the model, and its store.
        num_threads (int): How many lists are made at a time; more wait in a row. With
            one, they are made where requests are read: a thread of its own would cost
            as much as a list of some thousand items.
    """
    router = APIRouter(prefix="/api", tags=["lists"])
    limiter = CapacityLimiter(num_threads)

    async def ranked(make: Callable[[], Response]) -> Response:
        counts.follow_hidden()
        if num_threads == 1:
            return make()
        return await run_sync(make, limiter=limiter)

    @router.get(
        "/recommend/{user_id:path}",
        summary="A list for a user",
        openapi_extra=describe(*PAGE, LAMBDA, VERSION, path="user_id"),
    )
    async def get_recommend(request: Request) -> Response:
        snapshot, page = snapshot_of(request), check_page(request, "lambda")
        user = check_id("user_id", request.path_params["user_id"])
        scores = request.headers.get("x-api-version") == "2"
        feedback = counts.store.of_user(user)

        def make() -> Response:
            entries = recommend(
                snapshot,
                counts,
                page.offset + page.n,
                user=user,
                feedback=feedback,
                relevance=page.relevance,
            )
            return answer(entries[page.offset :], scores)

        return await ranked(make)

    @router.post(
        "/session/recommend",
        summary="A list from feedback that is not kept",
        openapi_extra=describe(*PAGE, LAMBDA, body=FEEDBACK),
    )
    async def session_recommend(request: Request) -> Response:
        snapshot, page = snapshot_of(request), check_page(request, "lambda")
        rows = parse_feedback(await read_json(request), with_user=False)
        feedback = [(row.type, row.item) for row in rows]

        def make() -> Response:
            entries = recommend(
                snapshot,
                counts,
                page.offset + page.n,
                feedback=feedback,
                relevance=page.relevance,
            )
            return answer(entries[page.offset :])

        return await ranked(make)

    @router.get(
        "/item-to-item/{name}/{item_id:path}",
        summary="Similar items",
        openapi_extra=describe(*PAGE, path="item_id", name=NEIGHBORS),
    )
    async def item_to_item(request: Request) -> Response:
        snapshot, page = snapshot_of(request), check_page(request)
        check_list(request, NEIGHBORS)
        item = check_id("item_id", request.path_params["item_id"])
        index = snapshot.item_index(item)
        if index is None:
            raise refuse(f"Expected an item of the model (got {shown(item)})", 404)

        def make() -> Response:
            exclude = torch.cat([torch.tensor([index]), counts.hidden_items(snapshot)])
            row, stop = snapshot.vectors.item[index], page.offset + page.n
            found = snapshot.similar("item", row, stop, exclude)
            return answer(named(snapshot.item_ids, *found)[page.offset :])

        return await ranked(make)

    @router.get(
        "/user-to-user/{name}/{user_id:path}",
        summary="Similar users",
        openapi_extra=describe(*PAGE, path="user_id", name=NEIGHBORS),
    )
    async def user_to_user(request: Request) -> Response:
        snapshot, page = snapshot_of(request), check_page(request)
        check_list(request, NEIGHBORS)
        user = check_id("user_id", request.path_params["user_id"])
        index = snapshot.user_index(user)
        if index is None:
            raise refuse(f"Expected a user of the model (got {shown(user)})", 404)

        def make() -> Response:
            row, stop = snapshot.vectors.user[index], page.offset + page.n
            found = snapshot.similar("user", row, stop, torch.tensor([index]))
            return answer(named(snapshot.user_ids, *found)[page.offset :])

        return await ranked(make)

    @router.get(
        "/latest", summary="Items first taken last", openapi_extra=describe(*PAGE)
    )
    async def latest(request: Request) -> Response:
        return await not_personal(request, counts.latest, "latest")

    @router.get(
        "/non-personalized/{name}",
        summary="Items taken most often of late",
        openapi_extra=describe(*PAGE, name=POPULAR),
    )
    async def popular(request: Request) -> Response:
        check_list(request, POPULAR)
        return await not_personal(request, counts.popular, POPULAR)

    async def not_personal(
        request: Request, find: Callable[..., list[tuple[str, float]]], source: str
    ) -> Response:
        snapshot, page = snapshot_of(request), check_page(request)

        def make() -> Response:
            stop = page.offset + page.n
            found = find(snapshot, stop, counts.hidden_items(snapshot))
            return answer(Entry(raw, s, source) for raw, s in found[page.offset :])

        return await ranked(make)

    @router.post(
        "/similarity",
        summary="The cosines of items: how diverse a list is",
        openapi_extra=describe(body=NAMES),
    )
    async def similarity(request: Request) -> Response:
        snapshot = snapshot_of(request)
        check_names(request)
        items = await read_json(request)
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_COMPARED:
            raise refuse(
                f"Expected a list of 1 to {MAX_COMPARED} items (got {shown(items)})"
            )
        index = [snapshot.item_index(check_id("item", raw)) for raw in items]
        return in_json({"Items": items, "Cosine": snapshot.cosine(index)})

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


def named(ids: Any, score: Tensor, index: Tensor) -> list[Entry]:
    """Neighbours by their raw ids."""
    pairs = zip(index.tolist(), score.tolist(), strict=True)
    return [Entry(ids[i], s, NEIGHBORS) for i, s in pairs]


def check_list(request: Request, known: str) -> None:
    """Refuses lists of another name than the one there is."""
    name = request.path_params["name"]
    if name != known:
        raise refuse(f"Expected the list '{known}' (got {shown(name)})", 404)
