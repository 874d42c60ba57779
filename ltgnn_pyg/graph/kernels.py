"""The kernels of a run, whose sums differ in their last bits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Kernels:
    r"""The kernels that a process has chosen, by what each is for.

    Two kernels of one sum differ in its last bits, and training carries those on. So a
    run takes a kernel once, keeps it, and takes it again when it goes on elsewhere.

    .. code-block:: python

        with kernels.run({"product on cpu in float64": "bags"}):
            report = fit(model, split)
        assert report.kernels["product on cpu in float64"] == "bags"
    """

    def __init__(self) -> None:
        self._found: dict[str, str] = {}  # By this process, for all its runs.
        self._given: dict[str, str] = {}  # To the run, beforehand.
        self._taken: dict[str, str] = {}  # By the run, and known to run here.

    def take(
        self, what: str, choose: Callable[[], str], can: Callable[[str], bool]
    ) -> str:
        """Returns the name of a kernel, the same one throughout a run.

        Args:
            what (str): The use of it, with all that decides which is the best.
            choose (callable): Returns the best one of this machine; called once.
            can (callable): Tells of a name whether such a kernel runs here.

        Raises:
            ValueError: If the run was given a kernel that does not run here.
        """
        name = self._taken.get(what)
        if name is not None:
            return name
        name = self._given.get(what)
        if name is None:
            name = self._found.get(what) or choose()
            self._found[what] = name
        elif not can(name):
            raise ValueError(
                f"Expected a machine that runs the {what} by the kernel {name!r}, as "
                "the run did before (got one that does not); go on where it began, or "
                "start anew in another folder"
            )
        self._taken[what] = name
        return name

    def chosen(self) -> dict[str, str]:
        """The kernels of this run, those that it was given among them."""
        return self._given | self._taken

    def restore(self, chosen: Mapping[str, str]) -> None:
        """Gives a run the kernels that it took before, as :meth:`chosen` told them."""
        self._given |= chosen
        self._taken = {}

    @contextmanager
    def run(self, chosen: Mapping[str, str] | None = None) -> Iterator[None]:
        """A run of its own; kernels that it is given are forgotten at its end.

        Args:
            chosen (dict, optional): Kernels beside those that the run around it was
                given. If :obj:`None`, none. (default: :obj:`None`)
        """
        before = self._given, self._taken
        self._given, self._taken = self._given | dict(chosen or {}), {}
        try:
            yield
        finally:
            self._given, self._taken = before


kernels = Kernels()  #: Those of this process.
