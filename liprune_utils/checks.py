"""Bad input is refused in one sentence, before anything runs."""

import difflib
import sys
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints


class InputError(ValueError):
    """Bad input, described in one sentence: the value, what was expected, and where."""


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Refuse a value that is not as expected.

    Args:
        holds: Whether the value is acceptable; a comparison with NaN is false, so NaN is refused.
        name: What the reader calls the value.
        value: The value itself, shown in the message.
        expected: What it should have been, in words that follow "expected".

    Raises:
        InputError: If ``holds`` is false.
    """
    if not holds:
        raise InputError(f"{name} is {value!r}; expected {expected}.")


def exit_status(command: Callable[[], int | None], *others: type[Exception]) -> int:
    """Run a command; what it cannot use becomes one line of the error stream, not a traceback.

    Args:
        command: What to do.
        *others: Errors that are told in one sentence too, beside bad input and the system's.

    Returns:
        The exit status: the command's own, or 1.
    """
    try:
        return command() or 0
    except OSError as error:
        words = f"{error.filename}: {error.strerror}." if error.filename else str(error)
        words = words or f"{type(error).__name__}."  # a time-out says no more
    except (InputError, *others) as error:
        words = str(error)
    print(f"error: {words}", file=sys.stderr)
    return 1


def refuse_unknown(names: set[str], known: list[str], page: str) -> None:
    """Refuse names that a page does not know, with the nearest one that it does.

    Args:
        names: The names given.
        known: The names that the page understands.
        page: What the message calls the page.

    Raises:
        InputError: If some name is unknown.
    """
    for name in sorted(names - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        raise InputError(f"{page} has no parameter {name!r}: {hint}")


def check_types(record: object) -> None:
    """Refuse a dataclass that has a value of another type than its field says.

    Args:
        record: The dataclass.

    Raises:
        InputError: If a value has a wrong type; the sentence names it.
    """
    for name, kind in get_type_hints(type(record)).items():
        value = getattr(record, name)
        require(has_type(value, kind), name, value, f"{describe(kind)}, not {kind_of(value)}")


def has_type(value: object, kind: Any) -> bool:
    """Tell whether a value fits a type; an int fits float, a bool only bool.

    Args:
        value: The value.
        kind: bool, int, float, str, or a list or tuple of one of them.

    Returns:
        Whether it fits.
    """
    if (sequence := get_origin(kind)) in (list, tuple):
        return isinstance(value, sequence) and all(has_type(v, get_args(kind)[0]) for v in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def describe(kind: Any) -> str:
    """Name a type as a sentence would.

    Args:
        kind: bool, int, float, str, or a list or tuple of one of them.

    Returns:
        Words such as "a whole number".
    """
    if get_origin(kind) in (list, tuple):
        return f"a list, each {describe(get_args(kind)[0])}"
    return {
        int: "a whole number", float: "a number", str: "a text", bool: "True or False"
    }[kind]  # fmt: skip


def kind_of(value: object) -> str:
    """Name the type that a value has.

    Args:
        value: Any value.

    Returns:
        Words such as "a text".
    """
    known = type(value) in (int, float, str, bool)
    return describe(type(value)) if known else f"a {type(value).__name__}"
