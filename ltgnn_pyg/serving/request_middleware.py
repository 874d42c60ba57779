"""The way of every request in and of every answer out."""

import hmac
import json
import logging
from time import perf_counter
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from ltgnn_pyg.serving.metrics import Metrics
from ltgnn_pyg.serving.snapshot import Snapshot
from ltgnn_pyg.serving.snapshot_watcher import SnapshotWatcher

FREE = frozenset({"/", "/health/live", "/health/ready"})  #: Without a key.
log = logging.getLogger("ltgnn_pyg.serving")


class RequestMiddleware:
    """Asks for the key, hands each request the version it is answered from, names that
    on the answer, counts it, and turns what nobody caught into a sentence.

    Args:
        app (callable): The ASGI application behind it.
        watcher (SnapshotWatcher): The version that is served.
        metrics (Metrics): The counts of answers.
        api_key (str, optional): The key, in header :obj:`X-API-Key`.
            (default: :obj:`None`)
    """

    def __init__(
        self,
        app: Any,
        watcher: SnapshotWatcher,
        metrics: Metrics,
        api_key: str | None = None,
    ) -> None:
        self.app, self.watcher, self.metrics = app, watcher, metrics
        self.key = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 0
        snapshot = scope["snapshot"] = self.watcher.snapshot
        version = b"none" if snapshot is None else snapshot.version.encode()

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-model-version", version),
                ]
            await send(message)

        path = scope["path"]
        try:
            if self._may_pass(path, scope["headers"]):
                await self.app(scope, receive, answer)
            else:
                await _say(answer, 401, "Expected the key in 'X-API-Key'")
        except Exception:
            log.exception("An error in answering %s", ascii(path))
            if status:  # Half an answer cannot be mended.
                raise
            await _say(answer, 500, "Something went wrong here; the log says what")
        finally:
            self.metrics.count(path, status or 500, perf_counter() - start)

    def _may_pass(self, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
        if self.key is None or path in FREE:
            return True
        given = next((v for k, v in headers if k == b"x-api-key"), b"")
        return hmac.compare_digest(given, self.key)


async def loaded(request: Request) -> Snapshot:
    """The version a request was handed when it entered.

    Raises:
        HTTPException: If there is none yet.
    """
    snapshot: Snapshot | None = request.scope["snapshot"]
    if snapshot is None:
        raise HTTPException(
            503, "No model is loaded yet; try again", {"Retry-After": "1"}
        )
    return snapshot


Loaded = Annotated[Snapshot, Depends(loaded)]


async def _say(send: Any, status: int, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    start = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
