"""Grids: the file that lists the runs, read or refused."""

from pathlib import Path

import pytest
import yaml

from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT
from liprune_utils.grid import IDENTITY, Grid, read_grid
from liprune_utils.settings import TrainingRun

CONTENT = {
    "folder": "reruns/toy", "name": "toy", "common": {"depth": 8, "num_epochs": 3},
    "blocks": [{"method": ["none"]}],
}  # fmt: skip
PLAIN = TrainingRun(depth=8, num_epochs=3)


def write(folder: Path, content: object) -> Path:
    path = folder / "toy.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def read(folder: Path, **changes: object) -> Grid:
    return read_grid(write(folder, CONTENT | changes))


def test_a_grid_has_what_its_file_says(tmp_path):
    assert read(tmp_path) == Grid("reruns/toy", "toy", (PLAIN,))
    assert read_grid(str(tmp_path / "toy.yml")) == read(tmp_path)
    assert read(tmp_path, common={}).runs == (TrainingRun(),)


def test_a_block_is_crossed_the_last_field_fastest(tmp_path):
    block = {"method": ["random", "grand"], "keep_fraction": [0.2, 0.5], "num_epochs": [4, 3]}
    runs = read_grid(
        write(tmp_path, yaml.safe_dump(CONTENT | {"blocks": [block]}, sort_keys=False))
    )
    assert list(runs.runs) == [
        PLAIN.replace(method=method, keep_fraction=fraction, num_epochs=number)
        for method in ("random", "grand")
        for fraction in (0.2, 0.5)
        for number in (4, 3)
    ]


def test_blocks_follow_one_another_and_what_they_share_is_run_once(tmp_path):
    blocks = [
        {"seed": [2, 0]},
        {"seed": [1, 0, 2]},
        {"method": ["random"], "keep_fraction": [1]},
        {"method": ["random"], "keep_fraction": [1.0]},
    ]
    found = read(tmp_path, blocks=blocks).runs
    pruned = PLAIN.replace(method="random")
    assert found == (PLAIN, pruned, *(PLAIN.replace(seed=seed) for seed in (1, 2)))  # seed by seed


def test_a_grid_may_name_a_run_whose_network_is_recorded(tmp_path):
    blocks = [{"seed": [0, 1]}, {"method": ["random"], "seed": [0, 1]}]
    assert read(tmp_path, blocks=blocks).network is None
    found = read(tmp_path, blocks=blocks, network={"method": "none", "seed": 1})
    assert found.network == PLAIN.replace(seed=1)
    for values, number in (({"seed": 0}, 2), ({"seed": 7}, 0)):
        with pytest.raises(InputError, match=f"single out one run, not {number}"):
            read(tmp_path, blocks=blocks, network=values)
    with pytest.raises(InputError, match="no parameter 'sead': did you mean 'seed'"):
        read(tmp_path, blocks=blocks, network={"sead": 0})


def test_common_values_are_taken_as_they_are(tmp_path):
    common = CONTENT["common"] | {"decay_epochs": [80, 120], "augment": False}
    found = read(tmp_path, common=common, blocks=[{"seed": [0, 1]}]).runs
    assert [run.decay_epochs for run in found] == [(80, 120)] * 2
    assert not any(run.augment for run in found)


def test_a_list_among_the_values_of_a_block_is_one_value(tmp_path):
    found = read(tmp_path, blocks=[{"decay_epochs": [[80, 120], []], "depth": [14]}])
    assert [(run.decay_epochs, run.depth) for run in found.runs] == [((80, 120), 14), ((), 14)]
    assert found.columns() == [*IDENTITY, "decay_epochs"]


def test_columns_are_the_identity_and_what_else_differs(tmp_path):
    assert read(tmp_path).columns() == list(IDENTITY)
    blocks = [{"seed": [0, 1], "momentum": [0.9, 0]}, {"batch_size": [64]}]
    assert read(tmp_path, blocks=blocks).columns() == [*IDENTITY, "batch_size", "momentum"]


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "experiments" / "grids").glob("*.yml")), ids=lambda p: p.name
)
def test_the_grids_of_the_book_can_be_read(path):
    assert read_grid(path).runs


BLOCKS = "a list with at least one mapping of fields to lists of values"
REFUSED = {
    "content": ([1, 2], r"The content is \[1, 2\]; expected a mapping of folder, name, "),
    "empty": ("", "The content is None; expected a mapping of folder, name, common, blocks"),
    "network": (CONTENT | {"network": [1]}, r"network is \[1\]; expected a mapping of fields to"),
    "key": (CONTENT | {"block": []}, "GridFile has no parameter 'block': did you mean 'blocks'"),
    "number as key": (CONTENT | {1: []}, "GridFile has no parameter '1': known are folder, name"),
    "missing": ({"name": "toy", "common": {}}, "GridFile lacks folder, blocks"),
    "folder": (CONTENT | {"folder": ""}, "folder is ''; expected a folder's name"),
    "name": (CONTENT | {"name": "a/b"}, "name is 'a/b'; expected the beginning of a file's name"),
    "common": (CONTENT | {"common": [1]}, r"common is \[1\]; expected a mapping of the fields"),
    "no block": (CONTENT | {"blocks": []}, rf"blocks is \[\]; expected {BLOCKS}"),
    "block": (CONTENT | {"blocks": ["seed"]}, rf"blocks is \['seed'\]; expected {BLOCKS}"),
    "empty block": (CONTENT | {"blocks": [{}]}, "A block is {}; expected a mapping of fields"),
    "field": (
        CONTENT | {"blocks": [{"lerning_rate": [0.1]}]},
        r"TrainingRun has no parameter 'lerning_rate': did you mean 'learning_rate'\?",
    ),
    "common field": (
        CONTENT | {"common": {"num_epoch": 3}},
        r"TrainingRun has no parameter 'num_epoch': did you mean 'num_epochs'\?",
    ),
    "no list": (CONTENT | {"blocks": [{"seed": 3}]}, "seed is 3; expected a list of values"),
    "no value": (CONTENT | {"blocks": [{"seed": []}]}, r"seed is \[\]; expected a list of values"),
    "twice": (CONTENT | {"blocks": [{"seed": [0, 0]}]}, r"seed is \[0, 0\]; expected a list of"),
    "value": (CONTENT | {"blocks": [{"seed": ["3"]}]}, "seed is '3'; expected a whole number"),
    "no epoch": (
        CONTENT | {"blocks": [{"num_epochs": [0, 3]}]}, "num_epochs is 0; expected at least 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_a_sentence_names_file_value_and_what_was_expected(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=f"^Grid file {path}: {words}") as caught:
        read_grid(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"a: [\n", "while parsing .*, line 2, column 1"),
        (b"a: \xff\xfe", "unacceptable character #x00ff: .*, position 3"),
        (b"a: !!python/none 1", "could not determine a constructor .*, line 1, column 4"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content, words):
    path = tmp_path / "toy.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^The grid file {path} cannot be read: {words}\\.$"):
        read_grid(path)


# Recorded tables
