"""The sources of CIFAR-10, their order, and what is refused: on tiny trees."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import datasets

from liprune_utils import data, sources
from liprune_utils.checks import InputError

SMALL = {"train": 3, "test": 2}


@pytest.fixture(autouse=True)
def _small_and_offline(monkeypatch):
    monkeypatch.setattr(sources, "IMAGES_PER_CLASS", SMALL)
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:1/refused.tar.gz")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("REQUIRE_CIFAR10", raising=False)


def write_jpeg_tree(folder):
    rng = np.random.default_rng(0)
    for split, num_images in SMALL.items():
        for name in sources.CLASSES:
            (folder / "cifar10-jpeg" / split / name).mkdir(parents=True)
            for i in range(num_images):
                image = Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8))
                image.save(folder / "cifar10-jpeg" / split / name / f"{i:04d}.jpg")


def write_batch(path, images, labels):
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)  # [n, 3072], colours first
    path.write_bytes(pickle.dumps({"data": rows, "labels": labels.tolist()}))


@pytest.fixture
def original(tmp_path_factory, monkeypatch):
    # CIFAR-10 in the original's files, two images a batch
    root, rng = tmp_path_factory.mktemp("original"), np.random.default_rng(1)
    images = rng.integers(256, size=(12, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(10, size=12)
    batches = root / datasets.CIFAR10.base_folder
    batches.mkdir()
    names = [name for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list]
    for i, name in enumerate(names):
        write_batch(batches / name, images[2 * i : 2 * i + 2], labels[2 * i : 2 * i + 2])
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": list(sources.CLASSES)}))
    archive = root / datasets.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as file:
        file.add(batches, arcname=batches.name)
    sums = [[name, md5(batches / name)] for name in names]
    meta = datasets.CIFAR10.meta | {"md5": md5(batches / "batches.meta")}
    for name, value in {"train_list": sums[:5], "test_list": sums[5:], "meta": meta}.items():
        monkeypatch.setattr(datasets.CIFAR10, name, value)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    return root, images, labels


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def copy_into(folder, path):
    """Put a file, or a folder of files, into the folder."""
    files = path.iterdir() if path.is_dir() else [path]
    target = folder / path.name if path.is_dir() else folder
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        (target / file.name).write_bytes(file.read_bytes())


def states(folder):
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def damage(path, offset=-1):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def assert_same(first, second):
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), strict=True)


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    data._write(folder, sources.DIGITS, sources.read_digits())
    return folder


@pytest.fixture
def jpeg(tmp_path):
    write_jpeg_tree(tmp_path / "jpeg")
    data.prepare(tmp_path / "jpeg")
    return tmp_path / "jpeg"


# Sources.


def test_jpeg_tree_is_what_image_folder_reads(jpeg):
    dataset = data.load(jpeg)
    assert dataset.source == "CIFAR-10 (JPEG re-encoding)"
    assert dataset.class_names == sources.CLASSES
    for split in ("train", "test"):
        reference = datasets.ImageFolder(jpeg / "cifar10-jpeg" / split)
        assert tuple(reference.classes) == dataset.class_names
        images = np.stack([np.asarray(image) for image, _ in reference])
        np.testing.assert_array_equal(getattr(dataset, f"{split}_images"), images, strict=True)
        np.testing.assert_array_equal(getattr(dataset, f"{split}_labels"), reference.targets)


def test_original_in_the_folder(tmp_path, original):
    root, images, labels = original
    copy_into(tmp_path, root / "cifar-10-batches-py")
    dataset = data.prepare(tmp_path)
    assert dataset.source == "CIFAR-10"
    np.testing.assert_array_equal(dataset.train_images, images[:10], strict=True)
    np.testing.assert_array_equal(dataset.test_images, images[10:], strict=True)
    np.testing.assert_array_equal(dataset.train_labels, labels[:10], strict=True)
    np.testing.assert_array_equal(dataset.test_labels, labels[10:], strict=True)


def test_digits_are_scaled_and_repeated(digits):
    dataset, reference = data.load(digits), load_digits()
    images = np.concatenate([dataset.train_images, dataset.test_images])
    corners = images[:, ::4, ::4, 0]
    np.testing.assert_array_equal(images, np.kron(corners, np.ones((1, 4, 4)))[..., None] + [0] * 3)
    assert (corners.min(), corners.max()) == (0, 255)
    greys = sorted((corners / (255 / 16)).round().astype(int).reshape(-1, 64).tolist())
    assert greys == sorted(reference.data.astype(int).tolist())


def test_digits_split_takes_every_fifth_of_each_class(digits):
    dataset, reference = data.load(digits), load_digits()
    expected_train, expected_test, seen = [], [], [0] * 10
    for grey, label in zip(reference.images, reference.target, strict=True):
        seen[label] += 1
        (expected_test if seen[label] % 5 == 0 else expected_train).append((grey.sum(), label))
    assert (len(expected_train), len(expected_test)) == (1442, 355)
    np.testing.assert_array_equal(dataset.train_labels, [label for _, label in expected_train])
    np.testing.assert_array_equal(dataset.test_labels, [label for _, label in expected_test])
    brightness = dataset.test_images[:, ::4, ::4, 0].sum(axis=(1, 2)) * 16 / 255
    np.testing.assert_allclose(brightness, [grey for grey, _ in expected_test], atol=2)
    assert dataset.class_names == tuple("0123456789")


# Their order.


def test_fresh_folder_takes_the_first_source_there_is(tmp_path, original):
    assert data.prepare(tmp_path / "a").source == "scikit-learn digits"
    write_jpeg_tree(tmp_path / "b")
    assert data.prepare(tmp_path / "b").source == "CIFAR-10 (JPEG re-encoding)"
    write_jpeg_tree(tmp_path / "c")
    copy_into(tmp_path / "c", original[0] / "cifar-10-python.tar.gz")
    assert data.prepare(tmp_path / "c").source == "CIFAR-10"


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("prepared", ["digits", "jpeg"])
def test_prepared_folder_is_left_alone(prepared, retry, request):
    folder = request.getfixturevalue(prepared)
    before = states(folder)
    first = data.load(folder)
    assert_same(data.prepare(folder, retry), first)
    assert states(folder) == before


def test_prepared_original_is_left_alone(tmp_path, original):
    copy_into(tmp_path, original[0] / "cifar-10-python.tar.gz")
    data.prepare(tmp_path)
    before = states(tmp_path)
    data.prepare(tmp_path, retry=True)
    assert states(tmp_path) == before


def test_network_is_tried_again_only_on_request(digits, monkeypatch):
    urls = []
    monkeypatch.setattr(sources, "download", lambda url, path, md5: bool(urls.append(url)))
    data.prepare(digits)
    assert urls == []
    data.prepare(digits, retry=True)
    assert urls == [datasets.CIFAR10.url]


def test_better_source_in_the_folder_replaces_a_worse_one(digits, original, monkeypatch):
    monkeypatch.setattr(sources, "download", lambda *_: pytest.fail("the network was tried"))
    write_jpeg_tree(digits)
    assert data.prepare(digits).source == "CIFAR-10 (JPEG re-encoding)"
    copy_into(digits, original[0] / "cifar-10-python.tar.gz")
    dataset = data.prepare(digits)
    assert dataset.source == "CIFAR-10"
    assert_same(dataset, data.load(digits))


def test_require_cifar10_refuses_digits(tmp_path, digits, monkeypatch):
    monkeypatch.setenv("REQUIRE_CIFAR10", "1")
    for folder in (tmp_path / "fresh", digits):
        with pytest.raises(InputError, match="REQUIRE_CIFAR10=1 refuses the handwritten digits"):
            data.prepare(folder)
    assert not (tmp_path / "fresh").exists()
    write_jpeg_tree(digits)
    assert data.prepare(digits).is_cifar10


# Damage.


@pytest.mark.parametrize("name", ["pixels.npy", "labels.npy"])
def test_damaged_array_is_named_with_both_hashes(jpeg, name):
    key = {"pixels.npy": "sha256", "labels.npy": "labels_sha256"}[name]
    expected = json.loads((jpeg / "ready.json").read_text())[key]
    damage(jpeg / name)
    found = hashlib.sha256(np.load(jpeg / name).tobytes()).hexdigest()
    match = f"{name} is damaged .*{expected[:12]}, found {found[:12]}.*: delete it and run `make"
    with pytest.raises(InputError, match=match):
        data.load(jpeg)


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "flat": lambda path: np.save(path, np.load(path).ravel()[:, None]),
    "other type": lambda path: np.save(path, np.load(path).view(np.int8)),
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["pixels.npy", "labels.npy"])
def test_damaged_array_is_refused_and_prepared_again(jpeg, name, how):
    whole = data.load(jpeg)
    DAMAGES[how](jpeg / name)
    with pytest.raises(InputError, match=rf"{name} is damaged .*found (unreadable|wrong shape)"):
        data.load(jpeg)
    assert_same(data.prepare(jpeg), whole)
    assert_same(data.load(jpeg), whole)


def test_pickle_is_never_opened(jpeg):
    np.save(jpeg / "labels.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"labels\.npy is damaged .*found unreadable"):
        data.load(jpeg)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    # prepared once, for a test that puts back what it damages
    folder = tmp_path_factory.mktemp("frozen")
    rng = np.random.default_rng(2)
    pixels = rng.integers(256, size=(5, 32, 32, 3), dtype=np.uint8)
    data._write(folder, sources.CIFAR10, sources.Arrays(pixels, np.arange(5), 3, list("abcde")))
    return folder


@given(
    name=st.sampled_from(["pixels.npy", "labels.npy"]),
    offset=st.integers(0, 167),
    byte=st.integers(0, 255),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_byte_of_an_array_is_guarded(frozen, name, offset, byte):
    whole, content = data.load(frozen), (frozen / name).read_bytes()
    changed = bytearray(content)
    changed[offset] = byte
    (frozen / name).write_bytes(changed)
    try:
        assert_same(data.load(frozen), whole)  # such as a blank of the header's padding
    except InputError as error:
        assert f"{name} is damaged" in str(error)  # noqa: PT017
    finally:
        (frozen / name).write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"{}", b"null", {"source": "other"}, {"num_train": "30"}],
)
def test_damaged_ready_json_is_refused_and_prepared_again(jpeg, content):
    path = jpeg / "ready.json"
    whole, text = data.load(jpeg), path.read_bytes()
    if isinstance(content, dict):
        content = json.dumps(json.loads(text) | content).encode()
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"ready\.json is damaged: delete it and run `make data`"):
        data.load(jpeg)
    assert_same(data.prepare(jpeg), whole)
    assert path.read_bytes() == text


def test_unprepared_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/none holds no prepared data: run `make data"):
        data.load(tmp_path / "none")


def test_relative_folder_starts_at_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = Path(__file__).resolve().parents[2]
    with pytest.raises(InputError, match=f"The folder {project}/none-such holds"):
        data.load("none-such")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "not a whole JPEG"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), "not a whole JPEG"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "not a whole JPEG"),
        (lambda path: Image.new("RGB", (32, 31)).save(path), "32 x 31 pixels"),
    ],
)
@pytest.mark.parametrize("name", ["train/airplane/0000.jpg", "test/truck/0001.jpg"])
def test_broken_jpeg_is_named_and_no_digits_stand_in(tmp_path, name, harm, reason):
    write_jpeg_tree(tmp_path)
    harm(tmp_path / "cifar10-jpeg" / name)
    with pytest.raises(InputError, match=rf"cifar10-jpeg/{name} is missing or damaged \({reason}"):
        data.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10-jpeg"]


def test_broken_jpeg_tree_beside_digits_is_an_error_that_keeps_them(digits):
    before = data.load(digits)
    (digits / "cifar10-jpeg").mkdir()
    with pytest.raises(InputError, match=r"train/airplane/0000\.jpg is missing"):
        data.prepare(digits)
    assert_same(data.load(digits), before)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_damaged_batch_is_named_and_the_next_source_taken(tmp_path, original, caplog, name):
    write_jpeg_tree(tmp_path)
    copy_into(tmp_path, original[0] / "cifar-10-batches-py")
    damage(tmp_path / "cifar-10-batches-py" / name)
    assert data.prepare(tmp_path).source == "CIFAR-10 (JPEG re-encoding)"
    assert f"{name} is missing or damaged" in caplog.text
    assert "could not be downloaded" in caplog.text


def test_damaged_archive_is_named_and_the_next_source_taken(tmp_path, original, caplog):
    write_jpeg_tree(tmp_path)
    copy_into(tmp_path, original[0] / "cifar-10-python.tar.gz")
    damage(tmp_path / "cifar-10-python.tar.gz")
    assert data.prepare(tmp_path).source == "CIFAR-10 (JPEG re-encoding)"
    assert "cifar-10-python.tar.gz is missing or damaged" in caplog.text


def test_damaged_batch_is_restored_from_the_archive(tmp_path, original):
    for name in ("cifar-10-batches-py", "cifar-10-python.tar.gz"):
        copy_into(tmp_path, original[0] / name)
    damage(tmp_path / "cifar-10-batches-py" / "data_batch_2")
    np.testing.assert_array_equal(data.prepare(tmp_path).train_images, original[1][:10])


# The network.


def test_downloaded_archive_is_used_and_kept(tmp_path, original, monkeypatch):
    root, images, _ = original
    archive = root / "cifar-10-python.tar.gz"
    monkeypatch.setattr(datasets.CIFAR10, "url", archive.as_uri())
    dataset = data.prepare(tmp_path / "data")
    assert dataset.source == "CIFAR-10"
    np.testing.assert_array_equal(dataset.train_images, images[:10])
    assert md5(tmp_path / "data" / archive.name) == md5(archive)


def test_download_replaces_digits_on_retry(digits, original, monkeypatch):
    archive = original[0] / "cifar-10-python.tar.gz"
    monkeypatch.setattr(datasets.CIFAR10, "url", archive.as_uri())
    assert data.prepare(digits, retry=True).source == "CIFAR-10"


# Writing.

KILLED = """
import os, signal, sys
from pathlib import Path
from liprune_utils import data, sources
sources.IMAGES_PER_CLASS = {"train": 3, "test": 2}
calls = []
def fsync(descriptor):
    calls.append(descriptor)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
