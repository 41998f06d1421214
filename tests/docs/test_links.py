"""What README and docs point at is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
CODE = sorted(
    path
    for folder in ("curio_ray", "configs", "cluster", "benchmarks", "docker", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".yaml", ".sh", ".md"}
)

LINK = re.compile(r"\]\(([^)\s]+)\)")
FOLDERS = "benchmarks|cluster|configs|curio_ray|docker|docs|requirements|tests"
REPOSITORY_PATH = re.compile(rf"(?<![\w/.<:-])((?:{FOLDERS})/[\w./*-]*[\w*/])")
SOURCE_FILE = re.compile(r"(?<![\w/.<:-])(\w+(?:/\w+)*/\w+\.py)\b")
PAGE_IN_CODE = re.compile(r"(?<![\w/.])(docs/[\w./-]+\.md)\b")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def _broken(page: Path) -> Iterator[str]:
    for target in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page):
    assert list(_broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_path_of_the_repository_that_a_page_names_exists(page):
    text = LINK.sub("]", page.read_text())
    missing = {path for path in REPOSITORY_PATH.findall(text) if not list(ROOT.glob(path))}
    places = (ROOT, ROOT / "curio_ray")
    for path in SOURCE_FILE.findall(text):
        if not any((place / path).exists() for place in places):
            missing.add(path)
    assert missing == set()


def test_every_page_that_the_code_names_exists():
    named = {
        (_name(path), page) for path in CODE for page in PAGE_IN_CODE.findall(path.read_text())
    }
    assert sorted((where, page) for where, page in named if not (ROOT / page).exists()) == []


def test_the_index_of_the_docs_lists_every_page():
    index = DOCS / "README.md"
    links = LINK.findall(index.read_text())
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links}
    assert sorted(_name(page) for page in {*DOCS.rglob("*.md")} - listed - {index}) == []
