import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(path: str | os.PathLike[str], api_key: str | None = None) -> "FastAPI":
    r"""The application that :func:`~ltgnn_pyg.serving.serve` runs, for a server of your
    own.

    .. code-block:: python

        app = create_app("run")
        with TestClient(app) as client:  # Its lifespan loads the model.
            items = client.get("/api/recommend/alice", params={"n": 5}).json()

    Args:
        path (str): The folder of a run, see
            :class:`~ltgnn_pyg.runs.RunFolder`, or of versions, see
            :func:`~ltgnn_pyg.serving.publish`. Feedback is kept there, in
            :obj:`feedback.sqlite`.
        api_key (str, optional): The key that requests must bring as :obj:`X-API-Key`,
            but for the demo page and :obj:`/health`. (default: :obj:`None`)

    Raises:
        ValueError: If there is neither a run nor a folder at :obj:`path`.
        ImportError: If FastAPI or prometheus-client are not there.

    With several workers of your own, let the variable :obj:`PROMETHEUS_MULTIPROC_DIR`
    name a folder before they start, and :obj:`/metrics` sums over them.

    *Cost:* The model is loaded when the application starts, in the background.
    """
    check_packages("fastapi", "prometheus_client")
    from ltgnn_pyg.serving.application import application

    return application(path, api_key)


def check_packages(*names: str) -> None:
    """Says what to install where a package is missing."""
    for name in names:
        if find_spec(name) is None:
            raise ImportError(
                f"Expected the package '{name}' for serving (got none); "
                'pip install "ltgnn_pyg[serve]"'
            )
