"""Is the gallery page what a reader wants to land on, and does the notebook run?"""

import html
import os
import re
import shutil
import subprocess
import sys

import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest
from helpers import README, ROOT, a_users_environment, rows
from playwright.sync_api import sync_playwright


def sphinx(folder, arguments):
    """Build pages in the folder, which must not fail; return what was printed."""
    command = [sys.executable, "-m", "sphinx", *arguments.split()]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the gallery with the README's command, in a copy; return its folder."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / "bnn.py", root)
    not_committed = shutil.ignore_patterns("_build", "gallery", "bnn*", "sg_*")
    gallery = "tests/gallery"
    shutil.copytree(ROOT / gallery, root / gallery, ignore=not_committed)
    command = re.search(r"\.venv/bin/python -m sphinx (.*)", README)[1]
    assert "it/s" not in sphinx(root, command)  # no bar in the build's log
    return root / gallery / "_build/html"


def text(markup):
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def with_few_draws(code):
    """The code with other defaults, to run in seconds where no flags can be given."""
    return code.replace("(2000, 4,", "(10, 4,").replace("(1000, 0,", "(10, 0,")


# The page, abridged
PROMISES = """
A Bayesian neural network (BNN) ... their number is a choice of prior ... adds its log
density to a sum ... The ones make w1[0] the bias of the first layer ... the No-U-Turn
Sampler ... 14.7 million, mirror images ... Total running time of the script ... The
first table has a row for each unknown ... 0.19 on the scale of the standardised Y ...
about 96 % of new data ... The second table is the one to trust ... one chain compares
only its own halves ... the cap of 1023 steps ... Your own data ... Several inputs ...
Classes ... Other networks ... Neal (1996) ... Hoffman and Gelman (2014) ... Betancourt
(2017) ... Vehtari et al. (2021) ... Izmailov et al. (2021)
"""


def test_page_teaches_all_that_it_promises_and_its_output_is_the_tables_alone(site):
    page = (site / "gallery/bnn.html").read_text()
    words = " ".join(text(page).replace("’", "'").split())
    for taught in " ".join(PROMISES.split()).split(" ... "):
        assert taught in words, taught
    # neither reStructuredText nor LaTeX is left over
    prose = text(re.sub(r"<pre>.*?</pre>", "", page, flags=re.S))
    for leftover in ["``", ":math:", "`_", r"\mathrm", "%%"]:
        assert leftover not in prose, leftover
    (block,) = re.findall(r'<div class="sphx-glr-script-out.*?</pre>', page, re.S)
    output = text(block)
    assert len(rows(output)) == 46
    assert re.search(r"^Number of divergences: \d+$", output, re.M)
    assert "What has to converge" in output
    for debris in ["it/s", "%|", "Warning:", "/"]:  # "/": a local path
        assert debris not in output, debris
    for folder in [site.parents[3], ROOT, sys.prefix, os.path.expanduser("~")]:
        assert str(folder) not in text(page)


def test_the_index_shows_the_picture_and_the_script_is_downloaded_as_it_stands(site):
    index = (site / "index.html").read_text()
    thumbnail = re.search(r'<img alt="" src="(_images/[^"]*thumb[^"]*)"', index)[1]
    assert "no_image" not in thumbnail
    assert plt.imread(site / thumbnail).std() > 0.05  # not one plain colour
    (path,) = site.glob("_downloads/*/bnn.py")
    assert path.read_bytes() == (ROOT / "bnn.py").read_bytes()


def test_downloaded_notebook_runs_from_top_to_bottom(site, tmp_path):
    (path,) = site.glob("_downloads/*/bnn.ipynb")
    notebook = nbformat.read(path, as_version=4)
    top = notebook.cells[1].source if notebook.cells[1].cell_type == "markdown" else ""
    (image,) = re.findall("<img src=.([^\"' ]{40})", top + notebook.cells[0].source)
    assert image.startswith("data:image/png;base64,")  # and not a broken link
    for cell in notebook.cells:
        cell.source = with_few_draws(cell.source)
    client = nbclient.NotebookClient(notebook, timeout=300)
    client.execute(cwd=tmp_path, env=a_users_environment())  # raises where a cell does
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
    bar = "".join(o.text for o in outputs if o.get("name") == "stderr")
    assert "1 chain(s) on 1 of 1 device(s), 10 + 10 draws" in printed
    assert len(rows(printed)) == 46
    assert "20/20" in bar and "acc. prob" in bar
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1


@pytest.fixture(scope="session")
def browser():
    names = ["chromium", "chromium-browser", "google-chrome"]
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no browser: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


