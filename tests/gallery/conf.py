"""Sphinx turns bnn.py, executed as it stands, into the gallery page and a notebook."""

import pathlib
import shutil

from docutils import nodes
from docutils.utils.math import pick_math_environment
from math_core import LatexToMathML

HERE = pathlib.Path(__file__).parent
shutil.copy(HERE.parents[1] / "bnn.py", HERE / "examples")

project = html_title = "bnn.py"
exclude_patterns = ["_build", "examples", "gallery/index.rst"]
extensions = ["sphinx_gallery.gen_gallery"]

html_theme = "pydata_sphinx_theme"
html_theme_options = {"secondary_sidebar_items": ["page-toc"]}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_sidebars = {"**": []}
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_favicon = "_static/favicon.svg"

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "bnn",
    "abort_on_example_error": True,
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "notebook_images": True,  # the picture at the top is in the notebook, not beside it
    "download_all_examples": False,
    "show_signature": False,
}


def visit_math(translator, node):
    """Typeset in-line math as MathML, which browsers draw without a script."""
    tex = node.astext()
    mathml = LatexToMathML().convert_with_local_state(tex, displaystyle=False)
    translator.body.append(mathml)
    raise nodes.SkipNode


def visit_math_block(translator, node):
    """Typeset an equation, or several that are aligned at the ``&``."""
    tex, environment = node.astext(), pick_math_environment(node.astext())
    tex = rf"\begin{{{environment}}}{tex}\end{{{environment}}}"
    mathml = LatexToMathML().convert_with_local_state(tex, displaystyle=True)
    translator.body.append(f'<div class="equation">{mathml}</div>')
    raise nodes.SkipNode


def setup(app):
    """Make these Sphinx's renderer of equations."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
