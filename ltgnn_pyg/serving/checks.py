"""What comes from outside, looked at once, at the door."""

import json
import math
import re
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import QueryParams

from ltgnn_pyg.serving.feedback_store import Feedback
from ltgnn_pyg.serving.snapshot import Snapshot

MAX_BODY = 2**20  #: Bytes.
MAX_ID = 256  #: Characters.
MAX_N, MAX_OFFSET = 1000, 10_000  #: Of a list.
INTEGER = re.compile("[0-9]{1,13}")
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


class Page(NamedTuple):
    """Which part of a list is asked for."""

    n: int
    offset: int
    relevance: float


def check_page(request: Request, *names: str) -> Page:
    """The parameters of a list; others, which would have no effect, are refused.

    Args:
        request (Request): The request.
        *names (str): What it may bring beside :obj:`n` and :obj:`offset`.
    """
    given = check_names(request, "n", "offset", *names)
    return Page(
        _integer("n", given.get("n", "10"), 1, MAX_N),
        _integer("offset", given.get("offset", "0"), 0, MAX_OFFSET),
        _share("lambda", given.get("lambda", "1")),
    )


def check_cursor(request: Request) -> tuple[int, int]:
    """How many users or items are asked for, and from where on."""
    given = check_names(request, "n", "cursor")
    cursor = given.get("cursor") or "0"
    number = _integer("n", given.get("n", "10"), 1, MAX_N)
    return number, _integer("cursor", cursor, 0, 2**40)


def check_names(request: Request, *names: str) -> QueryParams:
    """The parameters of a request, if it has no others than these."""
    given = request.query_params
    for name in given:
        if name not in names:
            may = f"the parameters {', '.join(names)}" if names else "no parameter"
            raise refuse(f"Expected {may} (got {shown(name)}); leave it out")
    return given


def _integer(name: str, text: str, low: int, high: int) -> int:
    value = int(text) if INTEGER.fullmatch(text) else -1
    if not low <= value <= high:
        raise refuse(
            f"Expected '{name}' as a whole number from {low} to {high} (got "
            f"{shown(text)})"
        )
    return value


def _share(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise refuse(f"Expected '{name}' as a number from 0 to 1 (got {shown(text)})")
    return value


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
