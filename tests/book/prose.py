"""The book's prose, without what is quoted, typeset or code."""

import ast
import re
import tokenize
from pathlib import Path

import jupytext

from liprune_utils.files import PROJECT

OTHER = "README.md", "CONTRIBUTING.md", "CHANGELOG.md"
NOT_PROSE = (
    r"^(`{3,})(?!\{(?:list-table|figure)\})[^\n]*\n.*?^\1 *$",  # code and directives
    r"^:(?!alt:)[\w-]+:.*?$",  # options of a directive, but for alternative texts
    r"\$\$.*?\$\$( \([\w-]+\))?|\$[^$]*\$",  # formulas
    r"(\{[\w:+-]+\})?(`+)[^`]*?\2",  # code and roles
    r"\]\([^)\s]*\)|https?://\S+",  # addresses
    r'"[^"]*?"',  # quotations
    r"\w*_\w*|\w+\.[A-Za-z]\w+",  # names
)


def written() -> dict[str, str]:
    """The prose of Markdown files and of pages, with captions and alternative texts."""
    files = [PROJECT / name for name in OTHER]
    files += [path for path in sorted((PROJECT / "book").glob("*.md")) if path.stem != "api"]
    texts = {path.name: path.read_text() for path in files}
    for path in sorted((PROJECT / "notebooks").glob("*.py")):
        texts[path.name] = "\n\n".join(_of_page(path))
    return {name: plain(text) for name, text in texts.items()}


def _of_page(path: Path):
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "markdown":
            yield cell.source
        shown = cell.metadata.get("mystnb", {})
        yield from (shown[k][v] for k, v in (("figure", "caption"), ("image", "alt")) if k in shown)


def in_code() -> dict[str, str]:
    """The comments and the sentences in strings of all code but the pages'."""
    folders = "liprune_utils", "experiments", "tests", "benchmarks"
    paths = [path for name in folders for path in sorted((PROJECT / name).rglob("*.py"))]
    return {str(path.relative_to(PROJECT)): plain("\n\n".join(_of_code(path))) for path in paths}


def _of_code(path: Path):
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    yield from (token.string for token in tokens if token.type == tokenize.COMMENT)
    constants = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
    ]
    texts = [node.value for node in constants if isinstance(node.value, str)]
    yield from (text for text in texts if text.count(" ") > 2)


def plain(text: str) -> str:
    """Leave out of Markdown what is not prose, and join lines, paragraph by paragraph."""
    for pattern in NOT_PROSE[:2]:
        text = re.sub(pattern, "", text, flags=re.MULTILINE | re.DOTALL)
    paragraphs = [
        " ".join(part.split()) for part in re.split(r"\n\s*\n|^\s*[*-] ", text, flags=re.M)
    ]
    for pattern in NOT_PROSE[2:]:
        paragraphs = [re.sub(pattern, "…", part) for part in paragraphs]
    return "\n".join(paragraphs)
