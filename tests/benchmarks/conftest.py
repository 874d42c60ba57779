import sys

import pytest

from tests.scripts import ROOT, write_lightgcn

sys.path.append(str(ROOT / "benchmarks"))  # As when a script is run.


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """A small set in LightGCN's text form."""
    return write_lightgcn(tmp_path_factory.mktemp("set"))
