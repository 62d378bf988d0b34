"""Scores of a data set read in pieces: those of its tensors, in bounded memory, resumable."""

import multiprocessing
import resource
import signal
import sys

import numpy as np
import pytest
import torch
from dask.distributed import Client, LocalCluster
from PIL import Image
from small_runs import die_at
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import liprune_utils as lp
from liprune_utils import shards
from liprune_utils.checks import InputError
from liprune_utils.scores import SCORES

pytestmark = pytest.mark.usefixtures("one_thread")
COUNT = 37
X = torch.randn(COUNT, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(COUNT) % 3
STREAMED = [name for name in SCORES if name not in ("forgetting", "random")]
BATCHES = np.array_split(np.random.default_rng(0).permutation(COUNT), 5)


def network(width: int = 5) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, 3))


class Named(nn.Module):
    """Takes two inputs by name, and returns more than its logits."""

    def __init__(self):
        super().__init__()
        self.layers = network(7)

    def forward(self, ids, mask):
        hidden = torch.cat([ids, mask], dim=1)
        return {"logits": self.layers(hidden), "hidden": hidden}


class Several(Named):
    """Takes two inputs in order."""

    def forward(self, ids, mask):
        return super().forward(ids, mask)["logits"]


class Whole(Named):
    """Takes a dictionary as one argument."""

    def forward(self, both):
        return super().forward(**both)


class Items(Dataset):
    """Gives the items that a function makes of their numbers."""

    def __init__(self, item, count=COUNT):
        self.item, self.count = item, count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return self.item(int(i))


def tokens(i):
    return {"ids": X[i], "mask": X[i, :2], "labels": int(Y[i])}


def pair_and_label(i):
    return X[i], X[i, :2], int(Y[i])


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("shard_size", [4096, 16, 1])
def test_a_data_set_has_the_scores_of_its_tensors(name, shard_size):
    options = {"batches": BATCHES, "tolerance": 1e-6, "seed": 3}
    expected = lp.score(name, network(), X, Y, **options)
    found = lp.score(name, network(), TensorDataset(X, Y), shard_size=shard_size, **options)
    # A margin is a difference of logits, which are rounded.
    rounding = 1e-6 * np.abs(expected).max() if name == "margin" else 1e-12
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=rounding)
    assert len(set(found)) == (5 if name == "hessian-batch" else COUNT)


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize(
    ("model", "item", "inputs"),
    [
        (Named, tokens, {"ids": X, "mask": X[:, :2]}),
        (Whole, tokens, {"ids": X, "mask": X[:, :2]}),
        (Several, pair_and_label, (X, X[:, :2])),
    ],
)
def test_several_inputs_are_passed_as_the_model_takes_them(name, model, item, inputs):
    options = {"batches": BATCHES, "tolerance": 1e-6}
    joined = torch.cat([X, X[:, :2]], dim=1)
    expected = lp.score(name, network(7), joined, Y, **options)
    for data in ((inputs, Y), (Items(item),)):
        found = lp.score(name, model(), *data, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)


def test_images_with_a_transform_and_ids_of_any_length():
    pixels = (X[:, :4].sigmoid() * 255).to(torch.uint8).numpy()

    def image(i):  # what a transform makes of an image
        return np.asarray(Image.fromarray(pixels[i].reshape(2, 2)), dtype=np.float32), int(Y[i])

    model = nn.Sequential(nn.Flatten(), network(4))
    tensors = torch.from_numpy(pixels).float().reshape(-1, 2, 2)
    expected = lp.score("grand", model, tensors, Y)
    np.testing.assert_allclose(lp.score("grand", model, Items(image)), expected, rtol=1e-5)

    lengths = 1 + np.arange(COUNT) % 4
    bag = nn.Sequential(nn.Embedding(9, 5, padding_idx=0), Mean(), network())
    ids = [torch.arange(1, length + 1) for length in lengths]

    def pad(items):
        tokens, labels = zip(*items, strict=True)
        return nn.utils.rnn.pad_sequence(tokens, batch_first=True), torch.tensor(labels)

    data = Items(lambda i: (ids[i], int(Y[i])))
    found = lp.score("hessian", bag, data, loader={"collate_fn": pad, "num_workers": 1})
    expected = [lp.score("hessian", bag, ids[i][None], Y[[i]])[0] for i in range(8)]
    np.testing.assert_allclose(found[:8], expected, rtol=0.02)


