"""The paths that take feedback in, and name users and items."""

from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

from ltgnn_pyg.runs import Ids
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.json_route import JsonRoute
from ltgnn_pyg.serving.list_routes import REFUSALS, in_json
from ltgnn_pyg.serving.refusal import refuse, shown
from ltgnn_pyg.serving.request_middleware import Loaded
from ltgnn_pyg.serving.schema import (
    Affected,
    CursorPage,
    FeedbackRows,
    Hidden,
    Item,
    ItemId,
    Items,
    NoParameters,
    Users,
)
from ltgnn_pyg.serving.snapshot import Snapshot

All = Annotated[CursorPage, Query()]
Empty = Annotated[NoParameters, Query()]


def data_routes(counts: FeedbackCounts) -> APIRouter:
    """Makes the paths.

    Args:
        counts (FeedbackCounts): The part of the store that lists are made of.
    """
    router = APIRouter(
        prefix="/api", tags=["data"], route_class=JsonRoute, responses=REFUSALS
    )
    # Who waits for the disk does not keep others from ranking.
    writers = CapacityLimiter(4)

    @router.post(
        "/feedback",
        summary="Adds feedback; what is there already stays",
        response_model=Affected,
    )
    async def insert_feedback(rows: FeedbackRows, query: Empty) -> Response:
        return await insert(rows, overwrite=False)

    @router.put(
        "/feedback",
        summary="Adds feedback, over what is there already",
        response_model=Affected,
    )
    async def overwrite_feedback(rows: FeedbackRows, query: Empty) -> Response:
        return await insert(rows, overwrite=True)

    async def insert(rows: FeedbackRows, overwrite: bool) -> Response:
        count = await run_sync(counts.store.insert, rows, overwrite, limiter=writers)
        return in_json({"RowAffected": count})

    @router.get("/users", summary="The users of the model", response_model=Users)
    async def get_users(snapshot: Loaded, query: All) -> Response:
        names, after = page(snapshot.user_ids, query.n, query.cursor)
        return in_json({"Cursor": after, "Users": [{"UserId": raw} for raw in names]})

    @router.get("/items", summary="The items of the model", response_model=Items)
    async def get_items(snapshot: Loaded, query: All) -> Response:
        names, after = page(snapshot.item_ids, query.n, query.cursor)
        counts.follow_hidden()
        items = [{"ItemId": raw, "IsHidden": raw in counts.hidden} for raw in names]
        return in_json({"Cursor": after, "Items": items})

    @router.get("/item/{item_id:path}", summary="An item", response_model=Item)
    async def get_item(snapshot: Loaded, item_id: ItemId, query: Empty) -> Response:
        check_known(item_id, snapshot)
        counts.follow_hidden()
        return in_json({"ItemId": item_id, "IsHidden": item_id in counts.hidden})

    @router.patch(
        "/item/{item_id:path}",
        summary="Hides an item, or brings it back",
        response_model=Affected,
    )
    async def patch_item(
        snapshot: Loaded, item_id: ItemId, body: Hidden, query: Empty
    ) -> Response:
        check_known(item_id, snapshot)
        hide = counts.store.hide
        await run_sync(hide, item_id, body.IsHidden, limiter=writers)
        return in_json({"RowAffected": 1})

    def check_known(item: str, snapshot: Snapshot) -> None:
        if not counts.is_known(item, snapshot):
            raise refuse(f"Expected a known item (got {shown(item)})", 404)

    return router


def page(ids: Ids, n: int, start: int) -> tuple[list[str], str]:
    """Some ids, and the start of the next ones; empty after the last."""
    stop = min(start + n, len(ids))
    names = [ids[i] for i in range(start, stop)]
    return names, str(stop) if stop < len(ids) else ""
