"""Bodies of requests: JSON, no larger than they may be, read once."""

import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from ltgnn_pyg.serving.refusal import refuse

MAX_BODY = 2**20  #: Bytes.


class JsonRequest(Request):
    """A request whose body is JSON, as UTF-8, or refused."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The parts of the body, as long as they are not too many."""
        kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":  # Also what a foreign page cannot send unasked.
            raise refuse("Expected a body with 'Content-Type: application/json'", 415)
        size = 0
        async for part in super().stream():
            size += len(part)
            if size > MAX_BODY:
                raise refuse(
                    f"Expected a body of at most {MAX_BODY} bytes; split it", 413
                )
            yield part

    async def json(self) -> Any:
        """The body as values, without numbers that are none."""
        try:
            return json.loads((await self.body()).decode(), parse_constant=_not_finite)
        except (ValueError, RecursionError) as error:
            is_json = isinstance(error, json.JSONDecodeError)
            reason = str(error) if is_json else "not JSON"
            raise refuse(f"Expected a body in JSON, as UTF-8 ({reason})") from error


class JsonRoute(APIRoute):
    """A path whose body, if it takes one, is read by :class:`JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function that answers."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer

        async def answer_json(request: Request) -> Response:
            return await answer(JsonRequest(request.scope, request.receive))

        return answer_json


def _not_finite(name: str) -> float:
    raise ValueError(name)