class Mean(nn.Module):
    """Adds what is at all places."""

    def forward(self, x):
        return x.sum(dim=1)


def test_numbers_of_python_have_the_precision_of_the_model():
    data = Items(lambda i: (X[i].double().numpy(), float(Y[i])))
    model = nn.Sequential(network(), nn.Linear(3, 1), nn.Flatten(0))
    found = lp.score("loss", model, data, loss=nn.functional.mse_loss)
    expected = lp.score("loss", model, X, Y.float(), loss=nn.functional.mse_loss)
    np.testing.assert_allclose(found, expected)


def test_kept_indices_fit_a_subset_as_they_are():
    for data in (TensorDataset(X, Y), Items(lambda i: (X[i], int(Y[i])))):
        kept = lp.keep_highest(lp.score("loss", network(), data), 0.2)
        [(inputs, labels)] = DataLoader(Subset(data, kept), batch_size=COUNT)
        assert torch.equal(inputs, X[kept])
        assert torch.equal(labels, Y[kept])


def test_scores_without_a_network_need_no_item():
    data = Items(pytest.fail, 10**6)
    assert len(lp.score("random", None, data, seed=1)) == 10**6
    correct = np.zeros((2, 10**6), dtype=bool)
    assert lp.score("forgetting", None, data, correct=correct).tolist() == [2.0] * 10**6


