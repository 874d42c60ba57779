"""The paths that take feedback in, and name users and items."""

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from ltgnn_pyg.runs.run_folder import Ids
from ltgnn_pyg.serving.checks import (
    check_cursor,
    check_id,
    check_names,
    parse_feedback,
    read_json,
    refuse,
    shown,
    snapshot_of,
)
from ltgnn_pyg.serving.document import CURSOR, FEEDBACK, HIDDEN, N, describe
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.list_routes import in_json


def data_routes(counts: FeedbackCounts) -> APIRouter:
    """Makes the paths.

    Args:
        counts (FeedbackCounts): What came after the model, and its store.
    """
    router = APIRouter(prefix="/api", tags=["data"])
    # Who waits for the disk does not keep others from ranking.
    writers = CapacityLimiter(4)

    @router.post(
        "/feedback",
        summary="Adds feedback; what is there already stays",
        openapi_extra=describe(body=FEEDBACK),
    )
    async def insert_feedback(request: Request) -> Response:
        return await insert(request, overwrite=False)

    @router.put(
        "/feedback",
        summary="Adds feedback, over what is there already",
        openapi_extra=describe(body=FEEDBACK),
    )
    async def overwrite_feedback(request: Request) -> Response:
        return await insert(request, overwrite=True)

    async def insert(request: Request, overwrite: bool) -> Response:
        check_names(request)
        rows = parse_feedback(await read_json(request))
        count = await run_sync(counts.store.insert, rows, overwrite, limiter=writers)
        return in_json({"RowAffected": count})

    @router.get(
        "/users", summary="The users of the model", openapi_extra=describe(N, CURSOR)
    )
    async def get_users(request: Request) -> Response:
        names, after = page(snapshot_of(request).user_ids, *check_cursor(request))
        return in_json({"Cursor": after, "Users": [{"UserId": raw} for raw in names]})

    @router.get(
        "/items", summary="The items of the model", openapi_extra=describe(N, CURSOR)
    )
    async def get_items(request: Request) -> Response:
        names, after = page(snapshot_of(request).item_ids, *check_cursor(request))
        counts.follow_hidden()
        items = [{"ItemId": raw, "IsHidden": raw in counts.hidden} for raw in names]
        return in_json({"Cursor": after, "Items": items})

    @router.get(
        "/item/{item_id:path}",
        summary="An item",
        openapi_extra=describe(path="item_id"),
    )
    async def get_item(request: Request) -> Response:
        check_names(request)
        item = known_item(request)
        counts.follow_hidden()
        return in_json({"ItemId": item, "IsHidden": item in counts.hidden})

    @router.patch(
        "/item/{item_id:path}",
        summary="Hides an item, or brings it back",
        openapi_extra=describe(path="item_id", body=HIDDEN),
    )
    async def patch_item(request: Request) -> Response:
        check_names(request)
        body, item = await read_json(request), known_item(request)
        if not isinstance(body, dict) or set(body) != {"IsHidden"}:
            raise refuse(f"Expected an object with 'IsHidden' only (got {shown(body)})")
        is_hidden = body["IsHidden"]
        if not isinstance(is_hidden, bool):
            raise refuse(
                f"Expected 'IsHidden' as true or false (got {shown(is_hidden)})"
            )
        await run_sync(counts.store.hide, item, is_hidden, limiter=writers)
        return in_json({"RowAffected": 1})

    def known_item(request: Request) -> str:
        item = check_id("item_id", request.path_params["item_id"])
        if not counts.is_known(item, snapshot_of(request)):
            raise refuse(f"Expected a known item (got {shown(item)})", 404)
        return item

    return router


def page(ids: Ids, n: int, start: int) -> tuple[list[str], str]:
    """Some ids, and where the next ones start; empty after the last."""
    stop = min(start + n, len(ids))
    names = [ids[i] for i in range(start, stop)]
    return names, str(stop) if stop < len(ids) else ""
