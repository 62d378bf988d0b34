"""``import liprune_utils as lp`` works alone, and loads no more than what is used."""

import subprocess
import sys

import liprune_utils as lp
from liprune_utils.files import PROJECT
from liprune_utils.pruning import keep_highest

FRAME = (
    "book experiments IPython ipywidgets jupyter_book jupytext myst_nb nbformat papermill sphinx"
)


def run(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_every_name_comes_without_the_book_and_the_experiments():
    code = f"""
import sys
sys.modules.update(dict.fromkeys({FRAME.split()!r} + ["liprune_utils.book"]))  # as if missing
import liprune_utils as lp
for name in lp.__all__:
    assert callable(getattr(lp, name)), name
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_the_import_alone_is_light():
    result = run(
        "import sys, liprune_utils; assert not {'torch', 'numpy', 'pandas'} & {*sys.modules}"
    )
    assert result.returncode == 0, result.stderr


def test_names_are_those_of_their_modules():
    assert lp.keep_highest is keep_highest
    assert set(lp.__all__) == set(dir(lp))
    assert not hasattr(lp, "prune")
