"""The declaration of requests and answers: checks, refusals and /docs come from it."""

import re
import time
from datetime import datetime, timezone
from typing import Annotated, Literal

from fastapi import Body, Header, Path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StrictBool,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

MAX_ID = 256  #: Characters.
MAX_COMPARED = 100  #: Items whose cosines are asked for.
DIGITS = re.compile("[0-9]{1,13}")
TEXT = r"^[^\x00-\x1f\x7f-\x9f]*$"  #: Without control characters.


def digits(text: str) -> str:
    """A whole number as it is written, and in no other way that Python would take."""
    if not DIGITS.fullmatch(text):
        raise PydanticKnownError("int_parsing")
    return text


def seconds(value: str | None) -> float:
    """An ISO 8601 time in seconds since 1970, now where there is none."""
    if value is None or value == "":
        return time.time()
    try:
        when = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        return when.timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        message = "as in '2026-01-31T12:00:00Z'"
        raise PydanticCustomError("timestamp", message) from error


STRICT = ConfigDict(extra="forbid")  # What would have no effect is refused.
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=TEXT)]
UserId = Annotated[Id, Path()]
ItemId = Annotated[Id, Path()]
Neighbors = Annotated[Literal["neighbors"], Path()]
Popular = Annotated[Literal["popular"], Path()]
Version = Annotated[
    str,
    Header(
        alias="X-API-Version",
        description="2 for scores and sources in place of ids alone",
    ),
]
Num = Annotated[  # Validators come last, or the bounds would be none of the type's.
    int,
    Field(ge=1, le=1000, description="The length of the list"),
    BeforeValidator(digits),
]
Offset = Annotated[
    int,
    Field(ge=0, le=10_000, description="The number of the first left out"),
    BeforeValidator(digits),
]
Cursor = Annotated[
    int,
    Field(ge=0, le=2**40, description="The start, from the answer before"),
    BeforeValidator(lambda text: digits(text or "0")),
    WithJsonSchema({"type": "string"}),
]
Relevance = Annotated[
    float,
    Field(
        alias="lambda",
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="1 for the best scores, less for a more diverse list",
    ),
]
Value = Annotated[float, Field(alias="Value", strict=True, allow_inf_nan=False)]
Time = Annotated[
    float,
    Field(alias="Timestamp", default_factory=time.time),
    BeforeValidator(seconds),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class NoParameters(BaseModel):
    """The parameters of a path that takes none."""

    model_config = STRICT


class Page(BaseModel):
    """The part of a list that is asked for."""

    model_config = STRICT
    n: Num = 10
    offset: Offset = 0


class DiversePage(BaseModel):
    """The part of a list that is asked for, and its diversity."""

    model_config = STRICT
    n: Num = 10
    offset: Offset = 0
    relevance: Relevance = 1.0


class CursorPage(BaseModel):
    """The part of all users or items that is asked for."""

    model_config = STRICT
    n: Num = 10
    cursor: Cursor = 0


class Feedback(BaseModel):
    """An act of a user on an item, at a time in seconds since 1970."""

    type: Id = Field(alias="FeedbackType", examples=["like"])
    user: Id = Field(alias="UserId")
    item: Id = Field(alias="ItemId")
    value: Value = 0.0
    time: Time


class SessionFeedback(BaseModel):
    """An act of somebody on an item, which is not kept."""

    type: Id = Field(alias="FeedbackType", examples=["like"])
    user: str = Field("", alias="UserId", max_length=MAX_ID, pattern=TEXT)
    item: Id = Field(alias="ItemId")
    value: Value = 0.0
    time: Time


class Hidden(BaseModel):
    """The state of an item: in no list, or in all."""

    model_config = STRICT
    IsHidden: StrictBool


FeedbackRows = Annotated[list[Feedback], FailFast()]
SessionRows = Annotated[list[SessionFeedback], FailFast()]
Compared = Annotated[list[Id], FailFast(), Body(min_length=1, max_length=MAX_COMPARED)]


class Scored(BaseModel):
    """An item or a user of a list, and its source."""

    Id: str
    Score: float
    Source: str


class Affected(BaseModel):
    """The number of rows that were added or overwritten."""

    RowAffected: int


class Item(BaseModel):
    """An item of the model, or of feedback."""

    ItemId: str
    IsHidden: bool


class Items(BaseModel):
    """A part of all items, and the start of the next one; empty after the last."""

    Cursor: str
    Items: list[Item]


class User(BaseModel):
    """A user of the model."""

    UserId: str


class Users(BaseModel):
    """A part of all users, and the start of the next one; empty after the last."""

    Cursor: str
    Users: list[User]


class Cosines(BaseModel):
    """The cosines of items, none for those the model does not know."""

    Items: list[str]
    Cosine: list[list[float | None]]
