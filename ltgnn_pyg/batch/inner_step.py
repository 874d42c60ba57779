from __future__ import annotations

from torch import Tensor

from ltgnn_pyg.batch.inner_steps import InnerSteps
from ltgnn_pyg.batch.pair_batch import PairBatch, Trainable
from ltgnn_pyg.graph.graph import Graph


class InnerStep(PairBatch):
    """A micro-batch of a round, for a step of its own.

    Attributes:
        steps (InnerSteps): The state that the steps of the round share.
        is_last (bool): True for the last one of the round, which brings the gradient of
            all.
    """

    steps: InnerSteps
    is_last: bool

    @property
    def graph(self) -> Graph:
        """The graph of the round."""
        return self.steps.graph

    def rows(self, model: Trainable, x: Tensor | None = None) -> Tensor:
        """Returns the rows of the seeds: those of the round's start, but for the
        inputs' own.

        Raises:
            ValueError: If the model is no polynomial of the graph.
        """
        c = model.coefficients
        if c is None:
            raise ValueError(
                f"Expected a model that is a polynomial of the graph for inner steps "
                f"(got a {type(model).__name__}, which does not say its "
                "'coefficients'); load rounds with 'inner_steps=False'"
            )
        if len(c) == 1:  # No other row has a say.
            return c[0] * self.input_rows(model, x)
        x = None if self.is_last else self.input_rows(model, x)
        return self.steps.step(model.inputs, self.seeds, c, x)
