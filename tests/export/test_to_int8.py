"""A file of bytes, read by what docs/export.md says, in Python and in JavaScript."""

import json
import shutil
import struct
import subprocess
from itertools import pairwise

import numpy as np
import pytest
import torch

from ltgnn_pyg.export import quantize_rows, to_int8
from ltgnn_pyg.scorers import Vectors, top_k
from tests.export.conftest import write_run
from tests.scripts import ROOT


def read(path):
    """A reader written from the page alone."""
    data = path.read_bytes()
    assert data[:8] == b"LTGNNI8\0"
    version, flags, U, I, D = struct.unpack_from("<5I", data, 8)
    assert version == 1 and flags in (0, 1)
    offsets = iter(struct.unpack_from("<11Q", data, 32))

    def section(dtype, *shape):
        offset = next(offsets)
        assert offset % 64 == 0
        return np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape)

    out = {"user": section("<f4", U)[:, None] * section("i1", U, D)}
    out["item"] = section("<f4", I)[:, None] * section("i1", I, D)
    out["item_bias"] = section("<f4", I if flags & 1 else 0)
    ptr = section("<u4", U + 1)
    out["seen"] = np.split(section("<u4", ptr[-1]), ptr[1:])[:U]
    for side, num in (("user_ids", U), ("item_ids", I)):
        ptr = section("<u4", num + 1)
        text = section("u1", ptr[-1]).tobytes()
        out[side] = [text[a:b].decode() for a, b in pairwise(ptr)]
    return out


def test_rows_are_off_by_half_a_step_at_most():
    x = torch.randn(50, 9) * torch.logspace(-20, 20, 50).unsqueeze(1)
    x[3] = 0.0
    q, scale = quantize_rows(x)
    assert q.dtype == torch.int8 and scale.dtype == torch.float32
    rest = torch.arange(50) != 3
    assert (q[rest].abs().amax(1) == 127).all() and (q[3] == 0).all()
    error = (q * scale.unsqueeze(1) - x).abs()
    assert (error <= 0.5001 * scale.unsqueeze(1)).all()


def test_what_is_written_is_what_the_page_says(run, tmp_path):
    (file,) = to_int8(run, tmp_path / "out")
    found, vectors = read(file), run.vectors
    for name in ("user", "item"):
        exact = getattr(vectors, name)
        step = exact.abs().amax(1, keepdim=True) / 127
        assert ((torch.from_numpy(found[name]) - exact).abs() <= 0.501 * step).all()
    bias = torch.zeros(0) if vectors.item_bias is None else vectors.item_bias
    assert found["item_bias"].tolist() == bias.tolist()
    rowptr, col = run.seen
    expected = [part.tolist() for part in col.split(rowptr.diff().tolist())]
    assert [part.tolist() for part in found["seen"]] == expected
    for side, ids in (("user_ids", run.user_ids), ("item_ids", run.item_ids)):
        assert found[side] == [ids[n] for n in range(len(ids))]


def test_some_users_alone(run, tmp_path):
    whole = read(to_int8(run, tmp_path / "whole")[0])
    user = torch.tensor([7, 2, 19])
    some = read(to_int8(run, tmp_path / "some", user=user)[0])
    assert np.array_equal(some["user"], whole["user"][user])
    for name in ("seen", "user_ids"):
        expected = [list(whole[name][u]) for u in user.tolist()]
        assert [list(each) for each in some[name]] == expected
    none = read(to_int8(run, tmp_path / "none", user=user[:0])[0])
    assert none["user"].shape == (0, 6) and none["user_ids"] == []
    for found in (some, none):
        assert np.array_equal(found["item"], whole["item"])
        assert found["item_ids"] == whole["item_ids"]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        (torch.tensor([23]), r"in \[0, 23\)"),
        (torch.tensor([-1]), r"in \[0, 23\)"),
        (torch.tensor([1.0]), "int64"),
        (torch.tensor([[1]]), "int64"),
        (torch.tensor([1, 2, 1]), "once"),
    ],
)
def test_users_are_checked(tmp_path, user, message):
    run = write_run(tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        to_int8(run, tmp_path, user=user)


LISTS = """
const { Int8Model } = require(process.argv[1]);
const bytes = require("fs").readFileSync(process.argv[2]);
const start = bytes.byteOffset;
const model = new Int8Model(bytes.buffer.slice(start, start + bytes.length));
const out = [];
for (let u = 0; u < model.numUsers; u++) {
  const list = model.topK(model.vector(u), 10, model.seen(u));
  out.push({ id: model.userId(u), seen: [...model.seen(u)],
    items: list.map((each) => each.item), scores: list.map((each) => each.score),
    ids: list.map((each) => model.itemId(each.item)) });
}
const all = model.topK(model.vector(4, "item"), 99);
console.log(JSON.stringify({ out, all: all.map((each) => each.item) }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_lists_of_javascript_are_those_of_torch(run, tmp_path):
    (file,) = to_int8(run, tmp_path)
    reader = ROOT / "examples/offline/reader.js"
    command = ["node", "-e", LISTS, str(reader), str(file)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found, (q_user, a_user) = json.loads(text), quantize_rows(run.vectors.user)
    q_item, a_item = quantize_rows(run.vectors.item)
    bias = run.vectors.item_bias
    user, item = (a.double().unsqueeze(1) * q for a, q in
                  ((a_user, q_user), (a_item, q_item)))  # fmt: skip
    near = Vectors(user, item, None if bias is None else bias.double())
    scores, items = top_k(near, 10, exclude=run.seen)
    rowptr, col = run.seen
    for u, each in enumerate(found["out"]):
        assert each["items"] == items[u].tolist()
        torch.testing.assert_close(
            torch.tensor(each["scores"], dtype=torch.double), scores[u],
            rtol=1e-6, atol=1e-6,
        )  # fmt: skip
        assert each["id"] == run.user_ids[u]
        assert each["ids"] == [run.item_ids[i] for i in each["items"]]
        assert each["seen"] == col[rowptr[u] : rowptr[u + 1]].tolist()
    alike = Vectors(item[4:5], item, near.item_bias)
    assert found["all"] == top_k(alike, 37)[1][0].tolist()  # No more than there are.


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_another_file_is_refused_by_javascript(tmp_path):
    (tmp_path / "other").write_bytes(bytes(200))
    reader = ROOT / "examples/offline/reader.js"
    command = ["node", "-e", LISTS, str(reader), str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "Expected a model.int8" in done.stderr
