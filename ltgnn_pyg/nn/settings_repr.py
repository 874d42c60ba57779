import inspect
from types import FunctionType

from torch.nn import Module

PLAIN = (bool, int, float, str, list, tuple, type(None))  #: Shown as they are.


def settings_repr(module: Module) -> str:
    """The settings of a module as its text shows them: the arguments of its constructor
    that are numbers, names, lists of them, classes or functions, by the attributes of
    their names.

    Args:
        module (torch.nn.Module): The module.
    """
    shown = []
    for name in inspect.signature(type(module)).parameters:
        value = getattr(module, name, module)
        if isinstance(value, type | FunctionType):
            shown.append(f"{name}={value.__qualname__}")
        elif isinstance(value, PLAIN):
            shown.append(f"{name}={value}")
    return ", ".join(shown)
