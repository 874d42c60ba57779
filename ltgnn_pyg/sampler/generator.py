import torch
from torch.utils.data import get_worker_info


def generator_here(
    generator: torch.Generator | None, device: torch.device
) -> torch.Generator | None:
    """The generator to draw from on this device and in this process.

    A worker process holds a copy of the main process's generator, the same one
    in every worker; there the global generator is used, which the loader seeds
    from its own for each worker and epoch. For another device than the
    generator's, a new one is seeded from it.
    """
    if generator is None or get_worker_info() is not None:
        return None
    if generator.device.type == device.type:
        return generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator(device).manual_seed(int(seed))
