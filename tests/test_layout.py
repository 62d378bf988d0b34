"""The library page lists every module, and each imports only those listed before it."""

import ast
import re

from liprune_utils.records import PROJECT

API = re.findall(r"automodule:: ([\w.]+)", (PROJECT / "book" / "api.md").read_text())


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
