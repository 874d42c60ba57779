import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltgnn_pyg.datasets.replace_file import replace_file
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.version import __version__

LARGEST = 2**31 - 2**20  #: Bytes of tables in a file; protobuf ends at 2 GB.
OPSET, IR = 17, 8


def to_onnx(run: RunFolder, out: str | os.PathLike[str]) -> list[Path]:
    r"""Writes two graphs that make lists, for any runtime of ONNX.

    ====================== ========================================================
    :obj:`users.onnx`      :obj:`user`, int64 :obj:`[B]`: users, counted from 0
    :obj:`vectors.onnx`    :obj:`vector`, float :obj:`[B, D]`: vectors of users, such
                           as ones that were not there in training
    :obj:`tables.bin`      the numbers of both, where they are too many for a file
                           (2 GB)
    ====================== ========================================================

    Both also take :obj:`exclude`, int64 :obj:`[B, E]`: items never to return, padded
    with -1, and :obj:`k`, int64 :obj:`[1]`. They return :obj:`scores`, float
    :obj:`[B, k]`, and :obj:`items`, int64 :obj:`[B, k]`, as
    :func:`~ltgnn_pyg.scorers.top_k` does: in descending order, filled up with score
    :obj:`-inf` and item -1 where less than k are left.

    .. code-block:: python

        session = onnxruntime.InferenceSession("users.onnx")
        scores, items = session.run(None, {
            "user": np.array([7]), "exclude": np.array([[3, 5, -1]]),
            "k": np.array([20])})

    Args:
        run (RunFolder): The trained model; numbers become :obj:`float32`.
        out (str): The folder, made if need be.

    Returns:
        The files.

    Raises:
        ImportError: If onnx is not installed.

    *Cost:* The tables twice, or once where they are too many for a file.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "Expected onnx (got none); pip install 'ltgnn_pyg[export]'"
        ) from error
    folder, vectors = Path(out), run.vectors
    folder.mkdir(parents=True, exist_ok=True)
    bias = vectors.item_bias
    if bias is None:
        bias = torch.zeros(vectors.num_items)
    given = {"user_table": vectors.user, "item_table": vectors.item, "item_bias": bias}
    tables = {
        name: np.ascontiguousarray(table.to(torch.float32).numpy())
        for name, table in given.items()
    }
    files, where = [], None
    if sum(table.nbytes for table in tables.values()) > LARGEST:
        path, where = folder / "tables.bin", {}

        def write_tables(to: Path) -> None:
            with open(to, "wb") as file:
                for name, table in tables.items():
                    file.write(bytes(-file.tell() % 4096))
                    where[name] = file.tell(), table.nbytes
                    file.write(table.astype("<f4", copy=False).data)

        files.append(replace_file(path, write_tables))
    for name in ("users", "vectors"):
        model = _model(tables, where, by_index=name == "users")
        path = folder / f"{name}.onnx"
        files.append(replace_file(path, partial(onnx.save_model, model)))
    return files


def _model(
    tables: dict[str, np.ndarray],
    where: dict[str, tuple[int, int]] | None,
    by_index: bool,
) -> Any:
    """The graph: a product, exclusion, the largest."""
    from onnx import TensorProto, helper

    node, INT, FLOAT = helper.make_node, TensorProto.INT64, TensorProto.FLOAT
    num_items, dim = tables["item_table"].shape

    def ints(name: str, *values: int) -> Any:
        return helper.make_tensor(name, INT, [len(values)], values)

    one = helper.make_tensor("lowest", FLOAT, [1], [float("-inf")])
    constants = [
        one,
        helper.make_tensor("lowest_scalar", FLOAT, [], [float("-inf")]),
        helper.make_tensor("none", INT, [], [-1]),
        *(ints(*each) for each in (
            ("zero", 0), ("one", 1), ("num_items", num_items), ("no_pad", 0, 0, 0))),
    ]  # fmt: skip
    nodes = [
        node("Gemm", ["vector", "item_table", "item_bias"], ["score"], transB=1),
        # What pads the excluded goes to a column more, which is dropped again.
        node("Pad", ["score", "one_column"], ["wide"]),
        node("Less", ["exclude", "zero"], ["is_pad"]),
        node("Where", ["is_pad", "num_items", "exclude"], ["column"]),
        node("Shape", ["exclude"], ["shape"]),
        node("Expand", ["lowest", "shape"], ["update"]),
        node("ScatterElements", ["wide", "column", "update"], ["masked"], axis=1),
        node("Slice", ["masked", "zero", "num_items", "one"], ["left"]),
        node("Min", ["k", "num_items"], ["k_item"]),
        node("TopK", ["left", "k_item"], ["top_score", "top_item"], axis=1),
        node("Equal", ["top_score", "lowest"], ["is_none"]),
        node("Where", ["is_none", "none", "top_item"], ["known_item"]),
        # Of less than k items, the rest of a row says that there are no more.
        node("Sub", ["k", "k_item"], ["absent"]),
        node("Concat", ["no_pad", "absent"], ["pad"], axis=0),
        node("Pad", ["top_score", "pad", "lowest_scalar"], ["scores"]),
        node("Pad", ["known_item", "pad", "none"], ["items"]),
    ]
    constants.append(ints("one_column", 0, 0, 0, 1))
    if by_index:
        first = helper.make_tensor_value_info("user", INT, ["B"])
        nodes.insert(0, node("Gather", ["user_table", "user"], ["vector"], axis=0))
    else:
        first = helper.make_tensor_value_info("vector", FLOAT, ["B", dim])
        tables = {name: t for name, t in tables.items() if name != "user_table"}
    graph = helper.make_graph(
        nodes,
        "top_k",
        [
            first,
            helper.make_tensor_value_info("exclude", INT, ["B", "E"]),
            helper.make_tensor_value_info("k", INT, [1]),
        ],
        [
            helper.make_tensor_value_info("scores", FLOAT, ["B", "k"]),
            helper.make_tensor_value_info("items", INT, ["B", "k"]),
        ],
        [*constants, *(_table(name, t, where) for name, t in tables.items())],
    )
    opset = [helper.make_opsetid("", OPSET)]
    about = {"producer_name": "ltgnn_pyg", "producer_version": __version__}
    return helper.make_model(graph, opset_imports=opset, ir_version=IR, **about)


def _table(
    name: str, table: np.ndarray, where: dict[str, tuple[int, int]] | None
) -> Any:
    """A table in the graph, or where it is in the file beside it."""
    from onnx import TensorProto, numpy_helper

    if where is None:
        return numpy_helper.from_array(table, name)
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=table.shape)
    tensor.data_location = TensorProto.EXTERNAL
    offset, length = where[name]
    places = {"location": "tables.bin", "offset": offset, "length": length}
    for key, value in places.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
