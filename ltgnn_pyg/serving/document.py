"""What /docs says of parameters and bodies, which are read by hand."""

from typing import Any

Schema = dict[str, Any]


def _query(name: str, about: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": about, "schema": schema}


N = _query("n", "How many", {"type": "integer", "minimum": 1, "maximum": 1000,
                             "default": 10})  # fmt: skip
OFFSET = _query("offset", "How many of the first to leave out",
                {"type": "integer", "minimum": 0, "maximum": 10_000,
                 "default": 0})  # fmt: skip
CURSOR = _query("cursor", "Where to go on, from the answer before", {"type": "string"})
LAMBDA = _query("lambda", "1 for the best scores, less for a more diverse list",
                {"type": "number", "minimum": 0, "maximum": 1,
                 "default": 1})  # fmt: skip
VERSION = {
    "name": "X-API-Version", "in": "header", "schema": {"type": "string"},
    "description": "2 for scores and sources in place of ids alone",
}  # fmt: skip
PAGE = (N, OFFSET)
FEEDBACK: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["FeedbackType", "UserId", "ItemId"],
        "properties": {
            "FeedbackType": {"type": "string", "example": "like"},
            "UserId": {"type": "string"},
            "ItemId": {"type": "string"},
            "Value": {"type": "number", "default": 0},
            "Timestamp": {"type": "string", "format": "date-time"},
        },
    },
}
NAMES: Schema = {"type": "array", "items": {"type": "string"}, "maxItems": 100}
HIDDEN: Schema = {
    "type": "object",
    "required": ["IsHidden"],
    "properties": {"IsHidden": {"type": "boolean"}},
}


def describe(
    *parameters: Schema,
    path: str | None = None,
    name: str | None = None,
    body: Schema | None = None,
) -> Schema:
    """The description of a path.

    Args:
        *parameters (dict): Its parameters.
        path (str, optional): The id in it. (default: :obj:`None`)
        name (str, optional): The only name of a list in it. (default: :obj:`None`)
        body (dict, optional): The schema of its body. (default: :obj:`None`)
    """
    inside = {"in": "path", "required": True}
    named = []
    if name is not None:
        schema = {"type": "string", "enum": [name]}
        named.append({"name": "name", "schema": schema, **inside})
    if path is not None:
        named.append({"name": path, "schema": {"type": "string"}, **inside})
    out: Schema = {"parameters": [*named, *parameters]}
    if body is not None:
        content = {"application/json": {"schema": body}}
        out["requestBody"] = {"required": True, "content": content}
    return out
