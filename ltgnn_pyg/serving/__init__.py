r"""Trained models over HTTP."""

from ltgnn_pyg.serving.create_app import create_app
from ltgnn_pyg.serving.serve import serve
from ltgnn_pyg.serving.versions import publish

__all__ = ["create_app", "publish", "serve"]
