r"""The folder of a run: a scorer, its ids and its interactions."""

from ltgnn_pyg.runs.ids import Ids
from ltgnn_pyg.runs.run_folder import RunFolder

__all__ = ["Ids", "RunFolder"]
