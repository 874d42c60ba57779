r"""The columns of a file or a frame: which is the users', the items', the times'."""

from __future__ import annotations

from collections.abc import Mapping

KEYS = ("user", "item", "rating", "time", "weight", "behavior")
IDS = ("user", "item", "behavior")  # The keys that are numbered.
USUAL: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "user", "userid"),
    "item": ("item_id", "item", "itemid"),
    "rating": ("rating",),
    "time": ("timestamp", "time"),
    "weight": (),  # What changes the objective or the graph is asked for.
    "behavior": (),
}


def choose_columns(
    path: str, names: list[str], asked: Mapping[str, str | None]
) -> dict[str, str]:
    r"""The column of each key: the one that is asked for, or else of a usual name."""
    usual = {name.lower(): name for name in reversed(names)}
    columns: dict[str, str] = {}
    for key, name in asked.items():
        if name is None:
            name = next((usual[n] for n in USUAL[key] if n in usual), None)
            if name is not None and name in asked.values():
                name = None  # It is asked for as another.
        elif name not in names:
            raise ValueError(
                f"{path}: Expected a column {name!r} (got the columns {names}); pass "
                f"{key}= one of them"
            )
        if name is None:
            if key in ("user", "item"):
                hint = " or, if these are data, names= of all columns"
                raise ValueError(
                    f"{path}: Expected a column named one of {list(USUAL[key])} (got "
                    f"the columns {names}); pass {key}= one of them"
                    f"{hint if any(n.isdigit() for n in names) else ''}"
                )
            continue
        other = next((k for k, n in columns.items() if n == name), None)
        if other is not None:
            raise ValueError(
                f"{path}: Expected a column each for {other} and {key} (got {name!r} "
                f"for both); pass another of {names}"
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{path}: Expected one column {name!r} (got {names.count(name)}); "
                f"rename the others"
            )
        columns[key] = name
    return columns


def check_same(
    path: str, columns: Mapping[str, str], first: str, before: Mapping[str, str]
) -> None:
    r"""Refuses a file whose columns are not those of the first."""
    if columns != before:
        raise ValueError(
            f"{path}: Expected the same columns in all files (got {columns} and, in "
            f"{first}, {before}); name them with user=, item=, rating= and time=, or "
            f"read the files apart"
        )
