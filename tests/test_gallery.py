"""Is the gallery page what a reader wants to land on, and does the notebook run?"""

import copy
import html
import json
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
from helpers import PROGRAMS, README, ROOT, SCRIPT, a_users_environment, rows
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


@pytest.fixture(scope="session")
def page_html(site):
    return (site / "gallery/bnn.html").read_text()


@pytest.fixture(scope="session")
def output(page_html):
    """What the script printed, as the page shows it."""
    pattern = r'<div class="sphx-glr-script-out.*?</pre>'
    (block,) = re.findall(pattern, page_html, re.S)
    return text(block)


def with_few_draws(code):
    """The code with other defaults, to run in seconds where no flags can be given."""
    for default in [2000, 1000]:
        code = code.replace(f" default={default},", " default=10,")
    return code


# The page, abridged
PROMISES = """
A Bayesian neural network (BNN) ... their number is a choice of prior ... adds the log
density of this value to a sum ... The ones make w1[0] the bias of the first layer ...
the No-U-Turn Sampler ... 14.7 million, mirror images ... All of it ... Behind it ...
Command line ... Total running time of the script ... The first table has a row for each
unknown ... 0.19 on the scale of the standardised Y ... about 96 % of new data ... The
second table is the one to trust ... it compares only its own halves ... The cap of 1023
steps is met by nearly all paths ... Your own data ... Several inputs ... Classes ...
Counts ... Other unknowns ... Other networks ... Many fits in one process ... Call
jax.clear_caches() between them ... Is it the right model? ... Convergence does not tell
... Neal (1996) ... Hoffman and Gelman (2014) ... Betancourt (2017) ... Vehtari et al.
(2021) ... Izmailov et al. (2021)
"""


def test_page_teaches_all_that_it_promises(page_html):
    words = " ".join(text(page_html).replace("’", "'").split())
    for taught in " ".join(PROMISES.split()).split(" ... "):
        assert taught in words, taught


def test_no_markup_is_left_over_in_its_prose(page_html):
    prose = text(re.sub(r"<pre>.*?</pre>", "", page_html, flags=re.S))
    for leftover in ["``", ":math:", "`_", r"\mathrm", "%%"]:
        assert leftover not in prose, leftover


def test_its_output_is_the_tables_alone(output):
    assert len(rows(output)) == 46
    assert re.search(r"^Number of divergences: \d+$", output, re.M)
    assert "What has to converge" in output
    for debris in ["it/s", "%|", "Warning:", "/"]:  # "/": a local path
        assert debris not in output, debris


def test_the_default_run_reproduces_the_known_posterior_and_says_it_converged(output):
    (prec_obs,) = [row for row in rows(output) if row[0] == "prec_obs"]
    mean, sd = float(prec_obs[1]), float(prec_obs[2])
    reference = (ROOT / "tests/reference/posterior.json").read_text()
    stan = json.loads(reference)["prec_obs"]
    # With n_eff about 1500 the standard errors of mean and sd are 0.07 and 0.05, Stan's
    # are a quarter of these; 4.8 of both, and half a unit of the last printed digit.
    assert abs(mean - stan["mean"]) < 0.35
    assert abs(sd - stan["sd"]) < 0.25
    second_table = re.findall(r"^ *(f|prec_obs) +(\d\.\d+) +(\d+)$", output, re.M)
    assert [name for name, _, _ in second_table] == ["f", "prec_obs"]
    for _, r_hat, n_eff in second_table:
        assert float(r_hat) <= 1.01
        assert int(n_eff) > 500
    # nearly all paths end at the cap, as the page says
    at_cap = re.search(r"had 1023 steps, the cap: (\d+) %", output)[1]
    assert int(at_cap) >= 90
    assert "Warning" not in output
    assert "one chain cannot show what it missed" in output


def test_it_tells_no_folder_of_who_built_it(site, page_html):
    for folder in [site.parents[3], ROOT, sys.prefix, os.path.expanduser("~")]:
        assert str(folder) not in text(page_html)


def test_the_index_shows_the_picture(site):
    index = (site / "index.html").read_text()
    thumbnail = re.search(r'<img alt="" src="(_images/[^"]*thumb[^"]*)"', index)[1]
    assert "no_image" not in thumbnail
    assert plt.imread(site / thumbnail).std() > 0.05  # not one plain colour


def test_the_script_is_downloaded_as_it_stands(site):
    (path,) = site.glob("_downloads/*/bnn.py")
    assert path.read_bytes() == SCRIPT.read_bytes()


@pytest.fixture(scope="session")
def notebook(site):
    """The notebook that the page offers for download."""
    (path,) = site.glob("_downloads/*/bnn.ipynb")
    return nbformat.read(path, as_version=4)


def test_downloaded_notebook_has_the_picture_at_its_top_within_it(notebook):
    first, second = [cell.source for cell in notebook.cells[:2]]
    (image,) = re.findall("<img src=.([^\"' ]{40})", first + second)
    assert image.startswith("data:image/png;base64,")  # and not a broken link


