# SPDX-License-Identifier: Apache-2.0
"""Links between pages lead somewhere, and so do the files and names that a page names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_packages import FLOORS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "*_*/*.md", "syncam_engine/**/*.md")
    for path in ROOT.glob(pattern)
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{page}: {link}"


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_and_names_are_there(page):
    text = (ROOT / page).read_text("utf-8")
    named = re.findall(r"`([\w/]+/[\w]*(?:\.py)?)(?::(\w+))?`", text)
    assert len(named) > 10
    for file, name in named:
        found = [base for base in (ROOT, ROOT / "syncam_engine") if (base / file).exists()]
        assert found, f"{page}: {file}"
        if name:
            source = (found[0] / file).read_text("utf-8")
            assert re.search(rf"^\s*(?:def|class) {name}\b", source, re.M), f"{page}: {file}:{name}"


def test_the_floors_are_those_of_the_imports():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("## Floors")[2].partition("##")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.M)) == FLOORS
