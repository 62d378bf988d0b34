"""``python -m liprune_utils.book``: the commands of the build, which the Makefile runs."""

import argparse
import sys
from pathlib import Path

from liprune_utils.book.build import PageError, execute, page, render, stale, status, view
from liprune_utils.book.pdf import pdf
from liprune_utils.book.twins import twins
from liprune_utils.checks import exit_status

FUNCTIONS = twins, stale, status, execute, page, render, view, pdf
COMMANDS = {function.__name__: function for function in FUNCTIONS}


def main() -> int:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m liprune_utils.book", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__)
        if function is not twins:
            command.add_argument("--build", type=Path, required=True, help="folder of the build")
        if function in (execute, view):
            command.add_argument("notebook", type=Path)
        if function is page:
            command.add_argument("name", help="its number or name")
        if function is execute:
            command.add_argument("--parameters", type=Path, help="YAML file of parameters")
        if function in (stale, status, page):
            command.add_argument("--profile", default="default", help="parameters of which name")
    options = vars(parser.parse_args())
    command = COMMANDS[options.pop("command")]
    return exit_status(lambda: command(**options), PageError, ValueError)


sys.exit(main())
