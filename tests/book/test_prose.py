"""What is written: spelled right, in British spelling, and without a result typed by hand."""

import re
import subprocess
import sys
import tokenize
from pathlib import Path

import jupytext
import pytest

from liprune_utils.files import PROJECT

PROSE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "book", "notebooks")
CODE = ("liprune_utils", "tests", "benchmarks", "experiments")
QUOTED = re.compile(
    r"(`+)[^`]*?\1|\$\$.*?\$\$|\$(?:[^$\n]|\n(?!\n))*\$"  # code and formulas
    r'|"(?:[^"\n]|\n(?!\n))*"|\]\([^)\s]*\)|\{[^{}]*\}'  # quotations, addresses and roles
    r"|\w*_\w*|[A-Za-z]\w*\.[A-Za-z]\w+",  # names
    re.DOTALL,
)
AMERICAN = re.compile(
    r"\b(?!(?:size|resiz|capsiz|priz|seiz)\w*\b)\w+[iy]z(?:e|es|ed|er|ers|ing|ation|ations)\b"
    r"|\b(?<!-)(?:color|favor|honor|center|behavior|neighbor)\w*"
    r"|\b(?:model|label|cancel)(?:ed|ing)\b|\bgray\b|\bartifacts?\b|\bfulfill\b|\bcatalog\b",
    re.IGNORECASE,
)
OF_OTHERS = (
    r"unrecognized arguments|optimization-inspired|randomized Kaczmarz|To maximize the|optimizer"
)
# A result has three digits or more, or is a percentage that is neither round nor a level.
RESULT = re.compile(
    r"\b[1-9]\d*\.\d{2,}\b|\b\d\d+\.(?!5\b)\d|\b0\.0*[1-9]\d\d|\b(?!99)\d+[1-46-9] ?%"
)


def pages() -> dict[str, str]:
    """Markdown, captions and alternative texts of the book, without quotations, code and maths."""
    texts = {path.name: path.read_text() for path in (PROJECT / "book").glob("*.md")}
    for path in (PROJECT / "notebooks").glob("*.py"):
        cells = jupytext.read(path).cells
        shown = [cell.metadata.get("mystnb", {}) for cell in cells]
        parts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        parts += [one.get("figure", {}).get("caption", "") for one in shown]
        parts += [one.get("image", {}).get("alt", "") for one in shown]
        texts[path.name] = "\n\n".join(parts)
    return {name: QUOTED.sub("…", text) for name, text in texts.items()}


def of_code(path: Path) -> str:
    """The comments and the sentences in strings of a module."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    said = [t for t in tokens if t.type in (tokenize.COMMENT, tokenize.STRING)]
    return "\n".join(t.string.strip('"') for t in said if t.string.count(" ") > 2)


def test_no_word_is_misspelt():
    command = [sys.executable, "-m", "codespell_lib", "LICENSE", "CITATION.cff", "Makefile"]
    found = subprocess.run(
        [*command, *PROSE, *CODE], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_spelling_is_british():
    texts = pages() | {name: QUOTED.sub("…", (PROJECT / name).read_text()) for name in PROSE[:3]}
    paths = [path for folder in CODE for path in sorted((PROJECT / folder).rglob("*.py"))]
    texts |= {str(path): QUOTED.sub("…", of_code(path)) for path in paths}
    found = {name: AMERICAN.findall(re.sub(OF_OTHERS, "", text)) for name, text in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(("name", "text"), pages().items(), ids=pages())
def test_no_result_is_typed_by_hand(name, text):
    around = [text[max(m.start() - 40, 0) : m.end() + 40] for m in RESULT.finditer(text)]
    assert around == []
