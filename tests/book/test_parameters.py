"""Parameters of a page, as they come from its notebook."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from by_hand import parameters_and_check

from experiments.importance_sampling.runs import ImportanceParameters
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import InputError

PAGE = {"results_dir": "x", "count": 1, "rate": 0.5}


class Page(Parameters):
    """Two parameters."""

    count: int
    rate: float


class Listed(Parameters):
    """A list of parameters."""

    names: list[str]


def test_good_values_are_kept_beside_imports_and_private_names():
    others = {"Path": Path, "math": math, "pytest_main": pytest.main, "_i1": "x"}
    assert Page.from_notebook(PAGE | others) == Page(**PAGE)


@pytest.mark.parametrize(
    ("namespace", "message"),
    [
        (PAGE | {"raet": 0.1}, r"Page has no parameter 'raet': did you mean 'rate'\?"),
        (PAGE | {"zzz": 1}, r"Page has no parameter 'zzz': known are results_dir, count, rate\."),
        ({"results_dir": "x", "count": 1}, r"Page lacks rate: run the parameters cell first\."),
        (PAGE | {"results_dir": ""}, r"results_dir is ''; expected a text that is not empty\."),
    ],
)
def test_unknown_missing_and_wrong_values_are_refused(namespace, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        Page.from_notebook(namespace)


@pytest.mark.parametrize("given", ["a, b", "[a, b]", ("a", "b")])
def test_the_sentence_says_how_to_pass_a_list(given):
    with pytest.raises(
        InputError, match=r"^names is .*; expected a list, for papermill -y "
    ) as error:
        Listed.from_notebook({"results_dir": "x", "names": given})
    command = str(error.value).split("-y ")[1].removesuffix(".")
    values = yaml.safe_load(command.strip('"').replace("'", ""))
    assert Listed.from_notebook({"results_dir": "x"} | values).names == ["a", "b"]


def test_a_folder_of_tables_notes_the_parameters_that_lead_to_it(tmp_path):
    page = Page(results_dir=str(tmp_path / "tables"), count=2, rate=1e-5)
    assert page.results_folder() == tmp_path / "tables"
    noted = yaml.safe_load((tmp_path / "tables" / "parameters.yml").read_text())
    assert Page.from_notebook(noted) == page


def test_names_of_a_real_kernel_are_ignored(tmp_path):
    parameters, check = parameters_and_check("01_importance_sampling")
    code = f"{parameters}\n{check}\nprint(repr(parameters))"
    shell = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code]
    environment = {"IPYTHONDIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
    values = {}
    exec(parameters, values)
    known = {name: values[name] for name in ImportanceParameters.model_fields}
    assert done.stdout.strip() == repr(ImportanceParameters(**known)), done.stderr


def test_checked_kernel_may_hold_other_names():
    namespace = PAGE | {"parameters": Page(**PAGE), "table": 3, "rate": 0.25}
    assert Page.from_notebook(namespace).rate == 0.25
    with pytest.raises(InputError, match="no parameter 'table'"):
        Page.from_notebook(PAGE | {"table": 3})
