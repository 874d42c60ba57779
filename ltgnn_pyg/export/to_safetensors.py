import hashlib
import json
import os
from pathlib import Path

from safetensors.torch import save_file

from ltgnn_pyg.datasets.replace_file import replace_file
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.version import __version__


def to_safetensors(run: RunFolder, out: str | os.PathLike[str]) -> list[Path]:
    """Writes :obj:`vectors.safetensors`: what is scored, in a file that any language
    maps into memory, row by row if need be.

    It holds :obj:`user` :obj:`[U, D]`, :obj:`item` :obj:`[I, D]`, and
    :obj:`item_bias` :obj:`[I]` where there is one. Its metadata are strings:

    ================== ============================================================
    :obj:`format`      :obj:`"pt"`
    :obj:`score`       how a user and an item score
    :obj:`model`       the name and the settings of the model as JSON
    :obj:`version`     that of this package
    :obj:`ids_sha256`  the SHA-256 of all raw ids, users first, each followed by a
                       line feed: whether a list of ids is that of these rows
    ================== ============================================================

    Args:
        run (RunFolder): The trained model.
        out (str): The folder, made if need be.

    Returns:
        The file.

    *Cost:* One copy of the tables.
    """
    folder, vectors = Path(out), run.vectors
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"user": vectors.user, "item": vectors.item}
    if vectors.item_bias is not None:
        tensors["item_bias"] = vectors.item_bias
    tensors = {name: table.contiguous() for name, table in tensors.items()}
    digest = hashlib.sha256()
    for ids in (run.user_ids, run.item_ids):
        for start in range(0, len(ids), 2**16):
            part = ids.values[start : start + 2**16].to_pylist()
            digest.update("".join(f"{raw}\n" for raw in part).encode())
    about = {
        "format": "pt",
        "score": "user . item" + (" + item_bias" if "item_bias" in tensors else ""),
        "model": json.dumps(run.config.get("model", {})),
        "version": __version__,
        "ids_sha256": digest.hexdigest(),
    }
    path = folder / "vectors.safetensors"
    return [replace_file(path, lambda to: save_file(tensors, to, about))]
