r"""Training by one protocol, and the checkpoints that a killed run goes on from."""

from ltgnn_pyg.train.checkpoint import load_checkpoint, save_checkpoint
from ltgnn_pyg.train.fit import fit
from ltgnn_pyg.train.fit_beside import fit_beside
from ltgnn_pyg.train.fit_filter import fit_filter
from ltgnn_pyg.train.report import Report
from ltgnn_pyg.train.training import default_loader, default_optimizer

__all__ = [
    "Report",
    "default_loader",
    "default_optimizer",
    "fit",
    "fit_beside",
    "fit_filter",
    "load_checkpoint",
    "save_checkpoint",
]
