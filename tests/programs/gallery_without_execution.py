"""Shows, as Sphinx's conf.py, how NumPyro's docs build a page without running it."""

extensions = ["sphinx.ext.mathjax", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["examples"]
sphinx_gallery_conf = {
    "filename_pattern": "/plot_",
    "min_reported_time": 1,
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
}
