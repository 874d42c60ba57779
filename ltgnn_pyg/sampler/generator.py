import torch
from torch.utils.data import get_worker_info


def generator_here(
    generator: torch.Generator | None, device: torch.device
) -> torch.Generator | None:
    """The generator to draw from on this device and in this process.

    A worker process holds a copy of the main process's generator, the same one
    in every worker; there the global generator is used, which the loader seeds
    from its own for each worker and epoch. On another device than the
    generator's, that device's global generator is used.
    """
    if generator is None or get_worker_info() is not None:
        return None
    return generator if generator.device.type == device.type else None
