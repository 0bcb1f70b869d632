"""What is written of a qualification: the same bytes, no request, no escape from a name, figures as computed."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import xml.etree.ElementTree as ET

import pytest

from candling.decide.qualification import KitEntry, MachineRun, ManualInspection, Plan, qualify
from candling.types import Verdict
from candling.workflow.qualify import (
    Provenance,
    csv_lines,
    json_text,
    qualify_tables,
    render_page,
    to_json,
    write_qualification,
)
from candling.workflow.qualify.facts import COLUMNS, identity

EVIL = '</svg><script>alert(1)</script>"&<img src=x onerror=alert(2)>'
ORIGIN = Provenance("Strips", "kit.csv", "k" * 64, "machine.csv", "m" * 64, versions={"candling": "0.1.0"})


def make(*, manual=True, defect="crack", good="G", plan=None, inspector="Anna"):
    """Qualify on two defects and two good containers."""
    kit = [KitEntry("D1", defect), KitEntry("D2", defect), KitEntry(good), KitEntry("H")]
    rejects = {"D1": 10, "D2": 8, good: 0, "H": 5}
    runs = [
        MachineRun(name, str(run), Verdict.REJECT if run < count else Verdict.ACCEPT, 0.25)
        for name, count in rejects.items()
        for run in range(10)
    ]
    seen = [
        ManualInspection(entry.product, inspector, str(turn), rejected=not entry.is_good and turn > 0)
        for entry in kit
        for turn in range(10)
    ]
    return qualify(kit, runs, seen if manual else None, plan=plan)


@pytest.fixture
def page():
    """The report of a qualification whose names try to leave their place."""
    return render_page(make(defect=EVIL, good=EVIL, inspector=EVIL), ORIGIN)


def test_the_same_qualification_gives_the_same_bytes(tmp_path):
    """Nothing of the time or place of writing is inside any of the three files."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_qualification(make(), ORIGIN, tmp_path / name)
    for file in ("qualification.html", "qualification.json", "containers.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_page_asks_no_server_for_anything(page):
    """No address, no link, no script, no picture from outside; the policy allows one style, by its hash."""
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<(script|link|iframe|img|a|object|base)[\s>]", page)
    assert not re.search(r"\s(on\w+|style)=", re.sub(r"&[^;]*;.*?&gt;", "", page))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    assert "url(" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;" in page


def test_names_stay_text(page):
    """Names of containers, defects and inspectors stand escaped in tables and drawings."""
    assert "<script" not in page
    assert "onerror=alert(2)&gt;" in page
    assert page.count("&lt;/svg&gt;") >= 5


def test_drawings_are_well_formed(page):
    """Each drawing is XML of its own with a title; there are five with inspectors and three without."""
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 5
    assert len(re.findall(r"<svg.*?</svg>", render_page(make(manual=False), ORIGIN), re.DOTALL)) == 3
    for text in drawn:
        root = ET.fromstring(text)
        assert root.get("aria-label")
        assert all("nan" not in value for element in root.iter() for value in element.attrib.values())


def test_every_container_is_one_mark_of_the_comparison(page):
    """As many marks as containers, the wrongly classified ones filled."""
    drawn = re.search(r'<svg[^>]*aria-label="Rejection probability of every.*?</svg>', page, re.DOTALL).group(0)
    marks = [mark for mark in ET.fromstring(drawn).iter() if mark.get("class", "").startswith("dot")]
    assert sorted(mark.get("class") for mark in marks) == ["dot defect", "dot defect", "dot good", "dot good wrong"]


def test_the_outcome_is_said_in_words():
    """Passed, not passed, not judged: the headline says which and why."""
    assert "<b>Passed</b> <span>The machine met the criterion" in render_page(make(), ORIGIN)
    strict = make(plan=Plan(least_good_accepted=0.9))
    assert "<b>Not passed</b> <span>The machine missed 1 of the 2 criteria" in render_page(strict, ORIGIN)
    assert "<b>Not judged</b> <span>No criterion was stated" in render_page(make(manual=False), ORIGIN)


def test_the_page_can_be_signed():
    """It holds hashes, versions, lines for name, date and meaning, and the hash of what is signed."""
    found = make()
    page = render_page(found, ORIGIN)
    for word in ("k" * 64, "m" * 64, "candling 0.1.0", "Performed by", "Reviewed by", "Approved by", "Signature"):
        assert word in page
    assert identity(found, ORIGIN) in page
    assert "Date of the test" in page
    dated = render_page(found, Provenance("Strips", "kit.csv", "k" * 64, date="2026-11-20 14:00 UTC"))
    assert dated.count("2026-11-20 14:00 UTC") == 2


def test_the_hash_changes_with_any_run():
    """One run more or less makes another result."""
    assert identity(make(), ORIGIN) != identity(make(good="H2"), ORIGIN)
    assert identity(make(), ORIGIN) == identity(make(), ORIGIN)


def test_json_holds_the_figures_with_their_intervals():
    """The asked-for keys stand where they must, each with value, low and high."""
    found = json.loads(json_text(make(), ORIGIN))
    assert found["passed"] is True
    assert found["rze_manual"]["value"] == 0.9
    assert found["rze_machine"]["value"] == 0.9
    assert found["run_policy"]["good_accepted"]["value"] == 0.5
    assert found["run_policy"]["good_rejected"] | {"low": 0, "high": 0} == {
        "value": 0.5, "low": 0, "high": 0, "count": 1, "total": 2, "between": 1,
    }  # fmt: skip
    assert found["run_policy"]["defects_rejected"]["value"] == 1.0
    for figure in (found["rze_manual"], found["run_policy"]["defects_rejected"], found["run_policy"]["good_accepted"]):
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert len(found["run_policy"]["operating_curve"]) == 21
    assert found["repeatability"]["good"][5] == 1
    assert found["plan"]["k"] == 7


def test_json_without_inspectors_says_why_there_is_nothing():
    """The same keys stand there, with null and the reason."""
    found, without = to_json(make(), ORIGIN), to_json(make(manual=False), ORIGIN)
    assert set(found) == set(without)
    assert without["rze_machine"] == {
        "value": None, "low": None, "high": None, "reason": "no manual results were given",
    }  # fmt: skip
    assert without["passed"] is None


def test_the_table_of_containers_has_a_row_each():
    """All columns, one row a container, and no cell that a spreadsheet would run."""
    rows = list(csv.DictReader("".join(csv_lines(make(good="=SUM(A1)"))).splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["product"] for row in rows] == ["D1", "D2", "'=SUM(A1)", "H"]
    assert (rows[3]["classified"], rows[3]["wrong"], rows[3]["machine_factor"]) == ("undecided", "yes", "5.0")
    assert (rows[1]["zone"], rows[1]["manual_factor"], rows[1]["median_score"]) == ("reject zone", "9.0", "0.25")


def test_tables_are_named_and_hashed_without_their_folder(tmp_path):
    """Where the tables lay is in none of the files, so another folder gives the same bytes."""
    written = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        (folder / "kit.csv").write_text("product,label\nA,crack\n")
        (folder / "machine.csv").write_text("product,run,decision\nA,1,reject\n")
        found, origin = qualify_tables(folder / "kit.csv", folder / "machine.csv", plan=Plan(k=1, n=1))
        written.append(write_qualification(found, origin, folder).read_bytes())
        assert origin.kit_hash == hashlib.sha256(b"product,label\nA,crack\n").hexdigest()
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in written[0]