folder = Path(sys.argv[1])
arrays = sources.read_jpeg_tree(folder / "cifar10-jpeg")
data._write(folder, sources.CIFAR10_JPEG, arrays)
"""


@pytest.mark.parametrize("num_files", [1, 2, 3])
def test_killed_preparation_looks_unprepared(digits, num_files):
    write_jpeg_tree(digits)
    killed = subprocess.run([sys.executable, "-c", KILLED, digits, str(num_files)], cwd=data.ROOT)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(InputError, match="holds no prepared data"):
        data.load(digits)
    assert data.prepare(digits).source == "CIFAR-10 (JPEG re-encoding)"
    assert not list(digits.rglob("*.partial*"))


def test_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SystemExit, match=r"could not be prepared: .*No space") as end:
        data.main(["--folder", str(tmp_path)])
    assert "\n" not in end.value.code
    assert list(tmp_path.iterdir()) == []


# The command.


def run(folder, *flags, **environment):
    return subprocess.run(
        [sys.executable, "-m", "liprune_utils.data", "--folder", folder, *flags],
        capture_output=True,
        text=True,
        cwd=data.ROOT,
        env=os.environ | environment,
    )


def test_command_says_what_is_prepared(jpeg):
    ended = run(jpeg)
    sha256 = data.load(jpeg).sha256
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        "CIFAR-10 (JPEG re-encoding): 30 training and 20 test images,"
        f" pixel SHA-256 {sha256[:12]}.\n"
    )


def test_command_shows_the_source_found(tmp_path, caplog, capsys):
    caplog.set_level("INFO")
    write_jpeg_tree(tmp_path)
    data.main(["--folder", str(tmp_path)])
    assert f"Found CIFAR-10 (JPEG re-encoding) in {tmp_path}/cifar10-jpeg." in caplog.messages
    assert capsys.readouterr().out.startswith("CIFAR-10 (JPEG re-encoding): 30 training")


def test_command_refuses_digits_in_one_sentence(digits):
    ended = run(digits, REQUIRE_CIFAR10="1")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: REQUIRE_CIFAR10=1 refuses")
    assert ended.stderr.count("\n") == 1


def test_command_that_finds_all_prepared_imports_nothing_slow(digits):
    code = (
        "import sys; from liprune_utils import data; data.main(['--folder', sys.argv[1]]);"
        "print({'torch', 'torchvision', 'PIL', 'sklearn'} & set(sys.modules))"
    )
    printed = subprocess.check_output(
        [sys.executable, "-c", code, digits], text=True, cwd=data.ROOT
    )
    assert printed.endswith("set()\n")


# The banner.


def test_banner_warns_of_digits_alone(digits, jpeg):
    warning = data.banner(data.load(digits))
    assert warning.startswith('<div class="admonition warning">')
    assert warning.endswith("</div>")
    assert "handwritten digits stand in" in warning
    assert "No number on this page is about CIFAR-10" in warning
    assert data.banner(data.load(jpeg)) == ""


@pytest.mark.parametrize(
    ("source", "is_cifar10"),
    [("CIFAR-10", True), ("CIFAR-10 (JPEG re-encoding)", True), ("scikit-learn digits", False)],
)
def test_is_cifar10(source, is_cifar10):
    empty = np.empty(0)
    assert data.Dataset(empty, empty, empty, empty, source, "", ()).is_cifar10 is is_cifar10
