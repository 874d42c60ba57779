"""Refusals: one sentence each, in one form."""

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException as AnyHTTPException

#: The end of a sentence by the type of pydantic's error; others bring their own.
EXPECTED = {
    "bool_type": "as true or false",
    "finite_number": "as a finite number",
    "float_parsing": "as a number",
    "float_type": "as a number",
    "greater_than_equal": "as a number from {ge:.13g} on",
    "int_parsing": "as a whole number",
    "less_than_equal": "as a number up to {le:.13g}",
    "list_type": "as a list",
    "literal_error": "as {expected}",
    "model_attributes_type": "as an object",
    "string_pattern_mismatch": "without control characters",
    "string_too_long": "of at most {max_length} characters",
    "string_too_short": "of at least {min_length} character",
    "string_type": "as a string",
    "string_unicode": "without half characters",
    "too_long": "of at most {max_length} rows",
    "too_short": "of at least {min_length} row",
}


class Refusal(BaseModel):
    """The body of an answer that refuses."""

    error: str


def refuse(message: str, status: int = 400) -> HTTPException:
    """The error that answers a bad request with a sentence."""
    return HTTPException(status, message)


def shown(value: object) -> str:
    """A value as errors show it: short, and without control characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def sentence(error: ErrorDetails) -> str:
    """An error of pydantic's in the form of this package."""
    where = [shown(x) if isinstance(x, str) else f"row {x}" for x in error["loc"][1:]]
    name, kind = " of ".join(reversed(where)) or "a body", error["type"]
    if kind == "extra_forbidden":
        return f"Expected no {name} (got {shown(error['input'])}); leave it out"
    if kind == "missing":
        return f"Expected {name} (got none)"
    form = EXPECTED.get(kind)
    expected = error["msg"] if form is None else form.format(**error.get("ctx", {}))
    return f"Expected {name} {expected} (got {shown(error['input'])})"


async def on_invalid(request: Request, error: RequestValidationError) -> Response:
    """Answers what does not fit its declaration: 400, or 404 where no such list is."""
    first: ErrorDetails = error.errors()[0]
    is_path = first["loc"][0] == "path" and first["type"] == "literal_error"
    return JSONResponse({"error": sentence(first)}, 404 if is_path else 400)


async def on_refused(request: Request, error: AnyHTTPException) -> Response:
    """Answers what was refused by hand, or by the routes."""
    message = error.detail
    if error.status_code == 404 and message == "Not Found":
        message = f"Expected a path of /docs (got {shown(request.url.path)})"
    if error.status_code == 405:
        message = f"Expected another method than {shown(request.method)} here"
    return JSONResponse({"error": message}, error.status_code, error.headers)
