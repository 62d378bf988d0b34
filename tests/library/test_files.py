"""Files are written whole or not at all; a name that YAML has twice is refused."""

import multiprocessing
import os
import re
import subprocess
import threading
import time

import pandas as pd
import pytest

from liprune_utils import files
from liprune_utils.checks import InputError
from liprune_utils.files import (
    ABANDONED_SECONDS,
    PROJECT,
    read_yaml,
    results_folder,
    write_atomically,
    write_table,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_its_bytes_are_on_the_disk(tmp_path, monkeypatch):
    path, seen = tmp_path / "table.csv", []

    def fsync(descriptor):
        seen.append((names(tmp_path), os.fstat(descriptor).st_size, path.read_text()))

    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fsync)
    assert write_atomically(path, lambda partial: partial.write_text("new words")) == path
    [((partial, table), size, text)] = seen
    assert re.fullmatch(r"\.table\.[0-9a-f]{8}\.partial\.csv", partial)
    assert (table, size, text) == ("table.csv", 9, "old")
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


def test_a_file_that_cannot_be_written_is_named_itself(tmp_path):
    path = tmp_path / "missing" / "table.csv"
    with pytest.raises(FileNotFoundError) as found:
        write_atomically(path, lambda partial: partial.write_text("new"))
    assert found.value.filename == str(path)


def test_what_killed_writers_have_left_goes_after_a_day_and_other_files_stay(tmp_path):
    others = [".table.0a.partial.csv", ".other.0a.partial.csv", ".table.0a.partial.json"]
    for name in [".table.0b.partial.csv", *others]:
        (tmp_path / name).write_text("half")
    long_ago = time.time() - ABANDONED_SECONDS - 1
    for name in [".table.0b.partial.csv", *others[1:]]:
        os.utime(tmp_path / name, (long_ago, long_ago))
    write_atomically(tmp_path / "table.csv", lambda partial: partial.write_text("new"))
    assert names(tmp_path) == sorted([*others, "table.csv"])


def test_writers_of_one_file_harm_neither_each_other_nor_a_reader(tmp_path):
    tables = [pd.DataFrame({"value": [number] * 2000}) for number in range(4)]
    done = threading.Event()
    sizes, errors = set(), []

    def write(table):
        try:
            for _ in range(15):
                write_table(tmp_path, "table", table)
        except OSError as error:
            errors.append(error)

    def read():
        while not done.is_set():
            sizes.add(pd.read_csv(tmp_path / "table.csv").value.value_counts().to_list()[0])

    write_table(tmp_path, "table", tables[0])
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=[table]) for table in tables]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert errors == []
    assert sizes == {2000}  # never a part of a table, or of two
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


def hold(folder, connection):
    results_folder(folder)
    connection.send("held")
    connection.recv()


def test_two_pages_never_write_to_one_folder(tmp_path, monkeypatch):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    other = context.Process(target=hold, args=(tmp_path, theirs))
    other.start()
    assert ours.recv() == "held"
    monkeypatch.setattr(files, "PATIENCE_SECONDS", 0.1)
    expected = f"results_dir is '{tmp_path}'; expected a folder that no other page writes to now"
    with pytest.raises(InputError, match=re.escape(expected)):
        results_folder(tmp_path)
    ours.send("end")
    other.join()
    for _ in range(2):  # a page that is run again has it already
        assert results_folder(tmp_path) == tmp_path


def test_a_results_folder_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert results_folder("~/out") == tmp_path / "out"
    assert (tmp_path / "out").is_dir()
    assert not (PROJECT / "~").exists()


def test_a_commit_is_dirty_by_code_but_not_by_recorded_results(tmp_path, monkeypatch):
    def git(*arguments):
        names = ["-c", "user.name=A", "-c", "user.email=a@b"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(files, "PROJECT", tmp_path)
    record, code = tmp_path / "book" / "results" / "table.csv", tmp_path / "code.py"
    record.parent.mkdir(parents=True)
    for path in (record, code):
        path.write_text("old")
    git("init")
    git("add", ".")
    git("commit", "-m", "Add both")
    clean = files.provenance()["commit"]
    assert re.fullmatch("[0-9a-f]{10}", clean)
    record.write_text("new")
    assert files.provenance()["commit"] == clean
    code.write_text("new")
    assert files.provenance()["commit"] == f"{clean}-dirty"
