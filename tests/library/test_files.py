"""Files are written whole or not at all; a name that YAML has twice is refused."""

import os

import pytest

from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT, read_yaml, results_folder, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_its_bytes_are_on_the_disk(tmp_path, monkeypatch):
    path, seen = tmp_path / "table.csv", []

    def fsync(descriptor):
        seen.append((names(tmp_path), os.fstat(descriptor).st_size, path.read_text()))

    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fsync)
    assert write_atomically(path, lambda partial: partial.write_text("new words")) == path
    assert seen == [([".table.partial.csv", "table.csv"], 9, "old")]
    assert path.read_text() == "new words"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_writer_leaves_what_was_there(tmp_path, old, error):
    path = tmp_path / "table.csv"
    if old:
        path.write_text(old)
    before = names(tmp_path)

    def write(partial):
        partial.write_text("half")
        raise error

    with pytest.raises(error):
        write_atomically(path, write)
    assert names(tmp_path) == before
    assert not old or path.read_text() == old


def test_partial_file_of_a_killed_run_is_replaced(tmp_path):
    (tmp_path / ".table.partial.csv").write_text("longer than what is written now")
    write_atomically(tmp_path / "table.csv", lambda partial: partial.write_text("new"))
    assert (tmp_path / "table.csv").read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 1", "b: {a: 1, a: 2}", "- {b: [], a: 1, a: }"])
def test_a_name_that_yaml_has_twice_is_refused(tmp_path, text):
    path = tmp_path / "x.yml"
    path.write_text(text)
    words = f"^The file {path} cannot be read: found 'a' twice in .*, line \\d, column \\d+\\.$"
    with pytest.raises(InputError, match=words):
        read_yaml(path, "The file")
    path.write_text("- {a: 1}\n- {a: 2, b: {a: 3}}")
    assert read_yaml(path, "The file") == [{"a": 1}, {"a": 2, "b": {"a": 3}}]


def test_a_results_folder_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert results_folder("~/out") == tmp_path / "out"
    assert (tmp_path / "out").is_dir()
    assert not (PROJECT / "~").exists()
