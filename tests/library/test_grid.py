"""Grid files: every combination once, in order, and nothing that a point does not know."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT
from liprune_utils.grid import IDENTITY, Grid, expand, read_grid
from liprune_utils.settings import Point

CONTENT = {
    "folder": "reruns/toy", "name": "toy", "common": {"depth": 8, "num_epochs": 3},
    "blocks": [{"method": ["none"]}],
}  # fmt: skip
TOY = Point(depth=8, num_epochs=3)


def write(folder: Path, content: object) -> Path:
    path = folder / "toy.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def read(folder: Path, **changes: object) -> Grid:
    return read_grid(write(folder, CONTENT | changes))


def test_a_grid_has_what_its_file_says(tmp_path):
    assert read(tmp_path) == Grid("reruns/toy", "toy", (TOY,))
    assert read_grid(str(tmp_path / "toy.yml")) == read(tmp_path)
    assert read(tmp_path, common={}).points == (Point(),)


def test_a_block_is_crossed_the_last_field_fastest():
    block = {"method": ["random", "grand"], "keep_fraction": [0.2, 0.5], "seed": [1, 0]}
    found = expand({"depth": 8}, block)
    assert found == [
        Point(depth=8, method=method, keep_fraction=fraction, seed=seed)
        for method in ("random", "grand")
        for fraction in (0.2, 0.5)
        for seed in (1, 0)
    ]
    assert expand({"depth": 8}, dict(reversed(block.items())))[1].method == "grand"


def test_blocks_follow_one_another_and_what_they_share_is_run_once(tmp_path):
    blocks = [
        {"seed": [2, 0]},
        {"seed": [1, 0, 2]},
        {"method": ["random"], "keep_fraction": [1]},
        {"method": ["random"], "keep_fraction": [1.0]},
    ]
    found = read(tmp_path, blocks=blocks).points
    pruned = replace(TOY, method="random")
    assert found == (TOY, pruned, *(replace(TOY, seed=seed) for seed in (1, 2)))  # seed by seed


def test_a_grid_may_name_a_run_whose_network_is_recorded(tmp_path):
    blocks = [{"seed": [0, 1]}, {"method": ["random"], "seed": [0, 1]}]
    assert read(tmp_path, blocks=blocks).network is None
    found = read(tmp_path, blocks=blocks, network={"method": "none", "seed": 1})
    assert found.network == replace(TOY, seed=1)
    for values, number in (({"seed": 0}, 2), ({"seed": 7}, 0)):
        with pytest.raises(InputError, match=f"single out one point, not {number}"):
            read(tmp_path, blocks=blocks, network=values)
    with pytest.raises(InputError, match="no parameter 'sead': did you mean 'seed'"):
        read(tmp_path, blocks=blocks, network={"sead": 0})


def test_common_values_are_taken_as_they_are(tmp_path):
    common = CONTENT["common"] | {"decay_epochs": [80, 120], "augment": False}
    found = read(tmp_path, common=common, blocks=[{"seed": [0, 1]}]).points
    assert [point.decay_epochs for point in found] == [(80, 120)] * 2
    assert not any(point.augment for point in found)


def test_a_list_among_the_values_of_a_block_is_one_value(tmp_path):
    found = read(tmp_path, blocks=[{"decay_epochs": [[80, 120], []]}])
    assert [point.decay_epochs for point in found.points] == [(80, 120), ()]
    assert found.columns() == [*IDENTITY, "decay_epochs"]


def test_a_block_may_depart_from_what_is_common(tmp_path):
    found = read(tmp_path, blocks=[{"depth": [14, 8]}, {"seed": [5]}]).points
    assert [point.depth for point in found] == [14, 8, 8]


def test_columns_are_the_identity_and_what_else_differs(tmp_path):
    assert read(tmp_path).columns() == list(IDENTITY)
    blocks = [{"seed": [0, 1], "momentum": [0.9, 0]}, {"batch_size": [64]}]
    assert read(tmp_path, blocks=blocks).columns() == [*IDENTITY, "batch_size", "momentum"]


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "experiments" / "grids").glob("*.yml")), ids=lambda p: p.name
)
def test_the_grids_of_the_book_can_be_read(path):
    assert read_grid(path).points


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in CONTENT.items() if name != key}


COMMON, BLOCKS = CONTENT["common"], "a list with at least one mapping of fields to lists of values"
REFUSED = {
    "content": ([1, 2], r"The content is \[1, 2\]; expected a mapping of folder, name, "),
    "empty": ("", "The content is None; expected a mapping of folder, name, common, blocks"),
    "network": (CONTENT | {"network": [1]}, r"network is \[1\]; expected a mapping of fields to"),
    "key": (CONTENT | {"block": []}, "A grid file has no parameter 'block': did you mean 'blocks'"),
    "number as key": (CONTENT | {1: []}, "A grid file has no parameter '1': known are folder, na"),
    "no folder": (without("folder"), "folder is None; expected a folder's name"),
    "no name": (without("name"), "name is None; expected the beginning of a file's name"),
    "no common": (without("common"), "common is None; expected a mapping of the fields that all"),
    "no blocks": (without("blocks"), f"blocks is None; expected {BLOCKS}"),
    "folder": (CONTENT | {"folder": ""}, "folder is ''; expected a folder's name"),
    "name": (CONTENT | {"name": "a/b"}, "name is 'a/b'; expected the beginning of a file's name"),
    "name type": (CONTENT | {"name": 8}, "name is 8; expected the beginning of a file's name"),
    "common": (CONTENT | {"common": [1]}, r"common is \[1\]; expected a mapping of the fields"),
    "blocks": (CONTENT | {"blocks": {"seed": [0]}}, rf"blocks is .*seed.*; expected {BLOCKS}"),
    "no block": (CONTENT | {"blocks": []}, rf"blocks is \[\]; expected {BLOCKS}"),
    "block": (CONTENT | {"blocks": ["seed"]}, f"A block is 'seed'; expected {BLOCKS}"),
    "empty block": (CONTENT | {"blocks": [{}]}, f"A block is {{}}; expected {BLOCKS}"),
    "field": (
        CONTENT | {"blocks": [{"lerning_rate": [0.1]}]},
        r"A point has no parameter 'lerning_rate': did you mean 'learning_rate'\?",
    ),
    "common field": (
        CONTENT | {"common": COMMON | {"num_epoch": 3}},
        r"A point has no parameter 'num_epoch': did you mean 'num_epochs'\?",
    ),
    "number as field": (
        CONTENT | {"blocks": [{3: [0.1]}]}, "A point has no parameter '3': known are depth, lear",
    ),
    "no list": (CONTENT | {"blocks": [{"seed": 3}]}, "seed is 3; expected a list of values"),
    "no value": (CONTENT | {"blocks": [{"seed": []}]}, r"seed is \[\]; expected a list of values"),
    "type": (
        CONTENT | {"blocks": [{"seed": ["3"]}]}, "seed is '3'; expected a whole number, not a text",
    ),
    "value": (
        CONTENT | {"blocks": [{"depth": [14, 15]}]}, "depth is 15; expected 6n \\+ 2, such as 14",
    ),
    "list in place of a value": (
        CONTENT | {"blocks": [{"decay_epochs": [80, 120]}]},
        "decay_epochs is 80; expected a list, each a whole number, not a whole number",
    ),
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