# What makes the page scroll sideways, or is cut off: all that is wider than the window
# and not inside something that scrolls by itself, as the table does.
WIDER_THAN_THE_WINDOW = """() => {
  const inside = e => e.getBoundingClientRect().right <= window.innerWidth;
  const scrolls = e => e.tagName != "ARTICLE" && (
    getComputedStyle(e).overflowX == "auto" && inside(e) || scrolls(e.parentElement));
  const wide = [...document.querySelectorAll("article *")].filter(e => !inside(e));
  return wide.filter(e => !scrolls(e)).map(e => e.outerHTML.slice(0, 80));
}"""
LOADED_WIDTH = "image => image.complete && image.naturalWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280], ids=["phone", "desktop"])
def test_page_reads_well_in_a_browser(browser, site, width, scheme):
    viewport = {"width": width, "height": 800}
    tab = browser.new_page(viewport=viewport, color_scheme=scheme)
    address, errors = "http://localhost/", []

    def from_the_site_alone(route):
        path = site / route.request.url.removeprefix(address).split("?")[0]
        if path.is_file():
            route.fulfill(path=path)
        else:
            errors.append(route.request.url)
            route.abort()

    tab.route("**/*", from_the_site_alone)
    tab.on("console", lambda m: m.type != "log" and errors.append(m.text))
    tab.on("pageerror", lambda e: errors.append(e.message))
    for path in ["index.html", "gallery/bnn.html"]:
        tab.goto(address + path, wait_until="networkidle")
        assert tab.evaluate(WIDER_THAN_THE_WINDOW) == [], path
        assert tab.evaluate("document.documentElement.scrollWidth") <= width

    on_top = tab.locator("article img").first
    assert on_top.get_attribute("alt").startswith("Noisy data")
    bottom = "image => image.getBoundingClientRect().bottom"
    assert on_top.evaluate(bottom) <= 800  # on the visitor's first screen
    assert on_top.evaluate(LOADED_WIDTH) >= 600

    picture = tab.locator("img.sphx-glr-single-img")
    picture.scroll_into_view_if_needed()
    assert picture.is_visible()
    assert picture.evaluate(LOADED_WIDTH) >= 800
    column = tab.locator("article").bounding_box()["width"]
    assert picture.bounding_box()["width"] > 0.9 * column  # full width

    table = tab.locator(".sphx-glr-script-out pre")
    assert table.is_visible()
    assert table.evaluate("t => parseFloat(getComputedStyle(t).fontSize)") >= 12
    assert table.evaluate("t => t.clientHeight >= t.scrollHeight")  # shown whole

    equations = [math.bounding_box() for math in tab.locator("math").all()]
    assert len(equations) >= 3
    assert all(box["width"] > 5 and box["height"] > 5 for box in equations)
    lines = tab.locator(".equation").first.locator("mtr").all()
    tops = [line.bounding_box()["y"] for line in lines]
    assert len(tops) == 4 and min(np.diff(tops)) > 10  # none on another

    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
    for name in ["bnn.py", "bnn.ipynb"]:
        link = tab.locator(f".sphx-glr-download a[href$='{name}']")
        assert (site / "gallery" / link.get_attribute("href")).stat().st_size > 1000
    assert errors == []
    tab.close()


# as Sphinx-Gallery and as runpy do
@pytest.mark.parametrize("with_file", [False, True], ids=["gallery", "runpy"])
def test_alone_in_a_folder_it_runs_from_elsewhere_under_an_empty_argv(
    tmp_path, with_file, monkeypatch, capsys
):
    code = with_few_draws((ROOT / "bnn.py").read_text())
    script, elsewhere = tmp_path / "bnn.py", tmp_path / "elsewhere"
    script.write_text(code)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "argv", [])
    plt.close("all")
    names = {"__name__": "__main__"} | ({"__file__": str(script)} if with_file else {})
    exec(compile(code, str(script), "exec"), names)
    assert "10 + 10 draws" in capsys.readouterr().out
    assert len(plt.get_fignums()) == 1  # open, for the gallery to scrape
    assert sorted(os.listdir(tmp_path)) == ["bnn.py", "elsewhere"]
    assert os.listdir(elsewhere) == ["bnn_plot.pdf"]


# as in NumPyro's docs/source/conf.py
DOES_NOT_EXECUTE = """
extensions = ['sphinx.ext.mathjax', 'sphinx_gallery.gen_gallery']
exclude_patterns = ['examples']
sphinx_gallery_conf = {'filename_pattern': '/plot_', 'min_reported_time': 1}
sphinx_gallery_conf |= {'examples_dirs': 'examples', 'gallery_dirs': 'gallery'}
"""


def test_in_a_gallery_that_does_not_execute_it_the_page_still_builds(tmp_path):
    examples = tmp_path / "examples"
    examples.mkdir()
    shutil.copy(ROOT / "bnn.py", examples)
    (examples / "README.rst").write_text("Examples\n========\n")
    (tmp_path / "conf.py").write_text(DOES_NOT_EXECUTE)
    index = "Docs\n====\n\n.. toctree::\n\n   gallery/index\n"
    (tmp_path / "index.rst").write_text(index)
    sphinx(tmp_path, "-W -b html . html")
    page = (tmp_path / "html/gallery/bnn.html").read_text()
    assert "def model" in text(page) and "sphx-glr-script-out" not in page
    assert sorted(os.listdir(examples)) == ["README.rst", "bnn.py"]
