"""The library page lists every module, and each imports only those listed before it."""

import ast
import re
from functools import cache

from liprune_utils.records import PROJECT

API = re.findall(r"automodule:: ([\w.]+)", (PROJECT / "book" / "api.md").read_text())


@cache
def modules() -> dict[str, ast.Module]:
    """The parsed public modules by name; those of a folder count as the folder."""
    found = {}
    for path in sorted((PROJECT / "liprune_utils").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        if parts != ("liprune_utils", "__init__"):
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text())
    return found


def imported(tree: ast.Module) -> set[str]:
    """The names of the library's modules that a module imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[:2]) for name in names if name.startswith("liprune_utils.")}


def test_every_module_is_on_the_library_page():
    folders = {".".join(name.split(".")[:2]) for name in modules()}
    assert {name for name in API if name.count(".") == 1} == folders
    assert set(API) <= set(modules())
    assert len(API) == len(set(API))


def test_modules_import_only_those_before_them():
    order = [name for name in API if name.count(".") == 1]
    for name, tree in modules().items():
        own = ".".join(name.split(".")[:2])
        before = {*order[: order.index(own)], own}
        assert imported(tree) & set(order) <= before, name


def objects() -> set[str]:
    """The full names of the public modules, classes, functions and methods on the library page."""
    names = {"liprune_utils", *API}
    for module in API:
        body = modules()[module].body
        for node in body:
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
