"""How Sphinx makes the site of these pages: ``nox -s docs``, or ``sphinx-build -W --keep-going docs build/site``.

The build is strict. A link that leads nowhere, a page that no table of contents has, a public name that the reference
lacks, and one that has no docstring are warnings, and a warning fails it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import t2bus

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "t2bus"
author = "t2bus maintainers"
copyright = author  # noqa: A001 -- Sphinx's name for it
version = release = t2bus.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_pages", "public_names"]
exclude_patterns = ["_ext", "_static", "container", "systemd"]
nitpicky = True
smartquotes_action = "De"  # dashes, but no quotes: most of these are those of code

# --- pages

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

# --- docstrings

default_role = "code"
add_module_names = False
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

# Names of other packages are linked where there is a net to ask for them, and plain text elsewhere.
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
    }

# --- looks

html_theme = "furo"
html_title = "t2bus"
pygments_dark_style = "github-dark"
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "https://t2bus.readthedocs.io/")
html_static_path = ["_static"]
html_css_files = ["t2bus.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/t2bus/t2bus/",
    "source_branch": "main",
    "source_directory": "docs/",
}
