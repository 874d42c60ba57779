r"""Where held-out items land in the lists of a scorer."""

from ltgnn_pyg.evaluation.evaluate import (
    BEYOND_ACCURACY,
    METRICS,
    choose_blend,
    evaluate,
)

__all__ = ["BEYOND_ACCURACY", "METRICS", "choose_blend", "evaluate"]