def test_downloaded_notebook_runs_from_top_to_bottom(notebook, tmp_path):
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = with_few_draws(cell.source)
    client = nbclient.NotebookClient(notebook, timeout=300)
    client.execute(cwd=tmp_path, env=a_users_environment())  # raises where a cell does
    printed = {"stdout": "", "stderr": ""}
    pictures = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                printed[output.name] += output.text
            pictures += "image/png" in output.get("data", {})
    assert "s, 10 + 10 draws each\n" in printed["stdout"]
    assert len(rows(printed["stdout"])) == 46
    assert "20/20" in printed["stderr"]
    assert "acc. prob" in printed["stderr"]
    assert pictures == 1


SITE = "http://localhost/"
LOADED_WIDTH = "image => image.complete && image.naturalWidth"


@pytest.fixture(scope="session")
def browser():
    names = ["chromium", "chromium-browser", "google-chrome"]
    found = [shutil.which(name) for name in names if shutil.which(name)]
    if not found:
        pytest.skip("no browser: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=found[0], args=["--no-sandbox"]
        )


@pytest.fixture(scope="module", params=[360, 1280], ids=["phone", "desktop"])
def width(request):
    return request.param


@pytest.fixture(scope="module")
def window(browser, site, width):
    """A tab of this width that gets the site's files alone, and a list of errors."""
    tab = browser.new_page(viewport={"width": width, "height": 800})
    errors = []

    def from_the_site_alone(route):
        address = route.request.url
        path = site / address.removeprefix(SITE).split("?")[0]
        if path.is_file():
            route.fulfill(path=path)
        else:
            errors.append(address)
            route.abort()

    def keep_complaints(message):
        if message.type != "log":
            errors.append(message.text)

    tab.route("**/*", from_the_site_alone)
    tab.on("console", keep_complaints)
    tab.on("pageerror", lambda error: errors.append(error.message))
    yield tab, errors
    tab.close()


@pytest.fixture
def page(window):
    """The gallery's page in the browser, which must not miss anything later, either."""
    tab, errors = window
    tab.goto(SITE + "gallery/bnn.html", wait_until="networkidle")
    yield tab
    assert errors == []


@pytest.mark.parametrize("path", ["index.html", "gallery/bnn.html"])
def test_a_page_fits_the_window_and_loads_without_errors(window, width, path):
    tab, errors = window
    tab.goto(SITE + path, wait_until="networkidle")
    too_wide = (PROGRAMS / "wider_than_the_window.js").read_text()
    assert tab.evaluate(too_wide) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert errors == []


def test_the_picture_on_top_is_on_the_visitors_first_screen(page):
    on_top = page.locator("article img").first
    assert on_top.get_attribute("alt").startswith("Noisy data")
    assert on_top.evaluate("image => image.getBoundingClientRect().bottom") <= 800
    assert on_top.evaluate(LOADED_WIDTH) >= 600


def test_the_picture_of_the_run_fills_the_column(page):
    picture = page.locator("img.sphx-glr-single-img")
    picture.scroll_into_view_if_needed()
    assert picture.is_visible()
    assert picture.evaluate(LOADED_WIDTH) >= 800
    column = page.locator("article").bounding_box()
    assert picture.bounding_box()["width"] > 0.9 * column["width"]


def test_the_table_is_shown_whole(page):
    table = page.locator(".sphx-glr-script-out pre")
    assert table.is_visible()
    assert table.evaluate("table => table.clientHeight >= table.scrollHeight")


def test_equations_have_a_size_and_lines_below_each_other(page):
    equations = page.locator("math").all()
    assert len(equations) >= 3
    for equation in equations:
        box = equation.bounding_box()
        assert box["width"] > 5
        assert box["height"] > 5
    lines = page.locator(".equation").first.locator("mtr").all()
    tops = [line.bounding_box()["y"] for line in lines]
    assert len(tops) == 4
    assert min(np.diff(tops)) > 10


# as Sphinx-Gallery does: without the file's name, and with flags of its own
def test_alone_in_a_folder_it_runs_from_elsewhere_in_somebodys_program(
    tmp_path, monkeypatch, capsys
):
    code = with_few_draws(SCRIPT.read_text())
    script = tmp_path / "bnn.py"
    script.write_text(code)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "argv", [str(script), "--not-ours"])
    plt.close("all")
    exec(compile(code, str(script), "exec"), {"__name__": "__main__"})
    assert "10 + 10 draws" in capsys.readouterr().out
    assert len(plt.get_fignums()) == 1  # open, for the gallery to scrape
    assert sorted(os.listdir(tmp_path)) == ["bnn.py", "elsewhere"]
    assert os.listdir(elsewhere) == ["bnn_plot.pdf"]


def test_in_a_gallery_that_does_not_execute_it_the_page_still_builds(tmp_path):
    examples = tmp_path / "examples"
    examples.mkdir()
    shutil.copy(SCRIPT, examples)
    (examples / "README.rst").write_text("Examples\n========\n")
    shutil.copy(PROGRAMS / "gallery_without_execution.py", tmp_path / "conf.py")
    index = "Docs\n====\n\n.. toctree::\n\n   gallery/index\n"
    (tmp_path / "index.rst").write_text(index)
    sphinx(tmp_path, "-W -b html . html")
    page = (tmp_path / "html/gallery/bnn.html").read_text()
    assert "def model" in text(page)
    assert "sphx-glr-script-out" not in page
    assert sorted(os.listdir(examples)) == ["README.rst", "bnn.py"]
