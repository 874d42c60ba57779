from torch import Tensor

from ltgnn_pyg.batch.pair_batch import PairBatch, Trainable


class MicroBatch(PairBatch):
    """A part of a round, as an objective sees it; all of its nodes are seeds."""

    def rows(self, model: Trainable, x: Tensor | None = None) -> Tensor:
        """Returns the rows of its seeds, if it has a graph.

        Raises:
            ValueError: If it has none, as the round has it.
        """
        return model.rows(self.graph, self.seeds)
