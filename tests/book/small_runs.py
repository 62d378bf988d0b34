"""A small run's folder and what lies in it, and faults of its files, that several tests share."""

import os
import signal
from pathlib import Path

import pandas as pd

from liprune_utils.runs import open_run

SETTINGS = {"depth": 8, "rate": 0.1, "decay": [2, 3]}
TABLE = pd.DataFrame({"epoch": [1, 2]})


def opened(root: Path, settings=SETTINGS, **options):
    return open_run(root, "small", settings, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"))


def flip(path: Path) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def die_at(where: object, name: str, count: int) -> None:
    """Have this process killed at the count-th call of a function."""
    original, remaining = getattr(where, name), iter(range(count - 1))

    def deadly(*arguments, **options):
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(where, name, deadly)
