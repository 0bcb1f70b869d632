"""The report: self-contained, safe with untrusted names, byte-identical, and its slider counts like Python does."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from candling.intervals import clopper_pearson
from candling.measure.anomaly import best_f1
from candling.workflow import words
from candling.workflow.evaluation import Figure
from candling.workflow.report import render_report, write_evaluation, write_report

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>.png"
IMAGES = [
    ("g1.png", "good", 0.2),
    ("g2.png", "good", 0.7),
    ("g3.png", "good", 1.2),
    ("c1.png", "crack", 0.6),
    ("c2.png", "crack", 1.6),
    (EVIL, "poke", 2.5),
    ("p2.png", "poke", math.inf),
]


class Page(HTMLParser):
    """Collects every tag with its attributes, and the text inside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        self.texts.setdefault(self._inside, []).append(data)

    def named(self, tag):
        """Give the attributes of every element of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(make_evaluation, make_example):
    """A report with a gallery of one image with an evil name."""
    evaluation = make_evaluation(IMAGES)
    example = make_example(evaluation.images[5], "Defects found")
    return render_report(make_evaluation(IMAGES, examples=(example,), notes=("Beware of <b>.",)))


def test_the_same_evaluation_gives_the_same_bytes(make_evaluation, tmp_path):
    """Nothing of the time or place of rendering is inside."""
    for name in ("one.html", "two.html"):
        write_report(make_evaluation(IMAGES), tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_the_page_asks_no_server_for_anything(page):
    """No address of a server stands in it, nothing is linked, and pictures are data URIs."""
    assert "http:" not in page
    assert "https:" not in page
    parsed = Page(page)
    assert not {tag for tag, _ in parsed.tags} & {"link", "iframe", "object", "embed", "base", "a"}
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in parsed.named("img"))
    assert all("src" not in script for script in parsed.named("script"))
    style = "".join(parsed.texts["style"])
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_names_exactly_our_script_and_style(page):
    """The Content-Security-Policy forbids every request and every inline code but the two whose hash it holds."""
    parsed = Page(page)
    policy = next(m["content"] for m in parsed.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    for found in (script, style):
        digest = base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not any(name.startswith("on") or name == "style" for _, attributes in parsed.tags for name in attributes)


def test_a_name_cannot_leave_its_place(page):
    """A file name with a closing script tag is text in the page and escaped in the data."""
    parsed = Page(page)
    assert len(parsed.named("script")) == 2
    assert [image for image in parsed.named("img") if image.get("src") == "x"] == []
    data = re.search(r'<script type="application/json" id="evaluation">(.*?)</script>', page, re.DOTALL).group(1)
    assert "<" not in data
    assert json.loads(data)["names"][5] == EVIL
    assert page.count(html.escape(EVIL, quote=False)) >= 2  # in the gallery, as text
    assert "Beware of &lt;b&gt;." in page


def test_rates_are_said_with_their_interval(page):
    """Missed defects and false rejects stand there in words, with counts, percentage and interval."""
    assert "Missed defects 1 of 4 (25.0 %, 95 % interval 0.6 to 80.6 %)" in page
    assert "False rejects 1 of 3 (33.3 %, 95 % interval 0.8 to 90.6 %)" in page


def test_the_page_reads_without_its_script(page):
    """Everything moved by the script is hidden until it runs; the fallback says so, and the tables hold the numbers."""
    parsed = Page(page)
    assert any(section.get("id") == "live" and "hidden" in section for section in parsed.named("section"))
    assert "<noscript>" in page
    assert "not computed here" in page


def test_unreadable_images_are_listed_with_their_reason(page):
    """An image that could not be judged is named beside its reason."""
    assert re.search(r"rejected: <code>p2\.png</code> \(not a PNG\)", page)


@pytest.mark.parametrize(
    "images", [[("g.png", "good", 0.5)], [("c.png", "crack", 1.5)], [("c.png", "crack", math.inf)]], ids=str
)
def test_a_set_with_one_kind_of_image_still_makes_a_page(make_evaluation, images):
    """Without defects, without good images, without one readable image: the page says what is missing."""
    text = render_report(make_evaluation(images))
    assert "not computed here" in text


def test_a_figure_is_shown_with_its_interval(make_evaluation):
    """Three digits after the point, the interval in brackets; a missing one is its reason."""
    figures = dict(make_evaluation(IMAGES).figures) | {"image_auroc": Figure(0.91251, 0.8, 1.0)}
    text = render_report(make_evaluation(IMAGES, figures=figures))
    assert '<td class="n" data-figure="image_auroc">0.913 (0.800 to 1.000)</td>' in text


def test_many_misjudged_images_make_no_endless_page(make_evaluation):
    """Ten thousand missed defects stay below 8 MB; the page says how many are not listed."""
    text = render_report(make_evaluation([(f"{i}.png", "crack", 0.5) for i in range(10_000)]))
    assert len(text) < 8_000_000
    assert "9600 more are in the CSV" in text


def test_three_files_are_written(make_evaluation, tmp_path):
    """The JSON, the table and the page stand beside each other and agree."""
    report = write_evaluation(make_evaluation(IMAGES), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.json", "images.csv", "report.html"]
    assert make_evaluation(IMAGES).sha256() in report.read_text("utf-8")
    assert (tmp_path / "images.csv").read_bytes().count(b"\r\n") == len(IMAGES) + 1


# ---- in a browser ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open a page in headless Chromium and give the text of every element with an id, after its script ran."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed, so the page's script is not run")
    profile = tmp_path_factory.mktemp("profile")

    def dump(path, fragment=""):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        done = subprocess.run(
            [chromium, *flags, f"--user-data-dir={profile}", "--dump-dom", f"{path.as_uri()}{fragment}"],
            capture_output=True,
            timeout=90,
            check=False,
        )
        if not done.stdout.strip():
            pytest.skip(f"Chromium does not run here: {done.stderr.decode(errors='replace').strip()[-200:]}")
        return done.stdout.decode()

    return dump


def text_of(dom: str, name: str) -> str:
    """Give the text of the element with this id."""
    found = re.search(rf'<(\w+)[^>]*\bid="{name}"[^>]*>(.*?)</\1>', dom, re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", found.group(2))).strip()


@pytest.fixture(scope="module")
def many():
    """Two hundred images with overlapping severities, some not judged."""
    rng = np.random.default_rng(4)
    good = [(f"g{i}.png", "good", float(s)) for i, s in enumerate(rng.normal(0.2, 0.5, 83))]
    defect = [(f"d{i}.png", "crack" if i % 3 else "poke", float(s)) for i, s in enumerate(rng.normal(1.8, 0.9, 117))]
    return [*good, *defect, ("torn.png", "good", math.inf), (EVIL, "poke", math.inf)]


@pytest.mark.parametrize("place", ["the bundle's", "on an image", "beyond all"])
def test_the_slider_counts_like_python(browse, make_evaluation, many, tmp_path, place):
    """At any limit the page's counts, percentages, exact intervals and F1 are Python's, to the last digit shown."""
    limit = {"the bundle's": 1.0, "on an image": many[3][2], "beyond all": 50.0}[place]
    write_report(make_evaluation(many), tmp_path / "report.html")
    dom = browse(tmp_path / "report.html", f"#limit={limit!r}")
    good = [severity for _, label, severity in many if label == "good"]
    defect = [severity for _, label, severity in many if label != "good"]
    missed, rejects = sum(s <= limit for s in defect), sum(s > limit for s in good)
    found = len(defect) - missed
    for name, hits, total in (("missed", missed, len(defect)), ("rejects", rejects, len(good))):
        said = words.rate(hits, total, clopper_pearson(hits, total), confidence=0.95)
        assert text_of(dom, f"{name}-1") == said
    assert text_of(dom, "counts-1") == f"{len(many) - found - rejects} accepted, {found + rejects} rejected"
    assert text_of(dom, "f1-1") == words.fixed(2 * found / (len(defect) + found + rejects), 3)
    assert text_of(dom, "units").endswith(f"error {0.1 + limit * 0.2:.4g}.")
    assert 'id="live"' in dom
    assert "<svg" in text_html(dom, "histogram")


def text_html(dom: str, name: str) -> str:
    """Give what follows the opening tag of an element."""
    return dom.split(f'id="{name}"', 1)[1][:200]


def test_the_page_says_what_a_verdict_is_worth_where_defects_are_rare(browse, make_evaluation, many, tmp_path):
    """Bayes' rule at 2 defects in a thousand: the share of rejects that are defects, and escapes in a million."""
    write_report(make_evaluation(many), tmp_path / "report.html")
    dom = browse(tmp_path / "report.html", "#limit=1.3&prevalence=2")
    good = [severity for _, label, severity in many if label == "good"]
    defect = [severity for _, label, severity in many if label != "good"]
    miss, reject = np.mean([s <= 1.3 for s in defect]), np.mean([s > 1.3 for s in good])
    worth = 0.002 * (1 - miss) / (0.002 * (1 - miss) + 0.998 * reject)
    escapes = 1e6 * 0.002 * miss / (0.002 * miss + 0.998 * (1 - reject))
    said = text_of(dom, "predictive")
    assert f"Of the rejected products, {words.percent(worth)} (" in said
    assert f"Of a million accepted products, {words.fixed(escapes, 0)} (" in said


