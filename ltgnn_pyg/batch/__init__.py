r"""Batches, one class a kind of step: where models and loaders meet."""

from ltgnn_pyg.batch.history_rows import HistoryRows
from ltgnn_pyg.batch.inner_step import InnerStep
from ltgnn_pyg.batch.inner_steps import InnerSteps
from ltgnn_pyg.batch.micro_batch import MicroBatch
from ltgnn_pyg.batch.pair_batch import PairBatch, Trainable
from ltgnn_pyg.batch.round import Round

__all__ = [
    "HistoryRows",
    "InnerStep",
    "InnerSteps",
    "MicroBatch",
    "PairBatch",
    "Round",
    "Trainable",
]
