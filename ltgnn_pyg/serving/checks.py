"""What comes from outside, looked at once, at the door."""

import json
import math
import re
import time
from datetime import datetime, timezone
from typing import Any

from fastapi import HTTPException, Request

from ltgnn_pyg.serving.feedback_store import Feedback
from ltgnn_pyg.serving.snapshot import Snapshot

MAX_BODY = 2**20  #: Bytes.
MAX_ID = 256  #: Characters.
BAD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Controls, half characters.


def refuse(message: str, status: int = 400) -> HTTPException:
    """The error that answers a bad request with a sentence."""
    return HTTPException(status, message)


def snapshot_of(request: Request) -> Snapshot:
    """The version a request was handed when it entered."""
    snapshot: Snapshot | None = request.scope["snapshot"]
    if snapshot is None:
        raise HTTPException(
            503, "No model is loaded yet; try again", {"Retry-After": "1"}
        )
    return snapshot


def shown(value: object) -> str:
    """A value as errors show it: short, and without control characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_id(name: str, value: object) -> str:
    """An id: a short string that can be read."""
    if not isinstance(value, str):
        raise refuse(f"Expected '{name}' as a string (got {shown(value)})")
    if not 1 <= len(value) <= MAX_ID or BAD.search(value):
        raise refuse(
            f"Expected '{name}' of 1 to {MAX_ID} characters without control "
            f"characters (got {shown(value)})"
        )
    return value


def check_names(request: Request, names: frozenset[str]) -> None:
    """Refuses parameters that would have no effect."""
    for name in request.query_params:
        if name not in names:
            raise refuse(
                f"Expected the parameters {', '.join(sorted(names))} (got "
                f"{shown(name)}); leave it out"
            )


async def read_json(request: Request) -> Any:
    """The body of a request, no larger than a body may be."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":  # Also what a foreign page cannot send unasked.
        raise refuse("Expected a body with 'Content-Type: application/json'", 415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise refuse(f"Expected a body of at most {MAX_BODY} bytes; split it", 413)
    try:
        return json.loads(body.decode(), parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "not JSON"
        raise refuse(f"Expected a body in JSON, as UTF-8 ({reason})") from error


def _not_finite(name: str) -> float:
    raise ValueError(name)


def parse_feedback(body: Any, with_user: bool = True) -> list[Feedback]:
    """The feedback of a body: a list of :obj:`FeedbackType`, :obj:`UserId`,
    :obj:`ItemId`, and :obj:`Value` (0) and :obj:`Timestamp` (now) if they are given.
    """
    if not isinstance(body, list):
        raise refuse(f"Expected a list of feedback (got {shown(body)})")
    return [_parse_row(row, with_user) for row in body]


def _parse_row(row: Any, with_user: bool) -> Feedback:
    if not isinstance(row, dict):
        raise refuse(f"Expected feedback as an object (got {shown(row)})")
    user = row.get("UserId") if with_user else row.get("UserId", "session")
    return Feedback(
        check_id("FeedbackType", row.get("FeedbackType")),
        check_id("UserId", user) if user != "" or with_user else "session",
        check_id("ItemId", row.get("ItemId")),
        _number(row.get("Value", 0.0)),
        _seconds(row.get("Timestamp")),
    )


def _number(value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except (TypeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise refuse(f"Expected 'Value' as a finite number (got {shown(value)})")
    return number


def _seconds(value: Any) -> float:
    if value is None or value == "":
        return time.time()
    try:
        when = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        return when.timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise refuse(
            f"Expected 'Timestamp' as in '2026-01-31T12:00:00Z' (got {shown(value)})"
        ) from error
