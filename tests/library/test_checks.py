"""Bad input: what is refused and in which words, and what a command makes of it."""

import math
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from liprune_utils.checks import Checked, InputError, exit_status

GOOD = {"count": 1, "rate": 0.5, "flag": True, "rates": [0.5], "method": "none", "name": "x"}


class Record(Checked):
    """One field of each type."""

    count: int = Field(ge=1, le=9)
    rate: float = Field(gt=0, lt=1)
    flag: bool
    rates: list[Annotated[float, Field(gt=0, le=1)]] = Field(min_length=1)
    method: Literal["none", "random"]
    name: str = Field(min_length=1)


def test_good_values_are_kept_and_cannot_be_changed():
    record = Record(**GOOD | {"rates": [1, 0.5]})  # whole numbers are numbers
    assert record.model_dump() == GOOD | {"rates": [1, 0.5]}
    assert record.replace(count=2).count == 2
    with pytest.raises(ValidationError):
        record.count = 2


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("count", [True, 1.0, "1", None, math.nan, 0, 10], "a whole number from 1 to 9"),
        ("rate", ["0.5", 0, 1, math.nan, math.inf], "a number above 0, below 1"),
        ("flag", [1, "yes"], "True or False"),
        (
            "rates",
            [0.5, (0.5,), [], [0.1, "0.2"], [0.1, 2], [math.nan]],
            "a list of at least one, each a number above 0, at most 1",
        ),
        ("method", ["radnom", None], "one of 'none', 'random'"),
        ("name", [3, ""], "a text that is not empty"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(name, values, expected):
    for value in values:
        for make in (lambda **given: Record(**GOOD | given), Record(**GOOD).replace):
            with pytest.raises(InputError) as refused:
                make(**{name: value})
            said = str(refused.value)
            assert said == f"{name} is {value!r}; expected {expected}."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GOOD | {"raet": 0.1}, r"Record has no parameter 'raet': did you mean 'rate'\?"),
        (GOOD | {"zzz": 1}, r"Record has no parameter 'zzz': known are count, rate, .*\."),
        ({"count": 1, "name": "x"}, r"Record lacks rate, flag, rates, method\."),
    ],
)
def test_unknown_and_missing_names_are_refused(given, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        Record(**given)


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
