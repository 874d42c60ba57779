"""Scripts run as a user runs them, on files small enough for a test."""

import os
import subprocess
import sys
from pathlib import Path

from ltgnn_pyg.datasets import Interactions, synthetic_interactions

ROOT = Path(__file__).parents[1]


def start(script, *args):
    """A script of the repository, in a process of its own."""
    command = [sys.executable, ROOT / script, *map(str, args)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=env, **pipes)


def run(script, *args):
    """The output of a script that ends well."""
    process = start(script, *args)
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


def kill_after(line, script, *args):
    """Kills a script when it has printed a line that starts so."""
    process = start(script, *args)
    assert any(out.startswith(line) for out in process.stdout), process.stderr.read()
    process.kill()
    process.communicate()


def write_lightgcn(folder: Path, data: Interactions | None = None) -> Path:
    """A set in LightGCN's text form, half of it to train on and half to test on."""
    data = synthetic_interactions(300, 200, 4000) if data is None else data
    for name, part in (("train", slice(0, None, 2)), ("test", slice(1, None, 2))):
        rows: dict[int, list[str]] = {}
        pairs = zip(data.user[part].tolist(), data.item[part].tolist(), strict=True)
        for u, i in pairs:
            rows.setdefault(u, []).append(str(i))
        lines = [f"{u} {' '.join(items)}" for u, items in sorted(rows.items())]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
