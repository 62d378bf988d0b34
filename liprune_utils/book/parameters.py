"""Parameters of a page: read from its notebook, checked before anything runs."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Self

from liprune_utils.checks import InputError, check_types, refuse_unknown, require

NOTEBOOK_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}  # put there by IPython itself


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Base of a page's parameters: frozen, typed, complete, and known by name."""

    results_dir: str  # folder for the page's tables; relative to the project

    def __post_init__(self) -> None:
        check_types(self)
        self.check()

    def check(self) -> None:
        """Check the ranges; a page's own class adds its rules."""
        require(bool(self.results_dir), "results_dir", self.results_dir, "a folder's name")

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Build the parameters from a notebook's names, refusing those that the page does not know.

        papermill injects a misspelt parameter without complaint; here it stops the page. Once a
        kernel holds a checked set of parameters, the cell may be run again beside other names.

        Args:
            namespace: ``globals()`` of the notebook, in the cell after its parameters.

        Returns:
            The checked parameters.

        Raises:
            InputError: If a name is unknown or missing, or a value has a wrong type or range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not any(isinstance(value, cls) for value in namespace.values()):
            refuse_unknown(
                set(filter(None, map(user_name, namespace.items()))), known, cls.__name__
            )
        missing = [name for name in known if name not in namespace]
        if missing:
            raise InputError(
                f"{cls.__name__} lacks {', '.join(missing)}: run the parameters cell first."
            )
        return cls(**{name: namespace[name] for name in known})


def user_name(item: tuple[str, Any]) -> str | None:
    """Return the name of a value that a reader set, or None for imports and IPython's own names.

    Args:
        item: A name and its value.

    Returns:
        The name, or None.
    """
    name, value = item
    hidden = name.startswith("_") or name in NOTEBOOK_NAMES
    imported = callable(value) or isinstance(value, types.ModuleType)
    return None if hidden or imported else name
