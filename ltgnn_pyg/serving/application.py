"""The application: its paths, and all that they share."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from ltgnn_pyg.serving.data_routes import data_routes
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.feedback_store import FeedbackStore
from ltgnn_pyg.serving.list_routes import list_routes
from ltgnn_pyg.serving.metrics import Metrics
from ltgnn_pyg.serving.refusal import on_invalid, on_refused
from ltgnn_pyg.serving.request_middleware import Loaded, RequestMiddleware
from ltgnn_pyg.serving.snapshot_watcher import SnapshotWatcher
from ltgnn_pyg.serving.versions import is_store
from ltgnn_pyg.version import __version__

DEMO = Path(__file__).with_name("demo.html")


def application(
    path: str | os.PathLike[str],
    api_key: str | None = None,
    num_threads: int | None = None,
) -> FastAPI:
    """See :func:`~ltgnn_pyg.serving.create_app`.

    Args:
        path (str): The folder of a run, or of versions.
        api_key (str, optional): The key that requests must bring.
            (default: :obj:`None`)
        num_threads (int, optional): The number of lists made at a time; more wait in a
            row. If :obj:`None`, that of the cores. (default: :obj:`None`)
    """
    is_store(Path(path))
    counts = FeedbackCounts(FeedbackStore(path))
    watcher, metrics = SnapshotWatcher(path, counts), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_sync(watcher.look)  # Nobody is let in before a model is there.
        watcher.start()
        yield
        watcher.stop()

    app = FastAPI(title="ltgnn_pyg", version=__version__, lifespan=lifespan)
    app.exception_handler(RequestValidationError)(on_invalid)
    app.exception_handler(HTTPException)(on_refused)
    app.add_middleware(
        RequestMiddleware, watcher=watcher, metrics=metrics, api_key=api_key
    )
    app.include_router(list_routes(counts, num_threads or os.cpu_count() or 1))
    app.include_router(data_routes(counts))
    page = DEMO.read_bytes()

    @app.get("/", include_in_schema=False)
    async def demo() -> Response:
        return HTMLResponse(page)

    @app.get("/health/live", tags=["health"], summary="Answers if the server runs")
    async def is_live() -> dict[str, bool]:
        return {"Live": True}

    @app.get("/health/ready", tags=["health"], summary="Answers if a model is loaded")
    async def is_ready(snapshot: Loaded) -> dict[str, bool]:
        return {"Ready": True}

    @app.get("/metrics", tags=["health"], summary="Figures for Prometheus")
    async def get_metrics(request: Request) -> Response:
        snapshot = request.scope["snapshot"]
        version = "none" if snapshot is None else snapshot.version
        return Response(
            metrics.text(version, counts.num_feedback), media_type=CONTENT_TYPE_LATEST
        )

    return app
