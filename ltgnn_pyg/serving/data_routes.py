"""The paths that take feedback in, and name users and items."""

from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request

from ltgnn_pyg.serving.checks import (
    check_id,
    check_names,
    parse_feedback,
    read_json,
    refuse,
    shown,
    snapshot_of,
)
from ltgnn_pyg.serving.list_routes import FEEDBACK, N, body_of
from ltgnn_pyg.serving.live import Live

Cursor = Annotated[str, Query(pattern=r"^[0-9]{0,12}$", description="Where to go on")]


def data_routes(live: Live) -> APIRouter:
    """Makes the paths.

    Args:
        live (Live): What came after the model, and its store.
    """
    router = APIRouter(prefix="/api", tags=["data"])
    # Who waits for the disk does not keep others from ranking.
    writers = CapacityLimiter(4)

    async def insert(request: Request, overwrite: bool) -> dict[str, int]:
        check_names(request, frozenset())
        rows = parse_feedback(await read_json(request))
        count = await run_sync(live.store.insert, rows, overwrite, limiter=writers)
        return {"RowAffected": count}

    @router.post(
        "/feedback",
        summary="Adds feedback; what is there already stays",
        openapi_extra=body_of(FEEDBACK),
    )
    async def insert_feedback(request: Request) -> dict[str, int]:
        return await insert(request, False)

    @router.put(
        "/feedback",
        summary="Adds feedback; what is there already is overwritten",
        openapi_extra=body_of(FEEDBACK),
    )
    async def overwrite_feedback(request: Request) -> dict[str, int]:
        return await insert(request, True)

    @router.get("/users", summary="The users of the model")
    def get_users(request: Request, n: N = 10, cursor: Cursor = "") -> dict[str, Any]:
        check_names(request, frozenset({"n", "cursor"}))
        names, after = page(snapshot_of(request).user_ids, n, cursor)
        return {"Cursor": after, "Users": [{"UserId": raw} for raw in names]}

    @router.get("/items", summary="The items of the model")
    def get_items(request: Request, n: N = 10, cursor: Cursor = "") -> dict[str, Any]:
        check_names(request, frozenset({"n", "cursor"}))
        names, after = page(snapshot_of(request).item_ids, n, cursor)
        live.follow_hidden()
        items = [{"ItemId": raw, "IsHidden": raw in live.hidden} for raw in names]
        return {"Cursor": after, "Items": items}

    @router.get("/item/{item_id:path}", summary="An item")
    def get_item(
        request: Request, item: Annotated[str, Path(alias="item_id")]
    ) -> dict[str, Any]:
        check_known(request, item)
        live.follow_hidden()
        return {"ItemId": item, "IsHidden": item in live.hidden}

    schema = {"type": "object", "properties": {"IsHidden": {"type": "boolean"}}}

    @router.patch(
        "/item/{item_id:path}",
        summary="Hides an item from all lists, or brings it back",
        openapi_extra=body_of(schema),
    )
    async def patch_item(
        request: Request, item: Annotated[str, Path(alias="item_id")]
    ) -> dict[str, int]:
        body = await read_json(request)
        if not isinstance(body, dict) or set(body) != {"IsHidden"}:
            raise refuse(
                f"Expected an object with 'IsHidden' alone (got {shown(body)})"
            )
        if not isinstance(body["IsHidden"], bool):
            got = shown(body["IsHidden"])
            raise refuse(f"Expected 'IsHidden' as true or false (got {got})")

        def hide() -> None:
            check_known(request, item)
            live.store.hide(item, body["IsHidden"])

        await run_sync(hide, limiter=writers)
        return {"RowAffected": 1}

    def check_known(request: Request, item: str) -> None:
        if not live.is_known(check_id("item_id", item), snapshot_of(request)):
            raise refuse(f"Expected a known item (got {shown(item)})", 404)

    return router


def page(ids: Any, n: int, cursor: str) -> tuple[list[str], str]:
    """Some ids, and where the next ones start; empty after the last."""
    start = int(cursor or 0)
    stop = min(start + n, len(ids))
    names = [ids[i] for i in range(start, stop)]
    return names, str(stop) if stop < len(ids) else ""
