r"""The metrics of lists: where the held-out items of users land in them."""

from ltgnn_pyg.evaluation.choose_blend import choose_blend
from ltgnn_pyg.evaluation.evaluate import evaluate
from ltgnn_pyg.evaluation.measure import BEYOND_ACCURACY, METRICS

__all__ = ["BEYOND_ACCURACY", "METRICS", "choose_blend", "evaluate"]
