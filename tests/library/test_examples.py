"""The examples in the docstrings give what they say."""

import doctest
import importlib

import pytest

from liprune_utils.files import PROJECT

MODULES = sorted(
    path.stem for path in (PROJECT / "liprune_utils").glob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name):
    module = f"liprune_utils.{name}".removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_newcomers_find_an_example_of_each_step():
    steps = {"__init__", "problems", "lipschitz", "pruning", "curvature", "scores", "grid"}
    assert steps | {"intervals"} <= {*MODULES}
