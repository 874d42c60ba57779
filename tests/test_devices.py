"""Two routes to one answer: what a GPU calculates, and what the CPU does."""

import pytest
import torch

from ltgnn_pyg import LTConv, PairLoader, VRNeighborLoader, normalized_adj
from ltgnn_pyg.datasets import Interactions
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
from ltgnn_pyg.scorers import Vectors
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


def on_gpu(part: Interactions) -> Interactions:
    size = part.num_users, part.num_items
    return Interactions(part.user.cuda(), part.item.cuda(), *size)


def close(one, other):
    torch.testing.assert_close(one.cpu(), other, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    make, drawn = OBJECTIVES[name]
    loss_fn, data = make(), blocks().train.to_data()
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
    close(cls(on_gpu(known)).score(user.cuda()), cls(known).score(user))


def test_lists_and_metrics():
    split = blocks()
    known, held_out = split.train.edge_label_index, split.test.edge_label_index
    size, dim = (split.train.num_users, split.train.num_items), 6
    vectors = Vectors(torch.randn(size[0], dim), torch.randn(size[1], dim))
    moved = vectors.to("cuda")
    for one, other in zip(top_k(moved, 5, exclude=known.cuda()),
                          top_k(vectors, 5, exclude=known), strict=True):  # fmt: skip
        close(one, other)
    close(similar_items(moved, 3)[0], similar_items(vectors, 3)[0])
    settings = {"exclude_edge_index": known, "metrics": tuple(METRICS), "k": (1, 5)}
    assert evaluate(moved, held_out, **settings) == pytest.approx(
        evaluate(vectors, held_out, **settings)
    )


def test_layer_solver_start_and_item_graph():
    data = blocks().train.to_data()
    x, edge_index = torch.randn(data.num_nodes, 4), data.edge_index
    conv = LTConv(alpha=0.2, K=3)
    close(conv(x.cuda(), edge_index.cuda()), conv(x, edge_index))
    adj_t = normalized_adj(edge_index, num_nodes=data.num_nodes)
    adj_gpu = normalized_adj(edge_index.cuda(), num_nodes=data.num_nodes)
    close(adj_gpu.to_dense(), adj_t.to_dense())
    close(solve(x.cuda(), adj_gpu, alpha=0.2)[0], solve(x, adj_t, alpha=0.2)[0])
    close(item_graph(adj_gpu, data.num_users, 3)[1],
          item_graph(adj_t, data.num_users, 3)[1])  # fmt: skip
    table = spectral_(torch.empty(data.num_nodes, 3), adj_t, data.num_users)
    on_device = torch.empty(data.num_nodes, 3, device="cuda")
    spectral_(on_device, adj_gpu, data.num_users)
    close((on_device @ on_device.t()).diagonal().sum(), (table @ table.t()).trace())


def test_paper_step_with_all_neighbours():
    """Nothing is drawn then but the order, which is not shuffled."""
    torch.manual_seed(0)
    data = blocks().train.to_data()
    losses = []
    model = LTGNN(data.num_users, data.num_items, alpha=0.3, K=None, init_std=0.5)
    state = model.state_dict()
    for device in ("cpu", "cuda"):
        model = LTGNN(data.num_users, data.num_items, alpha=0.3, K=None)
        model.load_state_dict(state)
        model = model.to(device)
        loader = VRNeighborLoader(
            data.clone().to(device), model, 99, batch_size=64, shuffle=False
        )
        losses.append(torch.stack([model.loss(batch).detach() for batch in loader]))
    close(losses[1], losses[0])
