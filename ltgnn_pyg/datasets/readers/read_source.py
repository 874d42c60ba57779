r"""The one way from a source of columns to interactions, in memory or in a folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.column_names import IDS
from ltgnn_pyg.datasets.readers.column_values import (
    INTEGER,
    Wrong,
    as_integers,
    filled,
    to_float,
    to_id,
    to_time,
    to_weight,
)
from ltgnn_pyg.datasets.readers.sink import Sink
from ltgnn_pyg.datasets.readers.source import Restart, Source, Unreadable

S = TypeVar("S", bound=Sink)
DUPLICATES = ("error", "drop", "count", "keep")


class _LeftOut(Exception):
    r"""A column of numbers cannot be read and is not needed."""


def read_source(
    source: Source,
    make_sink: Callable[[], S],
    needed: Collection[str],
    min_rating: float | None,
    duplicates: str,
) -> tuple[Interactions, S]:
    r"""Reads a source into a sink and treats repeated pairs.

    Args:
        source (Source): The source.
        make_sink (callable): Makes an empty sink, anew if the source has to be read
            once more.
        needed (Collection[str]): The keys of columns that must be readable; others
            are left out with a warning if they are not.
        min_rating (float, optional): Drops interactions rated lower.
        duplicates (str): One of :obj:`DUPLICATES`.

    *Cost:* linear in the source but for sorts of the distinct ids and of the pairs.
    """
    if min_rating is not None and "rating" not in source.columns:
        raise ValueError(
            f"{source.name}: Expected ratings to compare with min_rating (got none); "
            f"pass rating= the name of their column"
        )
    while True:
        sink = make_sink()
        reading = _Reading(source, sink, needed, min_rating)
        try:
            reading.run()
        except (Restart, _LeftOut) as error:
            sink.close()
            if error.args:
                warnings.warn(error.args[0], stacklevel=3)
            continue
        except BaseException:
            sink.close()
            raise
        break
    try:
        unit = source.time_unit if "time" in source.columns else None
        out = sink.finish(reading.integers, unit)
        return _treat_repeated(out, sink, source, duplicates), sink
    except BaseException:
        sink.close()
        raise


def needed_keys(
    asked: Mapping[str, str | None], named: bool, min_rating: float | None
) -> set[str]:
    r"""The keys of columns that must be readable."""
    needed = {key for key in asked if asked[key] or named} | {"user", "item"}
    return needed | ({"rating"} if min_rating is not None else set())


class _Reading:
    # One pass over a source.
    def __init__(
        self,
        source: Source,
        sink: Sink,
        needed: Collection[str],
        min_rating: float | None,
    ) -> None:
        self.source, self.sink = source, sink
        self.needed, self.min_rating = {*needed, *source.needed}, min_rating
        self.integers = {key: True for key in IDS}
        self.negative: dict[str, tuple[int, int]] = {}  # First row with one, the id.
        self.first = {} if source.headed else {key: _FirstId() for key in IDS[:2]}
        self.num, self.num_kept, self.most = 0, 0, -np.inf

    def run(self) -> None:
        try:
            for batch in self.source.batches():
                self._take(batch)
        except Unreadable as error:
            self._refuse(*error.args)
        for key, (row, got) in self.negative.items():
            if self.integers[key] and key != "behavior":
                self._refuse(key, row, "ids >= 0", got)
        if self.num == 0:
            raise ValueError(
                f"{self.source.name}: Expected interactions (got column names alone); "
                f"fetch it again"
            )
        if self.num_kept == 0:
            raise ValueError(
                f"{self.source.name}: Expected ratings >= {self.min_rating} (got at "
                f"most {self.most}); lower min_rating"
            )
        odd = [first.num_others for first in self.first.values() if first.is_odd]
        if len(odd) == 2 or max(odd, default=0) >= 10:
            raise self.source.first_error()

    def _take(self, batch: dict[str, pa.Array]) -> None:
        fields: dict[str, Any] = {}
        for key, column in batch.items():
            try:
                fields[key] = self._convert(key, filled(column))
            except Wrong as wrong:
                row, expected, got = wrong.args
                self._refuse(key, row, expected, got, self.num)
        self._check_no_names(fields)
        num = len(fields["user"])
        start, self.num = self.num, self.num + num
        if self.min_rating is not None and num:
            self.most = max(self.most, float(fields["rating"].max()))
            high = fields["rating"] >= np.float32(self.min_rating)
            fields = {key: _filter(column, high) for key, column in fields.items()}
            fields["row"] = start + np.flatnonzero(high)
        if len(fields["user"]):
            self.num_kept += len(fields["user"])
            self.sink.add(fields)

    def _convert(self, key: str, column: pa.Array) -> Any:
        if key == "time":
            return to_time(column, self.source.time_unit)
        if key not in IDS:
            return (to_weight if key == "weight" else to_float)(column)
        column = to_id(column)
        numbers = as_integers(column.dictionary)
        if key in self.first:
            self.first[key].take(column)
        self.integers[key] = self.integers[key] and numbers is not None
        if numbers is None or not self.integers[key]:
            return column
        if key not in self.negative and len(numbers) and pc.min(numbers).as_py() < 0:
            below = np.flatnonzero(numbers.to_numpy() < 0)
            row = int(np.isin(column.indices.to_numpy(), below).argmax())
            self.negative[key] = (self.num + row, numbers[column.indices[row].as_py()])
        return pa.DictionaryArray.from_arrays(column.indices, numbers)

    def _check_no_names(self, fields: Mapping[str, Any]) -> None:
        # The line of names once more, as of files that were put together.
        user, item = (self._places_of_name(key, fields[key]) for key in IDS[:2])
        if user is None or item is None or not bool((user & item).any()):
            return
        place = self.source.place(self.num + int((user & item).argmax()))
        raise ValueError(
            f"{place}: Expected an interaction (got the names of the columns again); "
            f"remove the {_kind(place)}"
        )

    def _places_of_name(self, key: str, column: pa.DictionaryArray) -> Any:
        if not pa.types.is_string(column.dictionary.type):
            return None
        ids, name = column.dictionary, self.source.columns[key]
        typed = pc.starts_with(ids, f"{name}:")  # As RecBole has it.
        is_name = pc.or_(pc.equal(ids, name), typed).to_numpy(zero_copy_only=False)
        return is_name[column.indices.to_numpy()] if is_name.any() else None

    def _refuse(
        self, key: str, row: int | None, expected: str, got: object, start: int = 0
    ) -> None:
        # Without a row, it is the type of the column.
        place, name = self.source.place(start + (row or 0)), self.source.columns[key]
        hint = f"mend or remove the {_kind(place)}"
        if row is None:
            place, hint = place.rsplit(", ", 1)[0], "convert the column"
        if key not in self.needed:
            del self.source.columns[key]
            raise _LeftOut(
                f"{place}: left the column {name!r} out for {got} where {expected} "
                f"must stand; pass {key}={name!r} to have this refused"
            ) from None
        raise ValueError(
            f"{place}: Expected {expected} in column {name!r} (got {got}); {hint}"
        ) from None


class _FirstId:
    # The first id of a column without a name: if it alone is no integer, it is one.
    def __init__(self) -> None:
        self._others: set[str] | None = set()  # Some of the integers after it.
        self._started = False

    @property
    def num_others(self) -> int:
        return len(self._others or ())

    @property
    def is_odd(self) -> bool:
        return self.num_others > 0

    def take(self, column: pa.DictionaryArray) -> None:
        if self._others is None or len(column) == 0:
            return
        ids = column.dictionary.cast(pa.string())
        odd = pc.invert(pc.match_substring_regex(ids, INTEGER)).to_numpy(False)
        found = odd[column.indices.to_numpy()]
        alone = found[0] and found.sum() == 1
        if found.any() if self._started else not alone:
            self._others = None
            return
        self._started = True
        more = ids.filter(pa.array(~odd)).slice(0, 10).to_pylist()
        self._others = {*self._others, *more} if self.num_others < 10 else self._others


def _filter(column: Any, high: np.ndarray) -> Any:
    if isinstance(column, pa.DictionaryArray):
        return column.filter(pa.array(high)).dictionary_decode().dictionary_encode()
    return column[high]


def _treat_repeated(
    out: Interactions, sink: Sink, source: Source, duplicates: str
) -> Interactions:
    if duplicates == "keep":
        return out
    repeated = out.repeated()
    if duplicates == "count":
        return sink.keep(~repeated.numpy(), out.repeat_weight().numpy())
    if not bool(repeated.any()):
        return out
    if duplicates == "error":
        raise duplicate_error(out, lambda place: source.place(sink.row(place)))
    return sink.keep(~repeated.numpy(), None)


def check_options(duplicates: str, sep: str | None = None) -> None:
    r"""Refuses what is no way to treat repeated pairs, and no separator."""
    if duplicates not in DUPLICATES:
        raise ValueError(
            f"Expected duplicates='error', 'drop', 'count' or 'keep' (got "
            f"{duplicates!r}); choose one"
        )
    if sep is not None and len(sep) != 1:
        raise ValueError(
            f"Expected sep of one character (got {sep!r}); convert the file"
        )


def duplicate_error(out: Interactions, place: Callable[[int], str]) -> ValueError:
    r"""The error that names the first repeated pair and both its places."""
    repeated = out.repeated()
    second = int(repeated.nonzero()[0])
    user, item = int(out.user[second]), int(out.item[second])
    same = (out.user == user) & (out.item == item)
    if out.behavior is not None:
        same &= out.behavior == out.behavior[second]
    raw_user = user if out.user_ids is None else out.user_ids[user]
    raw_item = item if out.item_ids is None else out.item_ids[item]
    where, before = place(second), place(int(same.nonzero()[0]))
    path = where.rsplit(", ", 1)[0]
    return ValueError(
        f"{where}: Expected distinct pairs (got user {raw_user} with item {raw_item} "
        f"again, first on {before.removeprefix(path + ', ')}, {int(repeated.sum())} "
        f"repeated in all); pass duplicates='drop', or 'count' to weigh them"
    )


def _kind(place: str) -> str:
    return place.rsplit(", ", 1)[1].split()[0]
