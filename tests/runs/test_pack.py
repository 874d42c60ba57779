"""Every scorer comes back from its folder, and scores to the bit as it did."""

import json

import pytest
import torch

from ltgnn_pyg import scorers
from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.nn import LTGNN, LightGCNPlusPlus
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.runs.pack import CLASSES, moved, pack, unpack
from ltgnn_pyg.scorers import Blend, FoldIn, Query, Scorer, Vectors, filters
from ltgnn_pyg.scorers.filters import (
    BSPM,
    EASE,
    GFCF,
    ChebyCF,
    ItemKNN,
    Popularity,
    SparseEASE,
)


def drawn(num_users, num_items):
    """Random pairs; the last user has taken nothing, and nobody the last item."""
    generator = torch.Generator().manual_seed(5)
    taken = torch.rand(num_users, num_items, generator=generator) < 0.2
    taken[-1], taken[:, -1] = False, False
    user, item = taken.nonzero().t()
    return Interactions(user, item, num_users, num_items)


def vectors(known, dim=6):
    bias = torch.randn(known.num_items)
    return Vectors(
        torch.randn(known.num_users, dim), torch.randn(known.num_items, dim), bias
    )


def fold_in(known):
    return LTGNN(known.num_users, known.num_items, 8).scorer(
        Graph.from_interactions(known)
    )


def blend(known):
    return Blend(fold_in(known), Blend(EASE(known), GFCF(known, rank=4), 0.3), 0.2)


FILTERS = [BSPM, EASE, GFCF, ChebyCF, ItemKNN, Popularity, SparseEASE]
MAKERS = {cls.__name__: cls for cls in FILTERS}
MAKERS |= {"Vectors": vectors, "FoldIn": fold_in, "Blend": blend}


@pytest.fixture(params=[(40, 30), (25, 45)], ids=["items", "users"])
def known(request):
    return drawn(*request.param)


@pytest.fixture
def split(known):
    return Split(known, known[:0], known[:0], order="random")


def queries(known):
    """Known users, new ones by their items, and known ones with items since."""
    user = torch.tensor([3, known.num_users - 1, 0])
    items = Query.of_items([[2, 5, known.num_items - 1], [], [7]]).items
    return [Query(user), Query(items=items), Query(user, items)]


def test_every_scorer_is_here():
    public = [getattr(scorers, name) for name in scorers.__all__]
    public += [getattr(filters, name) for name in filters.__all__]
    classes = {c for c in public if isinstance(c, type) and issubclass(c, Scorer)}
    found = {cls for cls in CLASSES.values() if issubclass(cls, Scorer)}
    assert found == classes - {Scorer, filters.Filter}
    assert {cls.__name__ for cls in found} == set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_scores_are_those_before_to_the_bit(name, known, split, tmp_path):
    scorer = MAKERS[name](known)
    RunFolder.write(tmp_path / "run", scorer, split, {})
    run = RunFolder.open(tmp_path / "run")
    read = [run.scorer, run.scorer_on(torch.device("cpu")), moved(run.scorer, "cpu")]
    for other in read:
        assert type(other) is type(scorer) and other.dtype == scorer.dtype
        assert (other.num_users, other.num_items) == (known.num_users, known.num_items)
        for query in queries(known):
            if name == "Vectors" and query.items is not None:
                with pytest.raises(ValueError, match="fold them in"):
                    other.score(query)
                continue
            assert torch.equal(other.score(query), scorer.score(query))
    if scorer.as_vectors is None:
        with pytest.raises(ValueError, match=f"of '{name}', which has none"):
            _ = run.vectors
    else:
        assert torch.equal(run.vectors.item, scorer.as_vectors.item)
    json.loads((tmp_path / "run/config.json").read_text(), parse_constant=pytest.fail)


