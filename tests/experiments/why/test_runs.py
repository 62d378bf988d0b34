"""Page 11's parameters, and its live runs on toy images."""

import pytest
from synthetic import dataset

from experiments.why.runs import WhyParameters, live_dynamics
from liprune_utils.checks import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
TOY = WhyParameters(
    results_dir="x", slope=1.0, num_runs=100, depth=8, num_images=16, num_test_images=20,
    batch_size=4, num_epochs=2, prune_epoch=2, keep_fraction=0.5, learning_rate=0.05, seed=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("slope", 0.0, "slope is 0.0; expected not 0"),
        ("num_runs", 99, "num_runs is 99; expected a whole number from 100 to 100000"),
        ("prune_epoch", 1, "prune_epoch is 1; expected from 2 to num_epochs, 2"),
        ("prune_epoch", 3, "prune_epoch is 3; expected from 2 to num_epochs, 2"),
        ("num_images", 12, "num_images is 12; expected images for at least two kept batches of 4"),
        ("depth", 9, "depth is 9; expected 6n"),
        ("keep_fraction", 1.5, "keep_fraction is 1.5; expected a fraction in"),
        ("batch_size", 17, "batch_size is 17; expected from 2 to num_images, 16"),
    ],
)
def test_bad_parameters_are_refused(name, value, words):
    with pytest.raises(InputError) as caught:
        TOY.replace(**{name: value})
    assert words in str(caught.value)


def test_both_methods_share_everything_else():
    random, liprune = map(dict, TOY.runs())
    differ = {name for name in random if random[name] != liprune[name]}
    assert differ == {"method", "tolerance"}


def test_live_runs_go_on_from_one_network(tmp_path):
    found = live_dynamics(dataset(), TOY, tmp_path)
    table = found["dynamics"].set_index(["arm", "epoch"])
    assert set(table.index) == {(arm, epoch) for arm in ("random", "liprune") for epoch in (1, 2)}
    assert table.all_noise["random", 1] == table.all_noise["liprune", 1]
    assert table.all_noise["random", 2] != table.all_noise["liprune", 2]
    assert len(found["dynamics_curves"]) == 4
    assert found["dynamics_kept"].num_kept.tolist() == [8, 8]
