import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors.torch import save_file

from ltgnn_pyg.datasets.replace_file import replace_file, replace_text
from ltgnn_pyg.export.to_safetensors import to_safetensors
from ltgnn_pyg.nn import __all__ as NAMES
from ltgnn_pyg.nn.models.pretrained import PREFIX
from ltgnn_pyg.runs.run_folder import IDS, RunFolder
from ltgnn_pyg.version import __version__


def to_huggingface(
    run: RunFolder,
    out: str | os.PathLike[str],
    *,
    ids: bool = False,
    license: str = "other",
) -> list[Path]:
    """Writes the folder of a model for the Hugging Face hub, or any other place.

    =========================== ===================================================
    :obj:`README.md`            the model card, with what was measured
    :obj:`config.json`          class and settings of the model
    :obj:`model.safetensors`    its parameters, for
                                :meth:`~ltgnn_pyg.nn.models.Recommender.from_pretrained`
                                (where the run holds them)
    :obj:`vectors.safetensors`  what is scored, see
                                :func:`~ltgnn_pyg.export.to_safetensors`: lists can be
                                made of it without the graph
    :obj:`ids.parquet`          the raw ids, if asked for
    =========================== ===================================================

    No interactions go along, and no ids unless asked for: they may be of people, and
    the terms of a set may forbid it. Upload the folder with :obj:`huggingface_hub`'s
    :obj:`upload_folder`.

    Args:
        run (RunFolder): The trained model. What :obj:`config.json` has as
            :obj:`metrics`, figures by their names, goes to the card.
        out (str): The folder, made if need be.
        ids (bool, optional): Ships the raw ids. (default: :obj:`False`)
        license (str, optional): The licence of the numbers, by the hub's name for it.
            (default: :obj:`"other"`)

    Returns:
        The files.

    *Cost:* One copy of the tables.
    """
    folder, state = Path(out), run.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    files = to_safetensors(run, folder)
    if state:
        path = folder / "model.safetensors"
        named = {PREFIX + name: value for name, value in state.items()}
        files.append(replace_file(path, lambda to: save_file(named, to)))
    if ids:
        table = pq.read_table(run.path / IDS)
        path = folder / IDS
        files.append(replace_file(path, lambda to: pq.write_table(table, to)))
    card = _card(run, license, has_state=bool(state), has_ids=ids)
    files.append(replace_text(folder / "README.md", card))
    config: dict[str, Any] = {"library_name": "ltgnn_pyg", "version": __version__}
    if "model" in run.config:
        config["model"] = run.config["model"]
    text = json.dumps(config, indent=1) + "\n"
    return [*files, replace_text(folder / "config.json", text)]


def _card(run: RunFolder, license: str, has_state: bool, has_ids: bool) -> str:
    """The text of the model card."""
    model, vectors = run.config.get("model", {}), run.vectors
    name = str(model.get("name", "Vectors"))
    can_build = has_state and name in NAMES and "settings" in model
    metrics = {
        key: value
        for key, value in run.config.get("metrics", {}).items()
        if isinstance(value, int | float)
    }
    head = [
        "---",
        "library_name: ltgnn_pyg",
        f"license: {json.dumps(license)}",
        "tags:",
        "- recommender-systems",
        "- graph-ml",
        "- collaborative-filtering",
    ]
    if metrics:
        head += ["metrics:", *(f"- {json.dumps(key)}" for key in metrics)]
        head += ["model-index:", f"- name: {json.dumps(name)}", "  results:"]
        head += [
            "  - task:",
            "      type: recommendation",
            "    dataset:",
            "      name: the test part of the run",
            "      type: interactions",
            "    metrics:",
        ]
        for key, value in metrics.items():
            head += [f"    - type: {json.dumps(key)}", f"      value: {value}"]
    head += ["---"]
    body = [
        f"# {name}",
        "",
        f"A recommender of {vectors.num_items:,} items to {vectors.num_users:,} users, "
        f"trained with ltgnn_pyg {__version__}. A user and an item score by the inner "
        f"product of their vectors of {vectors.dim} numbers"
        + (", and a bias of the item." if vectors.item_bias is not None else "."),
        "",
        "```python",
        "from safetensors.torch import load_file",
        "",
        "from ltgnn_pyg.scorers import Vectors, top_k",
        "",
        'vectors = Vectors(**load_file("vectors.safetensors"))',
        "scores, items = top_k(vectors, k=10, exclude=known)",
        "```",
        "",
    ]
    if can_build:
        body += [
            "The model itself, to be trained further or scored over another graph:",
            "",
            "```python",
            f"from ltgnn_pyg.nn import {name}",
            "",
            f'model = {name}.from_pretrained(".")',
            "```",
            "",
        ]
    if metrics:
        body += ["| Metric | Value |", "|---|---|"]
        body += [f"| {key} | {value:.4f} |" for key, value in metrics.items()] + [""]
    body.append(
        "`ids.parquet` has the raw ids, users first, in the order of rows."
        if has_ids
        else "Neither interactions nor raw ids are part of this folder: rows are in "
        "the order of the ids of whoever trained it."
    )
    return "\n".join([*head, "", *body]) + "\n"
