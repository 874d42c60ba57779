r"""Candidates to lists: rules of the business, diversity, calibration.

Every step is a callable :obj:`(candidates, ...) -> candidates`, so that steps compose,
with functions of the user's own among them.
"""

from ltgnn_pyg.retrieval.rerank.boost import boost
from ltgnn_pyg.retrieval.rerank.calibrated import calibrated
from ltgnn_pyg.retrieval.rerank.candidates import Candidates
from ltgnn_pyg.retrieval.rerank.dpp import dpp
from ltgnn_pyg.retrieval.rerank.keep import keep
from ltgnn_pyg.retrieval.rerank.mmr import mmr
from ltgnn_pyg.retrieval.rerank.pipeline import Pipeline

__all__ = ["Candidates", "Pipeline", "boost", "calibrated", "dpp", "keep", "mmr"]
