"""Grid files: the points of a recorded table, written down before they are run.

A grid file has ``folder`` and ``name`` (where the table goes, and its prefix), ``common`` (fields
of `liprune_utils.settings.Point` that all share) and ``blocks``: in each, every combination of the
listed values is a point; a list has each value once. What two blocks share is run once. It may have
``network``: the values that single out a run whose final network is recorded too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path

from liprune_utils.checks import InputError, refuse_unknown, require
from liprune_utils.files import read_yaml
from liprune_utils.settings import Point

KEYS = {
    "folder": (str, "a folder's name"),
    "name": (str, "the beginning of a file's name"),
    "common": (dict, "a mapping of the fields that all points share"),
    "blocks": (list, "a list with at least one mapping of fields to lists of values"),
    "network": (dict, "a mapping of fields to the values that single out one point"),
}
OPTIONAL = {"network": {}}
IDENTITY = ("method", "depth", "keep_fraction", "prune_epoch", "learning_rate", "seed")


@dataclass(frozen=True)
class Grid:
    """The points of a recorded table.

    Attributes:
        folder: Where the table goes, relative to the project.
        name: What its files' names begin with.
        points: The points, each once, seed by seed: what is stopped has whole seeds first.
        network: The point whose final network is recorded too.
    """

    folder: str
    name: str
    points: tuple[Point, ...]
    network: Point | None = None

    def columns(self) -> list[str]:
        """List the fields that tell the points apart.

        Returns:
            The usual ones, and whatever else differs.
        """
        rows = [asdict(point) for point in self.points]
        differ = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
        return [*IDENTITY, *(name for name in differ if name not in IDENTITY)]


def read_grid(path: str | Path) -> Grid:
    """Read and check a grid file.

    Args:
        path: The YAML file.

    Returns:
        The grid.

    Raises:
        InputError: If the file or one of its points is not as described; the sentence names it.

    Example:
        >>> from liprune_utils.book.register import PROJECT
        >>> grid = read_grid(PROJECT / "experiments" / "grids" / "paper_cell.yml")
        >>> grid.points[-1].label
        'resnet14-liprune-keep0.2-prune1-rate0.01-seed1'
    """
    found = read_yaml(Path(path), "The grid file")
    try:
        require(isinstance(found, dict), "The content", found, f"a mapping of {', '.join(KEYS)}")
        refuse_unknown(set(map(str, found)), list(KEYS), "A grid file")
        found = OPTIONAL | found
        for key, (kind, words) in KEYS.items():
            good = isinstance(found.get(key), kind) and (found[key] or key in ("common", "network"))
            require(good, key, found.get(key), words)
        require(Path(found["name"]).name == found["name"], "name", found["name"], KEYS["name"][1])
        points = [point for block in found["blocks"] for point in expand(found["common"], block)]
        require(min(point.num_epochs for point in points) > 0, "num_epochs", 0, "at least 1")
        points = sorted(dict.fromkeys(points), key=lambda point: point.seed)
        network = single_out(points, found["network"]) if found["network"] else None
        return Grid(found["folder"], found["name"], tuple(points), network)
    except InputError as error:
        raise InputError(f"Grid file {path}: {error}") from None


def expand(common: Mapping[str, object], block: Mapping[str, list]) -> list[Point]:
    """Cross the values of a block.

    Args:
        common: Fields that all points share.
        block: For each further field its values.

    Returns:
        One point a combination, the last field varying fastest.

    Raises:
        InputError: If a field is unknown, or has no list of values, or a point is impossible.
    """
    known = [field.name for field in fields(Point)]
    require(isinstance(block, dict) and bool(block), "A block", block, KEYS["blocks"][1])
    refuse_unknown({str(name) for name in [*common, *block]}, known, "A point")
    for name, values in block.items():
        once = isinstance(values, list) and all(values.count(value) == 1 for value in values)
        require(bool(values) and once, name, values, "a list of values, each once")
    return [
        Point(**{**common, **dict(zip(block, values, strict=True))})
        for values in product(*block.values())
    ]


def single_out(points: Sequence[Point], values: Mapping[str, object]) -> Point:
    """Find the only point with given values.

    Args:
        points: The points.
        values: Values of some fields.

    Returns:
        The point.

    Raises:
        InputError: If a field is unknown, or none or several points have the values.
    """
    refuse_unknown(set(map(str, values)), [field.name for field in fields(Point)], "A point")
    found = [p for p in points if all(getattr(p, name) == v for name, v in values.items())]
    require(len(found) == 1, "network", dict(values), f"{KEYS['network'][1]}, not {len(found)}")
    return found[0]
