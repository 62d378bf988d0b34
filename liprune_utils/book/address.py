"""The repository's address, which `_config.yml` states, in the README and in `CITATION.cff`.

``python -m liprune_utils.book.address`` writes it there, or takes it away where it is empty.
"""

import argparse
import re
import sys

from liprune_utils.checks import exit_status, require
from liprune_utils.files import PROJECT, read_yaml, write_atomically

ADDRESS = re.compile(r"(?:https://github\.com/([\w-]+)/(?!\.+$)([\w.-]+)(?<!\.git))?")
BADGES = re.compile(r"^\[!\[.*\n\n", re.MULTILINE)
LINKS = re.compile(r"^(?:repository-code|url): .*\n", re.MULTILINE)


def repository() -> str:
    """Read the address, "" where it is not known."""
    config = read_yaml(PROJECT / "_config.yml", "The book's configuration")
    url = (config.get("repository") or {}).get("url")
    known = isinstance(url, str) and ADDRESS.fullmatch(url)
    require(bool(known), "repository.url", url, '"" or https://github.com/OWNER/NAME')
    return url


def site(url: str) -> str:
    """Name where the workflow publishes the book of a repository; "" for none."""
    owner, name = ADDRESS.fullmatch(url).groups()
    return f"https://{owner.lower()}.github.io/{name}/" if url else ""


def with_badges(text: str, url: str) -> str:
    """Put the state of the build and the book's site under the README's title."""
    title, rest = BADGES.sub("", text).split("\n\n", maxsplit=1)
    build = f"{url}/actions/workflows/book.yml"
    badges = f"[![The build]({build}/badge.svg)]({build}) [Read the book]({site(url)})\n\n"
    return f"{title}\n\n{badges if url else ''}{rest}"


def with_links(text: str, url: str) -> str:
    """Put the repository and the book's site at the end of the citation's own part."""
    own, references = LINKS.sub("", text).split("references:\n")
    links = f"repository-code: {url}\nurl: {site(url)}\n" if url else ""
    return f"{own}{links}references:\n{references}"


def write() -> None:
    """Write the address into the README and the citation."""
    url = repository()
    for name, change in {"README.md": with_badges, "CITATION.cff": with_links}.items():
        text = change((PROJECT / name).read_text(), url)
        write_atomically(PROJECT / name, lambda path, text=text: path.write_text(text))


def main() -> int:
    """Run the command."""
    argparse.ArgumentParser(
        prog="python -m liprune_utils.book.address", description=__doc__
    ).parse_args()
    return exit_status(write)


if __name__ == "__main__":
    sys.exit(main())
