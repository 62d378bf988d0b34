"""What a refusal says and leaves alone, that the tests of bad inputs share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liprune_utils.files import PROJECT


def filled(folder: Path, contents: dict[str, str]) -> Path:
    """The folder with files of these contents, in which ``{here}`` is the folder itself."""
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("{here}", str(folder)))
    return folder


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file was written and its size; a lock holds nothing."""
    found = [
        path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")
    ]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


@contextmanager
def nothing_comes_or_goes(folder: Path) -> Iterator[None]:
    kept = (folder, PROJECT / "book" / "results")
    before = [files(place) for place in kept]
    yield
    assert [files(place) for place in kept] == before


def assert_sentence(said: str, words: str) -> None:
    assert words in said
    assert re.fullmatch(r"[^\n]+[.?]", said)