def test_the_limit_of_best_f1_gives_the_best_f1(browse, make_evaluation, many, tmp_path):
    """Moving the page's limit to the one Python found gives Python's best F1."""
    good = [severity for _, label, severity in many if label == "good"]
    defect = [severity for _, label, severity in many if label != "good"]
    best, limit = best_f1(good, defect)
    write_report(make_evaluation(many, best_severity=limit), tmp_path / "report.html")
    assert text_of(browse(tmp_path / "report.html", f"#limit={limit!r}"), "f1-1") == words.fixed(best, 3)


def test_names_stay_text_in_the_browser(browse, make_evaluation, tmp_path):
    """After the script ran, the evil name is a title and made no element."""
    write_report(make_evaluation(IMAGES), tmp_path / "report.html")
    dom = browse(tmp_path / "report.html")
    assert "<img src" not in dom
    assert dom.count("<script") == 2
    assert "onerror=alert(2)&gt;.png" in dom


def test_one_kind_of_image_breaks_no_script(browse, make_evaluation, tmp_path):
    """Without defects the live part still counts false rejects."""
    write_report(make_evaluation([("a.png", "good", 0.5), ("b.png", "good", 2.5)]), tmp_path / "report.html")
    dom = browse(tmp_path / "report.html", "#limit=0.4")
    assert text_of(dom, "missed-1") == "–"
    assert text_of(dom, "rejects-1").startswith("2 of 2 (100.0 %")
    assert text_of(dom, "roc") == "Needs good images and defects."
