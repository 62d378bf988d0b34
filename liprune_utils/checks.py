"""Bad input is refused in one sentence, before anything runs."""

import difflib
import sys
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError


class InputError(ValueError):
    """Bad input, described in one sentence: the value, what was expected, and where."""


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise "NAME is VALUE; expected EXPECTED." as an `InputError`, unless ``holds``."""
    if not holds:
        raise InputError(f"{name} is {value!r}; expected {expected}.")


def whole_number(name: str, value: object, least: int, most: int = 2**63 - 1) -> int:
    """Return a whole number, of Python or numpy, as Python's; refuse all else."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(is_whole, name, value, f"a whole number, at least {least}")
    require(value >= least, name, value, f"at least {least}")
    require(value <= most, name, value, f"at most {most}")
    return int(value)


def require_fraction(name: str, value: object) -> None:
    """Refuse all but a number between 0 and 1, both excluded."""
    holds = isinstance(value, Real) and 0 < value < 1
    require(holds, name, value, "a number in (0, 1)")


def exit_status(command: Callable[[], int | None], *others: type[Exception]) -> int:
    """Run a command; `InputError`, ``OSError`` and ``others`` print one line and give status 1."""
    try:
        return command() or 0
    except OSError as error:
        message = f"{error.filename}: {error.strerror}." if error.filename else str(error)
        message = message or f"{type(error).__name__}."  # such as a bare TimeoutError
    except (InputError, *others) as error:
        message = str(error)
    print(f"error: {message}", file=sys.stderr)
    return 1


def refuse_unknown(names: Collection[str], known: Collection[str], owner: str) -> None:
    """Refuse the first name that ``owner`` does not know, and suggest the nearest that it knows."""
    for name in sorted({*names} - {*known}):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        raise InputError(f"{owner} has no parameter {name!r}: {hint}")


class Checked(BaseModel):
    """Frozen record whose names, types and ranges are checked when it is made.

    A subclass declares its fields with ``Field(gt=0, le=1)`` and the like; what depends on several
    fields it checks in a ``model_validator(mode="after")`` by `require`. Every fault is an
    `InputError` of one sentence.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: object):
        refuse_unknown(values, list(type(self).model_fields), type(self).__name__)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_first_problem(error, type(self), values)) from None

    def replace(self, **changes: object) -> Self:
        """Copy the record with some values changed, and check it again."""
        return type(self)(**(dict(self) | changes))


def _first_problem(error: ValidationError, model: type[Checked], values: dict[str, object]) -> str:
    problem = error.errors()[0]
    if problem["type"] == "missing":
        required = [name for name, field in model.model_fields.items() if field.is_required()]
        missing = [name for name in required if name not in values]
        return f"{model.__name__} lacks {', '.join(missing)}."
    if problem["type"] == "value_error":  # from a validator, which has said it already
        return str(problem["ctx"]["error"])
    name = str(problem["loc"][0])
    field = model.model_fields[name]
    expected = field.description or _describe(field.annotation, field.metadata)
    return f"{name} is {values[name]!r}; expected {expected}."


def _describe(kind: Any, limits: Collection[object] = ()) -> str:
    if get_origin(kind) is Annotated:
        kind, *limits = get_args(kind)
        limits = [limit for part in limits for limit in getattr(part, "metadata", [part])]
    bounds = {type(limit).__name__: limit for limit in limits}
    if get_origin(kind) in (list, tuple):
        least = "a list of at least one" if "MinLen" in bounds else "a list"
        return f"{least}, each {_describe(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
    if "MinLen" in bounds:
        return f"{names[kind]} that is not empty"
    words = {"Gt": "above {0.gt}", "Ge": "from {0.ge}", "Lt": "below {0.lt}"}
    words["Le"] = "to {0.le}" if "Ge" in bounds else "at most {0.le}"
    ends = [text.format(bounds[name]) for name, text in words.items() if name in bounds]
    return f"{names[kind]} {(' ' if 'Ge' in bounds else ', ').join(ends)}".strip()
