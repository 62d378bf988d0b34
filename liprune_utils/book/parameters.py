"""Parameters of a page: read from its notebook, checked before anything runs, noted beside it."""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_origin

import yaml
from pydantic import Field

from liprune_utils.checks import Checked, InputError, refuse_unknown
from liprune_utils.files import results_folder, write_atomically

NOTEBOOK_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}  # put there by IPython itself


class Parameters(Checked):
    """Base of a page's parameters."""

    results_dir: str = Field(min_length=1)  # folder for the page's tables, relative to the project

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Take the parameters from a notebook's ``globals()``, refusing names the page lacks."""
        # papermill injects a misspelt parameter without complaint. Once a kernel holds a checked
        # set of parameters, the cell may be run again beside other names.
        if not any(isinstance(value, cls) for value in namespace.values()):
            refuse_unknown(_user_names(namespace), list(cls.model_fields), cls.__name__)
        missing = [name for name in cls.model_fields if name not in namespace]
        if missing:
            words = f"{cls.__name__} lacks {', '.join(missing)}: run the parameters cell first."
            raise InputError(words)
        values = {name: namespace[name] for name in cls.model_fields}
        for name, field in cls.model_fields.items():
            if get_origin(field.annotation) is list and not isinstance(values[name], list):
                entries = str(values[name]).strip("[]()")
                how = f'a list, for papermill -y "{name}: [{entries}]"'
                raise InputError(f"{name} is {values[name]!r}; expected {how}.")
        return cls(**values)

    def results_folder(self) -> Path:
        """Make the folder for the page's tables, with the parameters in it for ``papermill -f``."""
        folder = results_folder(self.results_dir)
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        write_atomically(folder / "parameters.yml", lambda path: path.write_text(text))
        return folder


def _user_names(namespace: Mapping[str, Any]) -> set[str]:
    """Names that a reader set: no import, nothing of IPython's own."""
    return {
        name
        for name, value in namespace.items()
        if not name.startswith("_")
        and name not in NOTEBOOK_NAMES
        and not callable(value)
        and not isinstance(value, types.ModuleType)
    }
