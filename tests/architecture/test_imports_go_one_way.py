"""The rooms of the package stand on floors: nothing below imports what stands above."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "curio_ray"
MOST_LINES = 400


def room_of(module: str) -> str:
    """The folder, or the file at the top level, that holds a module of the package."""
    return module.split(".")[1]


def imported_modules(source: str) -> set[str]:
    """Every module of the package that a file imports, type-checking imports too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "curio_ray":
            found |= {f"curio_ray.{each.name}" for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return {each for each in found if each.startswith("curio_ray.")}


def files() -> dict[str, Path]:
    """The package's files by their module's name."""
    paths = [
        path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"
    ]
    return {
        ".".join(("curio_ray", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in paths
    }


def circle_in(arrows: dict[str, set[str]]) -> list[str] | None:
    """A path that ends where it began, or None."""
    done: set[str] = set()

    def walk(at: str, path: list[str]) -> list[str] | None:
        if at in path:
            return [*path[path.index(at) :], at]
        if at in done:
            return None
        for following in sorted(arrows.get(at, ())):
            if found := walk(following, [*path, at]):
                return found
        done.add(at)
        return None

    return next((found for start in sorted(arrows) if (found := walk(start, []))), None)


def test_no_rooms_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for module, path in files().items():
        for imported in imported_modules(path.read_text()):
            if room_of(imported) != room_of(module):
                arrows[room_of(module)].add(room_of(imported))
    assert circle_in(arrows) is None


def test_no_files_import_each_other_in_a_circle() -> None:
    known = files()
    arrows = {
        module: {each for each in imported_modules(path.read_text()) if each in known}
        for module, path in known.items()
    }
    assert circle_in(arrows) is None


def test_the_command_alone_imports_the_recipe_of_the_packaged_models() -> None:
    users = {
        module
        for module, path in files().items()
        if room_of(module) != "pocket"
        and any(room_of(each) == "pocket" for each in imported_modules(path.read_text()))
    }
    assert users == {"curio_ray.commands.pocket"}


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_no_file_is_longer_than_two_screens_of_an_editor() -> None:
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in files().values()
        if (count := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long
