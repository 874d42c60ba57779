from ltgnn_pyg.nn.models.ltgnn import LTGNN

__all__ = ["LTGNN"]