@pytest.mark.parametrize("folder", [None, "scores"])
def test_two_workers_find_the_same_as_this_process(tmp_path, folder):
    options = {"tolerance": 1e-3, "shard_size": 8, "batches": BATCHES}
    data = TensorDataset(X, Y)
    place = tmp_path / folder if folder else None
    with (
        LocalCluster(2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for name in ("hessian", "hessian-batch", "el2n"):
            own = place / name if place else None
            found = lp.score(name, network(), data, client=client, folder=own, **options)
            np.testing.assert_array_equal(found, lp.score(name, network(), data, **options))
        bad = Items(lambda i: (X[i], 7 if i == 30 else int(Y[i])))
        with pytest.raises(
            InputError, match=r"^In the piece of examples 24 to 31: The label of example 6"
        ):
            lp.score("loss", network(), bad, client=client, shard_size=8)


def score_and_die(folder, moment):
    die_at(shards, "write_atomically", moment)
    lp.score("hessian", network(), TensorDataset(X, Y), folder=folder, shard_size=8)


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_killed_scoring_goes_on(tmp_path, moment):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=score_and_die, args=(tmp_path, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(before) == moment - 1
    found = lp.score("hessian", network(), TensorDataset(X, Y), folder=tmp_path, shard_size=8)
    np.testing.assert_array_equal(found, lp.score("hessian", network(), X, Y))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def other_weights():
    model = network()
    with torch.no_grad():
        model[0].bias += 1
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": other_weights()}, "^weights_sha256 in .*shards.json"),
        ({"data": TensorDataset(X + 1, Y)}, "^data_sha256 in "),
        ({"seed": 2}, "^seed in .* is 0; expected 2"),
        ({"name": "grand"}, "^score in .* is 'hessian'; expected 'grand'"),
        (
            {"loss": nn.functional.multi_margin_loss},
            "^loss in .* is 'cross_entropy'; expected 'mul",
        ),
    ],
)
def test_shards_of_another_model_or_data_set_are_refused(tmp_path, change, message):
    arguments = {"name": "hessian", "model": network(), "data": TensorDataset(X, Y)}
    lp.score(**arguments, folder=tmp_path)
    with pytest.raises(InputError, match=message):
        lp.score(**(arguments | change), folder=tmp_path)


def test_batches_that_are_cut_elsewhere_are_others(tmp_path):
    first, other = ({"batches": np.split(np.arange(COUNT), [cut])} for cut in (10, 27))
    arguments = "hessian-batch", network(), TensorDataset(X, Y)
    lp.score(*arguments, folder=tmp_path, **first)
    with pytest.raises(InputError, match=r"^batches_sha256 in "):
        lp.score(*arguments, folder=tmp_path, **other)


def test_a_bad_example_is_numbered_within_its_piece():
    data = Items(lambda i: (X[i % COUNT], 7 if i == 515 else 0), 600)
    words = "^In the piece of examples 512 to 599: The label of example 3 is 7"
    with pytest.raises(InputError, match=words):
        lp.score("loss", network(), data)


class Stream(IterableDataset):
    """Has no numbered examples."""

    def __iter__(self):
        return iter([(X[0], 0)])


RANDOM = np.random.default_rng(0)
BAD = {
    "no length": (Stream(), "^The data is 'Stream'; expected a torch.Tensor, several, or a map-s"),
    "array": (X.numpy(), "^The data is 'ndarray'; expected a torch.Tensor"),
    "empty": (TensorDataset(X[:0], Y[:0]), "^The data set's number of examples is 0"),
    "no label": (TensorDataset(X), "^A batch is 'list'; expected inputs and labels|^A batch"),
    "no labels": (
        Items(lambda i: {"x": X[i]}),
        r"^A batch's names is \['x'\]; expected 'labels' am",
    ),
    "image": (
        Items(lambda i: (Image.new("L", (2, 2)), 0)),
        r"cannot be read \(TypeError: .*Image.*\); expected items that a transform or loader={'col",
    ),
    "sizes": (Items(lambda i: (X[i, : 1 + i % 3], 0)), r"cannot be read \(RuntimeError: "),
    "augmented": (
        Items(lambda i: (X[i] + RANDOM.random(), 0)),
        "^Two reads of the same examples differ; expected a data set without random augmentation",
    ),
    "label": (
        Items(lambda i: (X[i], i)),
        "^In the piece of examples 0 to 36: The label of example 3 is",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_read_is_refused(tmp_path, bad):
    data, message = BAD[bad]
    with pytest.raises(InputError, match=message) as error:
        lp.score("loss", network(), data, folder=tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.npy"))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (TensorDataset(X, Y), Y),
            {},
            "^labels is 'Tensor'; expected None, since the data set has",
        ),
        ((X, Y), {"client": 1}, "^folder, client or loader is 'given with tensors'; expected None"),
        ((TensorDataset(X, Y),), {"shard_size": 0}, "^shard_size is 0; expected at least 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        lp.score("loss", network(), *arguments, **options)


@pytest.mark.parametrize("option", [{"folder": "x"}, {"client": 1}])
def test_leverages_need_all_examples_at_once(option):
    with pytest.raises(InputError, match=r"^folder or client is"):
        lp.score("leverage", network(), TensorDataset(X, Y), **option)


class Million(Dataset):
    """A million small examples, none of which is kept."""

    def __len__(self):
        return 10**6

    def __getitems__(self, numbers):
        i = torch.as_tensor(numbers)
        x = (i[:, None] * torch.tensor([1.0, 0.7, 0.3, 0.11, 0.05])).sin()
        return list(zip(x, (i % 3).tolist(), strict=True))


@pytest.mark.slow
def test_a_million_examples_need_no_memory_for_a_million(tmp_path):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=score_a_million, args=(tmp_path,))
    process.start()
    while len(list(tmp_path.glob("*.npy"))) < 20:
        process.join(timeout=0.1)
        assert process.is_alive()
    process.kill()  # amid its work
    process.join()
    done = len(list(tmp_path.glob("*.npy")))
    assert 0 < done < 245
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = lp.score("grand", network(), Million(), folder=tmp_path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024, (
        sys.platform
    )  # KiB; the examples would take 20 MB, their objects 1 GB
    assert scores.shape == (10**6,)
    few = Million().__getitems__(range(999_990, 10**6))
    inputs, labels = torch.stack([x for x, _ in few]), torch.tensor([y for _, y in few])
    np.testing.assert_allclose(scores[-10:], lp.score("grand", network(), inputs, labels))


def score_a_million(folder):
    torch.set_num_threads(1)
    lp.score("grand", network(), Million(), folder=folder)
