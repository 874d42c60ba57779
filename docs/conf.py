"""Builds the pages: `sphinx-build -W -b html docs docs/_build`."""

from importlib import import_module

from ltgnn_pyg.version import __version__

project = "ltgnn_pyg"
release = version = __version__
html_title = f"{project} {version}"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # Links from the README to files of the tree.

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # The docstrings say them, with defaults.
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_custom_sections = ["Shapes"]
napoleon_use_ivar = True
napoleon_use_rtype = False


def by_origin(app, env, node, content):
    """Finds what is documented in its own room under a shorter name, too."""
    if node.get("refdomain") != "py":
        return None
    room, _, name = node["reftarget"].rpartition(".")
    try:
        found = getattr(import_module(room), name)
        origin = f"{found.__module__}.{found.__qualname__}"
    except (ImportError, AttributeError, ValueError):
        return None
    where = env, node["refdoc"], app.builder, node["reftype"], origin, node, content
    return env.get_domain("py").resolve_xref(*where)


def setup(app):
    """Called by sphinx."""
    app.connect("missing-reference", by_origin)
