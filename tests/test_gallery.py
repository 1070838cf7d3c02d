"""Is the gallery page what a reader wants to land on, and does the notebook run?

The tests in a browser need Debian's package chromium, and skip where it is missing.
"""

import functools
import html
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading

import matplotlib.pyplot as plt
import nbclient
import nbformat
import pytest
from conftest import ROOT
from playwright.sync_api import sync_playwright
from test_command_line import rows

README = (ROOT / "README.md").read_text()
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the gallery with the README's command, in a copy; return its folder."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / "bnn.py", root)
    (root / "tests").mkdir()
    committed = ["_static", "examples/GALLERY_HEADER.rst", "conf.py", "index.rst"]
    for name in committed:
        source, target = ROOT / "tests/gallery" / name, root / "tests/gallery" / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    command = re.search(r"\.venv/bin/python (-m sphinx .*)", README)[1].split()
    result = subprocess.run(
        [sys.executable, *command], cwd=root, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "it/s" not in result.stdout + result.stderr  # no bar in the build's log
    return root / "tests/gallery/_build/html"


@pytest.fixture(scope="session")
def page(site):
    return (site / "gallery/bnn.html").read_text()


def text(markup):
    """The text of some HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def output_block(page):
    (block,) = re.findall(r'<div class="sphx-glr-script-out.*?</pre>', page, re.S)
    return text(block)


def with_few_draws(code):
    """The code with other defaults, to run in seconds where no flags can be given."""
    return code.replace("(2000, 4,", "(10, 4,").replace("(1000, 0,", "(10, 0,")


def test_output_block_holds_the_tables_and_nothing_else(page, site):
    output = output_block(page)
    assert len(rows(output)) == 46
    assert re.search(r"^Number of divergences: \d+$", output, re.M)
    assert "What has to converge" in output
    for debris in ["it/s", "%|", "Warning:", "/"]:  # "/": a local path
        assert debris not in output, debris
    for folder in [site.parents[3], ROOT, sys.prefix, os.path.expanduser("~")]:
        assert str(folder) not in text(page)


def test_page_teaches_all_that_it_promises(page):
    words = " ".join(text(page).replace("’", "'").split())
    for taught in [
        "A Bayesian neural network (BNN)",
        "their number is a choice of prior",
        "adds its log density to a sum",
        "The ones make w1[0] the bias of the first layer",
        "the No-U-Turn Sampler",
        "14.7 million, mirror images",
        "The first table has a row for each unknown",
        "The second table is the one to trust",
        "0.19 on the scale of the standardised Y",
        "about 96 % of new data",
        "the cap of 1023 steps",
        "one chain compares only its own halves",
        "Your own data",
        "Several inputs",
        "Classes",
        "Other networks",
        "Neal (1996)",
        "Hoffman and Gelman (2014)",
        "Betancourt (2017)",
        "Vehtari et al. (2021)",
        "Izmailov et al. (2021)",
        "Total running time of the script",
    ]:
        assert taught in words, taught
    # neither reStructuredText nor LaTeX is left over
    prose = text(re.sub(r"<pre>.*?</pre>", "", page, flags=re.S))
    for leftover in ["``", ":math:", "`_", r"\mathrm", "%%"]:
        assert leftover not in prose, leftover


def test_the_index_shows_the_picture_and_the_script_is_downloaded_as_it_stands(site):
    index = (site / "index.html").read_text()
    thumbnail = re.search(r'<img alt="" src="(_images/[^"]*thumb[^"]*)"', index)[1]
    assert "no_image" not in thumbnail
    assert plt.imread(site / thumbnail).std() > 0.05  # not one plain colour
    (path,) = site.glob("_downloads/*/bnn.py")
    assert path.read_bytes() == (ROOT / "bnn.py").read_bytes()


def test_downloaded_notebook_runs_from_top_to_bottom(site, tmp_path, monkeypatch):
    for name in ["CI", "PYTEST_XDIST_WORKER"]:  # NumPyro has no progress bar there
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own: inline
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # those of the tests
    (path,) = site.glob("_downloads/*/bnn.ipynb")
    notebook = nbformat.read(path, as_version=4)
    top = notebook.cells[1].source if notebook.cells[1].cell_type == "markdown" else ""
    (image,) = re.findall("<img src=.([^\"' ]{40})", top + notebook.cells[0].source)
    assert image.startswith("data:image/png;base64,")  # and not a broken link
    for cell in notebook.cells:
        cell.source = with_few_draws(cell.source)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises where a cell does
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
    bar = "".join(o.text for o in outputs if o.get("name") == "stderr")
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert "1 chain(s) on 1 of 1 device(s), 10 + 10 draws" in printed
    assert len(rows(printed)) == 46
    assert "20/20" in bar and "acc. prob" in bar
    assert len(pictures) == 1


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no browser: apt-get install chromium")
    flags = ["--no-sandbox", "--disable-quic"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address(site):
    """Serve the built page on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# What makes the page scroll sideways, or is cut off: all that is wider than the window
# and not inside something that scrolls by itself, as the table does.
WIDER_THAN_THE_WINDOW = """
[...document.querySelectorAll("article *")].filter(element => {
  if (element.getBoundingClientRect().right <= window.innerWidth) return false;
  for (let e = element; e.tagName != "ARTICLE"; e = e.parentElement)
    if (getComputedStyle(e).overflowX == "auto"
        && e.getBoundingClientRect().right <= window.innerWidth) return false;
  return true;
}).map(element => element.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280], ids=["phone", "desktop"])
def test_page_reads_well_in_a_browser(browser, address, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    tab = context.new_page()
    errors, elsewhere = [], []

    def local_only(route):
        if route.request.url.startswith(address):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    tab.route("**/*", local_only)
    tab.on("console", lambda m: m.type != "log" and errors.append(m.text))
    tab.on("pageerror", lambda e: errors.append(e.message))
    tab.on("response", lambda r: r.status >= 400 and errors.append(r.url))
    for path in ["index.html", "gallery/bnn.html"]:
        tab.goto(f"{address}/{path}", wait_until="networkidle")
        assert tab.evaluate(WIDER_THAN_THE_WINDOW) == [], path
        assert tab.evaluate("document.documentElement.scrollWidth") <= width

    on_top = tab.locator("article img").first
    assert on_top.get_attribute("alt").startswith("Noisy data")
    box = on_top.bounding_box()
    assert box["y"] + box["height"] <= 800  # on the visitor's first screen
    assert on_top.evaluate("i => i.complete && i.naturalWidth") >= 600

    picture = tab.locator("img.sphx-glr-single-img")
    picture.scroll_into_view_if_needed()
    assert picture.is_visible()
    assert picture.evaluate("i => i.complete && i.naturalWidth") >= 800
    column = tab.locator("article").bounding_box()["width"]
    assert picture.bounding_box()["width"] > 0.9 * column  # full width

    table = tab.locator(".sphx-glr-script-out pre")
    assert table.is_visible()
    assert table.evaluate("t => parseFloat(getComputedStyle(t).fontSize)") >= 12
    assert table.evaluate("t => t.clientHeight >= t.scrollHeight")  # shown whole

    equations = tab.locator("math")
    assert equations.count() >= 3
    for box in [equation.bounding_box() for equation in equations.all()]:
        assert box["width"] > 5 and box["height"] > 5
    lines = (
        tab.locator(".equation").first.locator("mtr").all()
    )  # one below the other, none on another
    tops = [line.bounding_box()["y"] for line in lines]
    assert len(tops) == 4 and all(
        b - a > 10 for a, b in zip(tops, tops[1:], strict=False)
    )

    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
    for name in ["bnn.py", "bnn.ipynb"]:
        link = tab.locator(f".sphx-glr-download a[href$='{name}']")
        answer = context.request.get(f"{address}/gallery/{link.get_attribute('href')}")
        assert answer.ok and len(answer.body()) > 1000
    assert (errors, elsewhere) == ([], [])
    context.close()


@pytest.mark.parametrize("with_file", [False, True], ids=["gallery", "runpy"])
def test_alone_in_a_folder_it_runs_from_elsewhere_under_an_empty_argv(
    tmp_path, with_file, monkeypatch, capsys
):
    (tmp_path / "alone").mkdir()
    (tmp_path / "elsewhere").mkdir()
    script = with_few_draws((ROOT / "bnn.py").read_text())
    (tmp_path / "alone/bnn.py").write_text(script)
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "argv", [])
    plt.close("all")
    path = str(tmp_path / "alone/bnn.py")
    name = {"__name__": "__main__", **({"__file__": path} if with_file else {})}
    exec(compile(script, path, "exec"), name)  # as Sphinx-Gallery and runpy do
    assert "10 + 10 draws" in capsys.readouterr().out
    assert len(plt.get_fignums()) == 1  # open, for the gallery to scrape
    assert os.listdir(tmp_path / "alone") == ["bnn.py"]
    assert os.listdir(tmp_path / "elsewhere") == ["bnn_plot.pdf"]
    plt.close("all")


# as in NumPyro's docs/source/conf.py
DOES_NOT_EXECUTE = """
extensions = ['sphinx.ext.mathjax', 'sphinx_gallery.gen_gallery']
exclude_patterns = ['examples']
sphinx_gallery_conf = {
    'examples_dirs': ['examples'], 'gallery_dirs': ['gallery'],
    'filename_pattern': '/plot_', 'min_reported_time': 1,
}
"""


def test_in_a_gallery_that_does_not_execute_it_the_page_still_builds(tmp_path):
    index = "Docs\n====\n\n.. toctree::\n\n   gallery/index\n"
    (tmp_path / "examples").mkdir()
    (tmp_path / "conf.py").write_text(DOES_NOT_EXECUTE)
    (tmp_path / "index.rst").write_text(index)
    (tmp_path / "examples/README.rst").write_text("Examples\n========\n")
    shutil.copy(ROOT / "bnn.py", tmp_path / "examples")
    command = [sys.executable, *"-m sphinx -W -b html . html".split()]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "html/gallery/bnn.html").read_text()
    assert "def model" in text(page) and "sphx-glr-script-out" not in page
    assert sorted(os.listdir(tmp_path / "examples")) == ["README.rst", "bnn.py"]
