"""Two routes to one answer: what a GPU calculates, and what the CPU does."""

import pytest
import torch

from ltgnn_pyg import Graph, LTConv, PairLoader, VRNeighborLoader
from ltgnn_pyg.evaluation import METRICS, evaluate
from ltgnn_pyg.graph.item_graph import item_graph
from ltgnn_pyg.nn import (
    LTGNN,
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    DistillationLoss,
    EGCFLoss,
    PSLLoss,
    SoftmaxAtKLoss,
    SoftmaxLoss,
    solve,
)
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.retrieval import similar_items, top_k
from ltgnn_pyg.scorers import Query, Vectors
from ltgnn_pyg.scorers.filters import (
    BSPM,
    EASE,
    GFCF,
    ChebyCF,
    ItemKNN,
    Popularity,
    SparseEASE,
)
from tests.toy import blocks

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU")
DRAWN = {"neg_sampling": {"mode": "triplet", "amount": 3}}
OBJECTIVES = {
    "softmax": (SoftmaxLoss, {}),
    "sl@k": (lambda: SoftmaxAtKLoss(32), {}),
    "psl": (PSLLoss, {}),
    "bilateral": (BilateralSoftmaxLoss, {}),
    "teacher": (lambda: DistillationLoss(32, torch.randn(96, 5)), {}),
    "egcf": (EGCFLoss, {}),
    "direct_au": (DirectAULoss, {}),
    "bpr": (BPRLoss, DRAWN),
    "bce": (BCELoss, DRAWN),
    "contrastive": (CosineContrastiveLoss, DRAWN),
}


def close(one, other):
    torch.testing.assert_close(one.cpu(), other, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    make, drawn = OBJECTIVES[name]
    loss_fn, data = make(), Graph.from_interactions(blocks().train)
    model = LTGNN(data.num_users, data.num_items, loss_fn=loss_fn, init_std=0.5)
    batch = next(iter(PairLoader(data, batch_size=100, num_rounds=1, **drawn)))
    loss = model.loss(batch)
    loss.backward()
    grad = model.inputs.weight.grad.to_dense()
    model.zero_grad()
    other = model.cuda().loss(batch.cuda())
    other.backward()
    close(other, loss)
    close(model.inputs.weight.grad.to_dense(), grad)


@pytest.mark.parametrize(
    "cls", [BSPM, ChebyCF, EASE, GFCF, ItemKNN, Popularity, SparseEASE]
)
def test_filters(cls):
    known = blocks().train
    user = torch.arange(known.num_users)
    moved = cls(known.to("cuda")).score(Query(user.cuda()))
    close(moved, cls(known).score(Query(user)))


def test_lists_and_metrics():
    split = blocks()
    known, held_out = split.train, split.test
    size, dim = (split.train.num_users, split.train.num_items), 6
    vectors = Vectors(torch.randn(size[0], dim), torch.randn(size[1], dim))
    moved = vectors.to("cuda")
    for one, other in zip(top_k(moved, 5, exclude=known.to("cuda")),
                          top_k(vectors, 5, exclude=known), strict=True):  # fmt: skip
        close(one, other)
    close(similar_items(moved, 3)[0], similar_items(vectors, 3)[0])
    settings = {"exclude": known, "metrics": tuple(METRICS), "k": (1, 5)}
    assert evaluate(moved, held_out, **settings) == pytest.approx(
        evaluate(vectors, held_out, **settings)
    )


def test_layer_solver_start_and_item_graph():
    graph = Graph.from_interactions(blocks().train)
    moved = Graph.from_interactions(blocks().train.to("cuda"))
    x, edge_index = torch.randn(graph.num_nodes, 4), graph.to_data().edge_index
    conv = LTConv(alpha=0.2, K=3)
    close(conv(x.cuda(), edge_index.cuda()), conv(x, edge_index))
    for other in (moved, graph.to("cuda")):
        close(other.matrix.to_dense(), graph.matrix.to_dense())
        found = solve(x.cuda(), other.operator, alpha=0.2)[0]
        close(found, solve(x, graph.operator, alpha=0.2)[0])
        close(item_graph(other, 3)[1], item_graph(graph, 3)[1])
    table = spectral_(torch.empty(graph.num_nodes, 3), graph)
    on_device = torch.empty(graph.num_nodes, 3, device="cuda")
    spectral_(on_device, moved)
    close((on_device @ on_device.t()).diagonal().sum(), (table @ table.t()).trace())


def test_paper_step_with_all_neighbours():
    """Nothing is drawn then but the order, which is not shuffled."""
    torch.manual_seed(0)
    data = Graph.from_interactions(blocks().train)
    losses = []
    model = LTGNN(data.num_users, data.num_items, alpha=0.3, K=None, init_std=0.5)
    state = model.state_dict()
    for device in ("cpu", "cuda"):
        model = LTGNN(data.num_users, data.num_items, alpha=0.3, K=None)
        model.load_state_dict(state)
        model = model.to(device)
        loader = VRNeighborLoader(
            data.to(device), model, 99, batch_size=64, shuffle=False
        )
        losses.append(torch.stack([model.loss(batch).detach() for batch in loader]))
    close(losses[1], losses[0])
