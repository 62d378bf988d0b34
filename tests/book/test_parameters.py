"""Parameters of a page: only known names, right types and possible values get past the check."""

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cifar10.runs import CifarParameters
from experiments.linear_model.runs import LinearModelParameters
from liprune_utils.book.parameters import Parameters
from liprune_utils.book.verdicts import VerdictParameters
from liprune_utils.checks import InputError, exit_status

NAN = math.nan
LINEAR = {
    "results_dir": "reruns/x", "learning_rate": 0.02, "batch_size": 10, "keep_fraction": 0.2,
    "slope": 1.0, "num_runs": 100, "seed": 0,
}  # fmt: skip
CIFAR = {
    "results_dir": "reruns/x", "depths": [14], "keep_fractions": [0.2, 0.5], "prune_epochs": [1],
    "learning_rates": [0.01], "decay_epochs": [], "num_epochs": 3, "num_images": 1536,
    "num_test_images": 500, "batch_size": 128, "momentum": 0.9, "weight_decay": 1e-4,
    "augment": True, "precision": "float32", "num_seeds": 2, "tolerance": 0.05,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Page(Parameters):
    """One parameter of each type."""

    count: int
    rate: float
    flag: bool
    depths: list[int]
    rates: list[float]


PAGE = {"results_dir": "x", "count": 1, "rate": 0.5, "flag": True, "depths": [1], "rates": [0.5]}


def test_good_values_are_kept():
    page = Page.from_notebook(PAGE | {"rate": 1, "rates": [1, 0.5]})  # whole numbers are numbers
    assert dataclasses.asdict(page) == PAGE | {"rate": 1, "rates": [1, 0.5]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        page.count = 2


@pytest.mark.parametrize(
    ("name", "value", "expected", "kind"),
    [
        ("count", True, "a whole number", "True or False"),
        ("count", 1.0, "a whole number", "a number"),
        ("count", NAN, "a whole number", "a number"),
        ("count", None, "a whole number", "a NoneType"),
        ("rate", "0.5", "a number", "a text"),
        ("flag", 1, "True or False", "a whole number"),
        ("results_dir", 3, "a text", "a whole number"),
        ("depths", 14, "a list, each a whole number", "a whole number"),
        ("depths", (14, 20), "a list, each a whole number", "a tuple"),
        ("depths", [14, 20.0], "a list, each a whole number", "a list"),
        ("rates", [0.1, "0.2"], "a list, each a number", "a list"),
    ],
)
def test_wrong_type_is_refused(name, value, expected, kind):
    with pytest.raises(InputError) as refused:
        Page.from_notebook(PAGE | {name: value})
    assert str(refused.value) == f"{name} is {value!r}; expected {expected}, not {kind}."


@pytest.mark.parametrize(
    ("namespace", "message"),
    [
        (PAGE | {"raet": 0.1}, r"Page has no parameter 'raet': did you mean 'rate'\?"),
        (PAGE | {"zzz": 1}, r"Page has no parameter 'zzz': known are results_dir, count, .*\."),
        ({"results_dir": "x", "count": 1}, r"Page lacks rate, flag, .*: run the parameters cell.*"),
    ],
)
def test_unknown_and_missing_names_are_refused(namespace, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        Page.from_notebook(namespace)


def test_imports_and_private_names_are_ignored():
    others = {"Path": Path, "math": math, "pytest_main": test_good_values_are_kept, "_i1": "x"}
    assert Page.from_notebook(PAGE | others) == Page(**PAGE)


def test_names_of_a_real_kernel_are_ignored(tmp_path):
    cell = "\n".join(f"{name} = {value!r}" for name, value in LINEAR.items())
    check = "LinearModelParameters.from_notebook(globals())"
    code = (
        f"{cell}\nfrom experiments.linear_model.runs import LinearModelParameters\nprint({check})"
    )
    shell = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code]
    environment = {"IPYTHONDIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == repr(LinearModelParameters(**LINEAR)), done.stdout + done.stderr


def test_checked_kernel_may_hold_other_names():
    namespace = PAGE | {"parameters": Page(**PAGE), "table": 3, "rate": 0.25}
    assert Page.from_notebook(namespace).rate == 0.25
    with pytest.raises(InputError, match="no parameter 'table'"):
        Page.from_notebook(PAGE | {"table": 3})


BAD = {
    LinearModelParameters: (LINEAR, {
        "results_dir": [""], "learning_rate": [0, -0.1, 1.5, NAN], "batch_size": [0, 201],
        "keep_fraction": [0, 1.5, NAN], "slope": [0, math.inf, NAN], "num_runs": [10, 10**7],
        "seed": [-1],
    }),
    CifarParameters: (CIFAR, {
        "depths": [[], [15], [2]], "keep_fractions": [[], [0.5, 0], [1.5], [NAN]],
        "prune_epochs": [[], [0], [4]], "num_epochs": [0], "learning_rates": [[], [-0.1], [NAN]],
        "batch_size": [1, 1537], "num_images": [0, 50_001], "num_test_images": [0, 10_001],
        "momentum": [1, NAN], "weight_decay": [-1e-4, NAN, math.inf], "augment": [1],
        "precision": ["float16"], "decay_epochs": [[80, 0]], "num_seeds": [1],
        "tolerance": [0, 1, NAN],
    }),
    VerdictParameters: ({"results_dir": "x", "records_dir": "y"}, {"records_dir": ["no/folder"]}),
}  # fmt: skip
CASES = [
    (page, good, name, value)
    for page, (good, bad) in BAD.items()
    for name, values in bad.items()
    for value in values
]


@pytest.mark.parametrize(("page", "good", "name", "value"), CASES)
def test_impossible_value_is_named_in_one_sentence(page, good, name, value):
    with pytest.raises(InputError) as refused:
        page(**(good | {name: value}))
    culprit = value[-1] if isinstance(value, list) and value else value
    message = str(refused.value)
    assert re.fullmatch(r"[^\n]* is [^\n]*; expected [^\n]*\.", message)
    assert repr(culprit) in message


def test_last_batch_of_one_image_cannot_be_scored():
    CifarParameters(**(CIFAR | {"num_images": 2 * 128 + 2}))
    with pytest.raises(InputError, match=r"num_images|batch_size"):
        CifarParameters(**(CIFAR | {"num_images": 2 * 128 + 1}))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("It is 3; expected 4."), "error: It is 3; expected 4.\n"),
        (KeyError("also"), "error: 'also'\n"),
        (FileNotFoundError(2, "No such file", "x.csv"), "error: x.csv: No such file.\n"),
        (OSError("No network"), "error: No network\n"),
        (TimeoutError(), "error: TimeoutError.\n"),
    ],
)
def test_a_command_that_cannot_go_on_says_so_in_one_line(capsys, error, said):
    def command():
        raise error

    assert exit_status(command, KeyError) == 1
    assert capsys.readouterr() == ("", said)


def test_a_command_has_its_own_status_and_a_fault_its_traceback():
    assert exit_status(lambda: None) == 0
    assert exit_status(lambda: 130) == 130
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)
