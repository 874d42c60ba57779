"""The average of the parameters over the steps of training, which scores."""

from collections.abc import Callable
from typing import Any

import torch

UPDATES = 80  #: The number of times that an epoch adds to the average.


def moving_average(decay: float) -> Callable[..., None]:
    r"""The exponential moving average of parameters for
    :class:`torch.optim.swa_utils.AveragedModel`, without the weight of the start:

    .. math::
        \bar{\theta}_n = \frac{1 - \beta}{1 - \beta^n} \sum_{m=1}^{n} \beta^{n-m}
        \theta_m

    Args:
        decay (float): :math:`\beta` in :math:`[0, 1)`.
    """

    @torch.no_grad()
    def update(average: Any, current: Any, num: Any) -> None:
        weight = (1.0 - decay) / (1.0 - decay ** (int(num) + 1))
        torch._foreach_lerp_(average, current, weight)

    return update
