"""A model that is saved and built anew scores to the bit as it did."""

import json

import pytest
import torch

from ltgnn_pyg import Graph, PairLoader, VRNeighborLoader
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import (
    LTGNN,
    BPRLoss,
    DistillationLoss,
    EGCFLoss,
    HardNegatives,
    LightGCN,
    Objective,
    PinSage,
    PSLLoss,
    Recommender,
    SoftmaxAtKLoss,
    SoftmaxLoss,
)
from ltgnn_pyg.nn.loss import tanh_surrogate
from ltgnn_pyg.runs.run_folder import RunFolder
from tests.toy import MODELS, blocks


def scored(model, data):
    torch.manual_seed(1)  # Some models draw.
    vectors = model.scorer(data).vectors
    return vectors.user, vectors.item, vectors.item_bias


def assert_alike(one, other, data):
    for a, b in zip(scored(one, data), scored(other, data), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert one.settings() == other.settings()
    assert repr(one.loss_fn) == repr(other.loss_fn)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_round_trip_to_the_bit(cls, dtype, tmp_path):
    train = blocks().train
    data = Graph.from_interactions(train)
    model = cls(train.num_users, train.num_items, 8).to(dtype)
    model.loss(next(iter(PairLoader(data)))).backward()
    RowAdam(model.parameters()).step()
    assert model.save_pretrained(tmp_path / "a" / "b") is None
    assert_alike(model, cls.from_pretrained(tmp_path / "a" / "b"), data)
    names = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert names == {"config.json", "model.safetensors"}


OBJECTIVES = [
    BPRLoss(cosine=True, temperature=0.5, hardness=4.0, in_batch=True),
    HardNegatives(BPRLoss(in_batch=True), num_hard=2),
    EGCFLoss(HardNegatives(SoftmaxLoss(0.3, cosine=False), 1), weight=0.3),
    SoftmaxAtKLoss(num_items=32, k=5),
    PSLLoss(tanh_surrogate, temperature=0.1),
    PSLLoss(),
]


@pytest.mark.parametrize("loss_fn", OBJECTIVES, ids=lambda fn: type(fn).__name__)
def test_the_objective_comes_back(loss_fn, tmp_path):
    data = Graph.from_interactions(blocks().train)
    model = LTGNN(data.num_users, data.num_items, 8, alpha=0.3, K=None, loss_fn=loss_fn)
    model.save_pretrained(tmp_path)
    other = LTGNN.from_pretrained(tmp_path)
    assert_alike(model, other, data)
    assert other.K == model.K and other.alpha == 0.3
    batch = next(iter(PairLoader(data)))
    assert torch.equal(model.loss(batch), other.loss(batch))
    if isinstance(loss_fn, PSLLoss):
        assert other.loss_fn.surrogate is loss_fn.surrogate


def test_settings_are_plain_and_as_they_are_now():
    model = LightGCN(3, 2, layer_weights=(1, 0, 0, 2), loss_fn=BPRLoss(), dropout=0.1)
    settings = model.settings()
    assert json.loads(json.dumps(settings)) == settings
    loss_fn = {"cosine": False, "temperature": 1.0, "hardness": 0.0, "in_batch": False}
    assert settings == {
        "name": "LightGCN",
        "settings": {
            "num_users": 3, "num_items": 2, "embedding_dim": 64, "num_layers": 3,
            "layer_weights": [1, 0, 0, 2], "dropout": 0.1,
            "loss_fn": {"name": "BPRLoss", "settings": loss_fn},
            "weight_decay": 0.0, "init_std": 0.005,
        },
    }  # fmt: skip


def test_a_history_is_left_behind(tmp_path):
    data = Graph.from_interactions(blocks().train)
    fixed = {"history_dtype": torch.bfloat16, "history_device": torch.device("cpu")}
    model = LTGNN(data.num_users, data.num_items, 8, **fixed)
    model.loss(next(iter(VRNeighborLoader(data, model, 3))))
    assert not model.history.is_empty
    model.save_pretrained(tmp_path)
    other = LTGNN.from_pretrained(tmp_path)
    assert_alike(model, other, data)
    assert other.history.is_empty
    other.loss(next(iter(VRNeighborLoader(data, other, 3))))
    assert other.history.reference.dtype == torch.bfloat16


def test_of_the_folder_of_a_run(tmp_path):
    split = blocks()
    data = Graph.from_interactions(split.train)
    model = LTGNN(data.num_users, data.num_items, 8, alpha=0.3)
    vectors, about = model.scorer(data).vectors, {"model": model.settings()}
    RunFolder.write(tmp_path, vectors, split, about, model)
    assert_alike(model, LTGNN.from_pretrained(tmp_path), data)
    RunFolder.write(tmp_path, vectors, split, about)
    with pytest.raises(ValueError, match="'model='"):
        LTGNN.from_pretrained(tmp_path)
    RunFolder.write(tmp_path, vectors, split, {"model": {"name": "LTGNN"}}, model)
    with pytest.raises(ValueError, match=r"model.settings\(\)"):
        LTGNN.from_pretrained(tmp_path)


class Mine(Objective):
    def forward(self, z, batch):
        return z.sum()


def test_what_json_cannot_hold_is_asked_for(tmp_path):
    data = Graph.from_interactions(blocks().train)
    size = data.num_users, data.num_items
    teacher = DistillationLoss(data.num_items, torch.randn(data.num_nodes, 4))
    for loss_fn in (Mine(), teacher, EGCFLoss(Mine())):
        model = LTGNN(*size, 8, loss_fn=loss_fn)
        model.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"from_pretrained\(path, loss_fn=...\)"):
            LTGNN.from_pretrained(tmp_path)
        other = LTGNN.from_pretrained(tmp_path, loss_fn=loss_fn)
        assert_alike(model, other, data)
    x = torch.rand(data.num_items, 5)
    model = PinSage(*size, 8, x=x)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"x=\.\.\."):
        PinSage.from_pretrained(tmp_path)
    assert_alike(model, PinSage.from_pretrained(tmp_path, x=x), data)


class Forgetful(Recommender):
    def __init__(self, num_users, num_items, depth=2, **kwargs):
        super().__init__(num_users, num_items, **kwargs)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing is downloaded"):
        LTGNN.from_pretrained("someone/something")
    LTGNN(5, 4).save_pretrained(tmp_path)
    for cls in (LightGCN, Recommender):
        with pytest.raises(ValueError, match=r"call 'LTGNN.from_pretrained'"):
            cls.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"set .self.depth."):
        Forgetful(5, 4).settings()
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("SoftmaxLoss", "os.system"))
    with pytest.raises(ValueError, match="public name"):
        LTGNN.from_pretrained(tmp_path)
