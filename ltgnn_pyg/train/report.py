from dataclasses import dataclass, field
from typing import Any

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.distributed import ShardedVectors
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.scorers import Scorer, Vectors


@dataclass
class Report:
    """The choice that :func:`fit` made, why, and what came of it.

    Attributes:
        epochs (int): The epochs that the model was trained for in the end.
        reason (str): Why that many, a sentence.
        order (str): The way that the held-out interactions were chosen, see
            :class:`~ltgnn_pyg.datasets.Split`.
        validation (dict): The metrics of the validation part at that epoch; empty
            without one.
        curve (list): A dict for each epoch: phase, epoch, loss, seconds, metrics.
        train_seconds (float): The time of the model's epochs in the end.
        seconds (float): The time of all, choosing and ranking included.
        interactions (Interactions): Those that the model was trained on in the end.
        graph (Graph): The graph that is scored over.
        scorer (Scorer): The scorer, over that graph; a
            :class:`~ltgnn_pyg.distributed.ShardedVectors` in several processes.
        settings (dict): Those of the model, its objective and its training, for the
            record.
        kernels (dict): The kernels that sums were taken by, which decide the last
            bits (see :class:`~ltgnn_pyg.graph.kernels.Kernels`), by their use.
    """

    epochs: int
    reason: str
    order: str
    validation: dict[str, float]
    curve: list[dict[str, Any]]
    train_seconds: float
    seconds: float
    interactions: Interactions
    graph: Graph
    scorer: Scorer | ShardedVectors
    settings: dict[str, Any]
    kernels: dict[str, str] = field(default_factory=dict)

    @property
    def vectors(self) -> Vectors:
        """The vectors of users and items, which indexes and exports take.

        Raises:
            ValueError: If what scores is no such vectors.
        """
        vectors = self.scorer.as_vectors
        if vectors is None:
            raise ValueError(
                f"Expected a scorer of vectors (got a {type(self.scorer).__name__}); "
                "take 'report.scorer'"
            )
        return vectors

    def __str__(self) -> str:
        figures = "  ".join(f"{k} {v:.4f}" for k, v in self.validation.items())
        return (
            f"{self.epochs} epochs, {self.reason}. Held out by {self.order}. "
            f"Validation: {figures or 'none'}. {self.train_seconds:.0f} s of training, "
            f"{self.seconds:.0f} s in all."
        )
