"""Flags that are the keyword arguments of a function, read from its signature."""

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

PLAIN = {int: "N", float: "X", str: "NAME", bool: None}  #: What a flag may hold.


@dataclass(frozen=True)
class Setting:
    """A keyword argument that a flag can give.

    Args:
        name (str): What it is called.
        type (type): :obj:`int`, :obj:`float`, :obj:`str` or :obj:`bool`.
        many (bool): Whether it is a sequence of them.
        default (Any): Its default.
        text (str): What its docstring says, a sentence.
    """

    name: str
    type: type
    many: bool
    default: Any
    text: str

    @property
    def flag(self) -> str:
        """The name as a flag."""
        return "--" + self.name.replace("_", "-")

    def fits(self, value: Any) -> bool:
        """True if a value is of the type."""
        allowed = {int, float} if self.type is float else {self.type}
        values = value if self.many and isinstance(value, list) else [value]
        return {type(each) for each in values} <= allowed

    def add_to(
        self, parser: Any, flag: str | None = None, text: str | None = None
    ) -> None:
        """Adds the flag; where it is not given, the parsed arguments lack the name.

        Args:
            parser (argparse.ArgumentParser): The parser, or a group of it.
            flag (str, optional): Another flag than that of the name.
                (default: :obj:`None`)
            text (str, optional): Another help. (default: :obj:`None`)
        """
        if text is None:
            known = "" if self.default is None else f" (default: {self.default})"
            text = self.text + known
        more: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if self.type is not bool:
            more = {"type": self.type, "metavar": PLAIN[self.type]}
            more |= {"nargs": "+"} if self.many else {}
        text = text.replace("%", "%%")
        parser.add_argument(
            flag or self.flag,
            dest=self.name,
            default=argparse.SUPPRESS,
            help=text,
            **more,
        )


def settings_of(function: Callable[..., Any]) -> dict[str, Setting]:
    """The settings of a function or of a class, by name.

    Args:
        function (callable): Its keyword arguments with plain defaults are taken; those
            of a class that passes :obj:`**kwargs` on are its bases' too.
    """
    if not isinstance(function, type):
        return _own_settings(function, function.__doc__)
    found: dict[str, Setting] = {}
    for cls in function.__mro__:
        if "__init__" in vars(cls):
            init = vars(cls)["__init__"]
            found = _own_settings(init, cls.__doc__) | found
            parameters = inspect.signature(init).parameters.values()
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return found


def given(flags: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The settings of some names that flags give."""
    return {name: flags[name] for name in names if name in flags}


def _own_settings(function: Callable[..., Any], doc: str | None) -> dict[str, Setting]:
    hints, found = get_type_hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is inspect.Parameter.empty:
            continue
        kinds = [k for k in get_args(hints[name]) or [hints[name]] if k is not NoneType]
        many = get_origin(hints[name]) is Sequence
        if len(kinds) == 1 and get_origin(kinds[0]) is Sequence:
            many, kinds = True, list(get_args(kinds[0]))
        if len(kinds) == 1 and kinds[0] in PLAIN:
            text = _sentence(doc or "", name)
            found[name] = Setting(name, kinds[0], many, parameter.default, text)
    return found


def _sentence(doc: str, name: str) -> str:
    """The first sentence of an argument's description, without the markup."""
    pattern = rf"^ *{name} \([^)]*\): (.+?)(?:\.\s|\.$|\s\(default)"
    match = re.search(pattern, doc, re.MULTILINE | re.DOTALL)
    text = " ".join(match[1].split()) if match else ""
    text = re.sub(r":[\w:]+:`~?(?:[\w.]*\.)?([^`]*)`", r"\1", text)
    return "" if "\\" in text else text  # Formulas are for the documentation.
