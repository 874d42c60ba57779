import argparse
from collections.abc import Sequence

import pytest

from ltgnn_pyg.cli.settings import given, settings_of


class Base:
    """Of all.

    Args:
        size (int, optional): How *large*, of :obj:`int` or
            :class:`~a.b.Number`. Otherwise nothing. (default: :obj:`3`)
    """

    def __init__(self, num, size: int = 3, *, loss: object = None):
        pass


class Own(Base):
    r"""One.

    Args:
        rate (float, optional): The rate (default: :obj:`0.5`)
        beta (float): :math:`\beta`. (default: :obj:`1.0`)
    """

    def __init__(
        self,
        num,
        rate: float = 0.5,
        beta: float | None = None,
        names: Sequence[str] | None = None,
        fast: bool = True,
        f: type = int,
        **kwargs,
    ):
        super().__init__(num, **kwargs)


class Closed(Own):
    def __init__(self, num, rate: float = 0.1):
        super().__init__(num, rate)


def test_settings_are_those_of_the_signature():
    found = settings_of(Own)
    assert set(found) == {"size", "rate", "beta", "names", "fast"}
    assert found["size"].text == "How *large*, of int or Number"
    assert found["rate"].text == "The rate" and found["rate"].default == 0.5
    assert found["beta"].text == "" and found["beta"].type is float
    assert found["names"].many and found["names"].type is str
    assert set(settings_of(Closed)) == {"rate"}
    assert settings_of(Closed)["rate"].default == 0.1


def test_only_what_is_given_is_parsed():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for setting in settings_of(Own).values():
        setting.add_to(parser)
    assert vars(parser.parse_args([])) == {}
    words = "--size 4 --names a b --no-fast --beta -0.1".split()
    flags = vars(parser.parse_args(words))
    assert flags == {"size": 4, "names": ["a", "b"], "fast": False, "beta": -0.1}
    assert given(flags, ["rate", "size"]) == {"size": 4}


@pytest.mark.parametrize(
    "name, value, fits",
    [("size", 3, True), ("size", 3.0, False), ("size", True, False),
     ("rate", 1, True), ("rate", "1", False), ("names", ["a"], True),
     ("names", [1], False), ("fast", True, True), ("fast", 1, False)],
)  # fmt: skip
def test_values_fit_their_type(name, value, fits):
    assert settings_of(Own)[name].fits(value) == fits