def test_a_tensor_is_written_once(known):
    tensors = {}
    scorer = EASE(known)
    plain = pack(scorer, "scorer", tensors)
    assert len({id(tensor) for tensor in tensors.values()}) == len(tensors)
    other = unpack(plain, tensors)
    assert other.columns.value is other.rows._transpose.value is scorer.columns.value


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_what_folding_in_needs_goes_along(alpha, known, split, tmp_path):
    """Whatever the settings of the model are called."""
    graph = Graph.from_interactions(known)
    size = known.num_users, known.num_items
    for model in (LTGNN(*size, 8, alpha=alpha), LightGCNPlusPlus(*size, 8, alpha=0.6)):
        scorer, about = model.scorer(graph), {"model": model.settings()}
        RunFolder.write(tmp_path / "run", scorer, split, about, model)
        read = RunFolder.open(tmp_path / "run").scorer
        assert read.alpha == model.teleport
        assert torch.equal(read.item_degree, graph.item_degree)
        assert torch.equal(read.seen.to_dense(), graph.rows.to_dense())


class Mine(Scorer):
    num_users = property(lambda self: 40)
    num_items = property(lambda self: 30)
    device = property(lambda self: torch.device("cpu"))
    dtype = property(lambda self: torch.float32)

    def score(self, query, out=None):
        return torch.zeros(len(query), 30)


def test_a_scorer_of_ones_own_is_refused(tmp_path):
    known = drawn(40, 30)
    split = Split(known, known[:0], known[:0], order="random")
    named = type("EASE", (EASE,), {})(known)  # By its class, not by its name.
    for scorer in (Mine(), named, Blend(EASE(known), Mine(), 0.5)):
        with pytest.raises(ValueError, match=r"got a '(Mine|EASE)'\); write") as error:
            RunFolder.write(tmp_path / "run", scorer, split, {})
        assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def change(path, **values):
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **values}))


def scorer_of(cls, **fields):
    return {"scorer": {"class": cls, "fields": fields}}


DAMAGES = {
    "an object of JSON": ["[]", "{", '"text"', "3", "\0"],
    "run of format 2 .*got 1": [{"format": 1}],
    "run of format 2 .*got 3": [{"format": 3}],
    "run of format 2 .*got None": [{"format": None}],
    "as 'interactions'": [{"interactions": []}, {"interactions": {"num_users": 3}}],
    "a class among .*got 'os.system'": [scorer_of("os.system", command="ls")],
    "a class among .*got None": [{"scorer": {}}],
    r"a class among .*got \['EASE'\]": [scorer_of(["EASE"])],
    "a class among": [{"scorer": {"class": "EASE"}}, scorer_of("EASE", l2={})],
    "the tensor 'scorer.none'": [scorer_of("EASE", rows={"tensor": "scorer.none"})],
    r"the tensor \[3\]": [scorer_of("EASE", rows={"tensor": [3]})],
    "the fields of a 'Vectors'": [scorer_of("Vectors"), scorer_of("Vectors", item=3)],
    "the scorer in": [
        scorer_of("EASE"), {"scorer": None}, {"scorer": [3]}, {"scorer": "EASE"},
        scorer_of("FoldIn", vectors=None),
    ],
    "scorer of 41 users": [
        {"interactions": {"num_users": 41, "num_items": 30, "order": "random"}}
    ],
}  # fmt: skip


@pytest.mark.parametrize("match", DAMAGES)
def test_a_damaged_configuration_is_a_sentence(match, tmp_path):
    known = drawn(40, 30)
    split = Split(known, known[:0], known[:0], order="random")
    for damage in DAMAGES[match]:
        RunFolder.write(tmp_path, EASE(known), split, {})
        path = tmp_path / "config.json"
        if isinstance(damage, str):
            path.write_text(damage)
        else:
            change(path, **damage)
        with pytest.raises(ValueError, match=match) as error:
            _ = RunFolder.open(tmp_path).scorer
        assert "\n" not in str(error.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    known = drawn(40, 30)
    split = Split(known, known[:0], known[:0], order="random")
    RunFolder.write(tmp_path, FoldIn(vectors(known), torch.ones(30)), split, {})
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["scorer.vectors.user"][3, 1] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="finite"):
        _ = RunFolder.open(tmp_path).scorer
