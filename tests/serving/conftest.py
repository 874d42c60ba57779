"""A small trained model, and a client of what serves it."""

import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("prometheus_client")

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import FoldIn, Vectors
from ltgnn_pyg.serving import create_app

NUM_USERS, NUM_ITEMS = 12, 30


def item_id(index):
    """Ids that a path must carry whole."""
    return "ä/ 7?" if index == 7 else f"i{index}"


def make_run(folder, seed=0, unit=True, start=100, unit_of_time=1, make=None):
    """A run whose user u has taken items u, u + 1, ..., but the last user none; its
    scorer is random, or made of the interactions.
    """
    generator = torch.Generator().manual_seed(seed)
    user = torch.arange(NUM_USERS - 1).repeat_interleave(4)
    item = (user + torch.arange(4).repeat(NUM_USERS - 1)) % NUM_ITEMS
    times = (torch.arange(user.numel()) + start) * unit_of_time
    names = {
        "user_ids": np.array([f"u{u}" for u in range(NUM_USERS)], dtype=object),
        "item_ids": np.array([item_id(i) for i in range(NUM_ITEMS)], dtype=object),
    }
    whole = Interactions(user, item, NUM_USERS, NUM_ITEMS, time=times, **names)
    split = Split(whole, whole[:0], whole[:0], order="time")
    if make is not None:
        return RunFolder.write(folder, make(whole), split, {})
    rows = torch.randn(NUM_USERS + NUM_ITEMS, 8, generator=generator)
    if unit:
        rows = torch.nn.functional.normalize(rows, dim=1)
    bias = 0.1 * torch.randn(NUM_ITEMS, generator=generator)
    vectors = Vectors(rows[:NUM_USERS], rows[NUM_USERS:], bias)
    return RunFolder.write(folder, fold_in(vectors, whole), split, {})


def fold_in(vectors, whole, alpha=0.1):
    """Vectors that know of some interactions, as a model's scorer does."""
    graph = Graph.from_interactions(whole)
    return FoldIn(vectors, graph.item_degree, alpha, graph.rows)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


@contextmanager
def client_of(path, **kwargs):
    """A client of an application whose model is loaded."""
    from fastapi.testclient import TestClient

    with TestClient(create_app(path, **kwargs)) as client:
        for _ in range(500):
            if client.get("/health/ready").status_code == 200:
                break
            time.sleep(0.01)
        yield client


@pytest.fixture
def client(run):
    with client_of(run.path) as client:
        yield client
