"""The house: who may import whom."""

import ast
import re
from functools import cache

import pytest

from liprune_utils.book.inputs import imports
from liprune_utils.book.staging import library_modules
from liprune_utils.files import PROJECT

LIBRARY = [f"liprune_utils.{name}" for name in library_modules()]
ROOMS = [path.stem[3:] for path in sorted((PROJECT / "notebooks").glob("*.py"))]
OF_THE_BOOK = r"(?:liprune_utils\.book|experiments|sphinx|jupyter\w*|myst_nb)(?:\.|$)"


@cache
def modules() -> dict[str, ast.Module]:
    """The parsed modules by name."""
    folders = ("liprune_utils", "experiments")
    paths = [path for folder in folders for path in sorted((PROJECT / folder).rglob("*.py"))]
    names = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in paths]
    return {
        name.removesuffix(".__init__"): ast.parse(path.read_text())
        for name, path in zip(names, paths, strict=True)
    }


def test_the_page_of_the_library_lists_each_module_once():
    assert sorted(LIBRARY) == [
        n for n in modules() if re.fullmatch(r"liprune_utils\.(?!book)\w+", n)
    ]


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_imports_what_stands_before_it_and_nothing_of_the_book(name):
    later = LIBRARY[LIBRARY.index(name) + 1 :]
    for other in imports(modules()[name]):
        assert not re.match(OF_THE_BOOK, other), other
        assert other not in later, other


def test_what_the_book_needs_of_every_page_imports_no_experiment():
    for name, tree in modules().items():
        if name.startswith("liprune_utils.book"):
            assert not [other for other in imports(tree) if other.startswith("experiments")]


def test_an_experiment_imports_those_of_earlier_pages_alone():
    names = [name for name in modules() if name.count(".") > 1 and name.startswith("experiments.")]
    assert {name.split(".")[1] for name in names} == {*ROOMS, "grids"}
    for name in names:
        room = name.split(".")[1]
        others = {n.split(".")[1] for n in imports(modules()[name]) if n.startswith("experiments.")}
        assert room == "grids" or others <= set(ROOMS[: ROOMS.index(room) + 1]), name
