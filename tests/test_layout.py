"""The house: who may import whom, and the pages of the code list every module."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from liprune_utils.book.inputs import imports
from liprune_utils.files import PROJECT

LIBRARY, EXPERIMENTS = (
    re.findall(r"automodule:: ([\w.]+)", (PROJECT / "book" / f"{page}.md").read_text())
    for page in ("api", "experiments")
)
PAGES = [path.stem for path in sorted((PROJECT / "notebooks").glob("*.py"))]
OF_THE_BOOK = r"(?:liprune_utils\.book|experiments|sphinx|jupyter\w*|myst_nb)"


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    """The parsed modules by name."""
    folders = ("liprune_utils", "experiments")
    paths = [path for folder in folders for path in sorted((PROJECT / folder).rglob("*.py"))]
    return {dotted(path): ast.parse(path.read_text()) for path in paths}


def is_library(name: str) -> bool:
    return re.match(r"liprune_utils(?!\.book)", name) is not None


def test_every_module_is_on_its_page():
    own = {name for name, tree in modules().items() if tree.body[1:]}  # more than a docstring
    assert {*LIBRARY, *EXPERIMENTS} == own - {"liprune_utils.book.__main__"}
    assert all(map(is_library, LIBRARY))
    assert len({*LIBRARY, *EXPERIMENTS}) == len(LIBRARY) + len(EXPERIMENTS)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_imports_what_stands_before_it_and_nothing_of_the_book(name):
    before = LIBRARY[: LIBRARY.index(name) + 1]
    for other in imports(modules()[name]):
        assert not re.match(rf"{OF_THE_BOOK}(?:\.|$)", other), other
        assert other not in LIBRARY or other in before, other


def test_what_the_book_needs_of_every_page_imports_no_experiment():
    for name, tree in modules().items():
        if name.startswith("liprune_utils.book"):
            assert not [other for other in imports(tree) if other.startswith("experiments")]


def test_an_experiment_imports_those_of_earlier_pages_alone():
    order = [page[3:] for page in PAGES]
    folders = {name.split(".")[1] for name in modules() if name.count(".") > 1}
    assert folders - {"book", "grids"} == set(order)
    for name, tree in modules().items():
        if name.count(".") > 1 and name.split(".")[1] in order:
            before = order[: order.index(name.split(".")[1]) + 1]
            others = {n.split(".")[1] for n in imports(tree) if n.startswith("experiments.")}
            assert others <= set(before), name


def objects() -> set[str]:
    """The full names of the public modules, classes, functions and methods on those pages."""
    names = {"liprune_utils", *LIBRARY, *EXPERIMENTS}
    for module in (*LIBRARY, *EXPERIMENTS):
        for node in modules()[module].body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(f"{module}.{node.name}")
                inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)]
                names |= {f"{module}.{node.name}.{method.name}" for method in inner}
    return names


def test_names_in_docstrings_resolve_as_sphinx_resolves_them():
    known = objects()
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for name, tree in modules().items():
        for node in ast.walk(tree):
            text = (isinstance(node, documented) and ast.get_docstring(node)) or ""
            plain = re.sub(r":\w+:`[^`]*`|``.*?``", "", text, flags=re.DOTALL)
            for target in re.findall(r"`([^`]+)`", plain):
                assert any(f".{full}".endswith(f".{target}") for full in known), (name, target)
