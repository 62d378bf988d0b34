"""The recorded table of batches: its rows are those of the seeds, its files are written."""

import json
import sys

import pandas as pd
import pytest
from synthetic import RUN, dataset

from experiments.cifar10 import record
from experiments.cifar10.kept_batches import batch_properties
from liprune_utils.grid import Grid
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.runs import save_network
from liprune_utils.training import initial_network

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_command_describes_the_batches_of_the_recorded_seeds(monkeypatch, tmp_path):
    run, network = RUN.replace(method="none"), initial_network(RUN).eval()
    save_network(network, tmp_path / "whole_network.pt")
    pd.DataFrame({"seed": [0, 0, 3, 5]}).to_csv(tmp_path / "whole_scores.csv", index=False)
    (tmp_path / "whole_provenance.json").write_text(json.dumps({"complete_seeds": [0, 3]}))
    monkeypatch.setattr(record, "RECORDED", str(tmp_path))
    monkeypatch.setattr(record, "read_grid", lambda _: Grid("", "whole", (run,), run))
    monkeypatch.setattr(record.data, "load", dataset)
    monkeypatch.setattr(sys, "argv", ["record"])
    record.main()
    found = pd.read_csv(tmp_path / "whole_batches.csv")
    assert found.seed.drop_duplicates().tolist() == [0, 3]  # seed 5 is not complete
    images = make_images(dataset(), run.num_images, run.num_test_images, seed=3)
    batches = fixed_batches(run.num_images, run.batch_size, 3)
    expected = batch_properties(network, images, batches).assign(seed=3)
    own = found[found.seed == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, expected, check_dtype=False)
    facts = json.loads((tmp_path / "whole_batches_provenance.json").read_text())
    assert facts["command"] == "python -m experiments.cifar10.record"
    assert facts["pixel_sha256"] == dataset().sha256
