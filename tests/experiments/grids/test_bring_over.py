"""Tables of another clone arrive in this one's folders, and no recorded run is lost."""

import pytest

from experiments.grids.bring_over import bring_over
from liprune_utils.checks import InputError

GRID = "folder: book/results/{page}\nname: small\ncommon: {{}}\nblocks:\n  - seed: [0, 1]\n"


def make_clone(folder, page, runs):
    (folder / "experiments" / "grids").mkdir(parents=True)
    (folder / "experiments" / "grids" / "small.yml").write_text(GRID.format(page=page))
    results = folder / "book" / "results" / page
    results.mkdir(parents=True)
    if runs:
        (results / "small_runs.csv").write_text("\n".join(["run_id", *runs]) + "\n")
        (results / "small_network.pt").write_bytes(b"weights")
    (results / "other.csv").write_text("stays")
    return folder


def test_tables_arrive_in_the_folder_of_their_page(tmp_path):
    clone = make_clone(tmp_path / "there", "08_cifar10", ["a", "b"])
    project = make_clone(tmp_path / "here", "09_cifar10", ["a"])
    copied = bring_over(clone, project)
    assert [path.name for path in copied] == ["small_runs.csv", "small_network.pt"]
    folder = project / "book" / "results" / "09_cifar10"
    assert (folder / "small_runs.csv").read_text() == "run_id\na\nb\n"
    assert bring_over(clone, project) == copied  # once more changes nothing


def test_a_recorded_run_is_never_lost(tmp_path):
    clone = make_clone(tmp_path / "there", "08_cifar10", ["b"])
    project = make_clone(tmp_path / "here", "09_cifar10", ["a", "b"])
    with pytest.raises(InputError, match="lacks the run a; expected all runs of"):
        bring_over(clone, project)
    kept = project / "book" / "results" / "09_cifar10" / "small_runs.csv"
    assert kept.read_text() == "run_id\na\nb\n"


def test_what_is_no_clone_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a copy of the project"):
        bring_over(tmp_path)
