"""Images of an experiment: standardised, drawn once, cut into fixed batches, augmented."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import dataset, moved, seeded

from liprune_utils.images import (
    PURPOSES,
    draw_shifts,
    fixed_batches,
    generator,
    make_task,
    shifted,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def random_images(count: int, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.from_numpy(seeded(1).normal(size=(count, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize(("num_images", "darkest"), [(12, 0), (600, 240)])
def test_images_are_standardised_by_the_training_images(num_images, darkest):
    data = dataset(num_images, 40, darkest)
    found = make_task(data, num_images, 40)
    pixels, tests = (x.reshape(-1, 3) / 255.0 for x in (data.train_images, data.test_images))
    images = found.images.double()
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std((0, 2, 3), correction=0), 1, atol=1e-4)
    shown = found.test_images.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    known = (tests - pixels.mean(0)) / pixels.std(0)
    np.testing.assert_allclose(
        np.sort(shown, axis=0)[::999], np.sort(known, axis=0)[::999], atol=1e-4
    )


def test_only_the_images_of_the_experiment_enter_the_standardisation():
    images = make_task(dataset(), 12, 40).images.double()
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std((0, 2, 3), correction=0), 1, atol=1e-4)


def test_channels_without_contrast_become_zero():
    data = dataset()
    grey = np.full_like(data.train_images, 100)
    assert not make_task(replace(data, train_images=grey), 12, 40).images.any()


def test_images_keep_their_labels_and_come_once():
    data = dataset()
    blank = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None, None], (20, 32, 32, 3))
    found = make_task(replace(data, train_images=blank, train_labels=np.arange(20)), 12, 40)
    order = found.images[:, 0, 0, 0].argsort()
    assert (found.labels[order].diff() > 0).all()
    assert (len(found.labels), len(found.test_labels)) == (12, 40)


def test_images_are_as_many_as_there_are_where_more_are_asked_for():
    found = make_task(dataset(20, 50), 50_000, 10_000)
    assert (len(found.images), len(found.test_images)) == (20, 50)
    assert sorted(found.labels.tolist()) == sorted(dataset().train_labels.tolist())


def test_the_draw_of_the_images_depends_on_its_seed_alone():
    first, again, other = (make_task(dataset(), 12, 40, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_are_channels_last_in_memory():
    found = make_task(dataset(), 12, 40)
    for images in (found.images, found.test_images):
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.dtype == torch.float32


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 9))
def test_batches_partition_the_images(num_images, batch_size, seed):
    batches = fixed_batches(num_images, batch_size, seed)
    assert sorted(np.concatenate(batches)) == list(range(num_images))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1]) <= batch_size
    again = fixed_batches(num_images, batch_size, seed)
    assert all(map(np.array_equal, batches, again))


def test_batches_of_another_seed_are_others():
    first, other = (np.concatenate(fixed_batches(40, 8, seed)) for seed in (0, 1))
    assert not np.array_equal(first, other)


def test_streams_of_different_purposes_differ():
    keys = [(seed, purpose) for seed in (0, 1) for purpose in PURPOSES]
    draws = [generator(*key).random() for key in keys]
    assert len(set(draws)) == len(keys)
    assert generator(0, "order", 2).random() == generator(0, "order", 2).random()


@pytest.mark.parametrize("count", [1, 7])
def test_shifts_come_from_the_stream_as_they_always_did(count):
    draw, again = seeded(3), seeded(3)
    for _ in range(2):  # one batch after the other
        corners, mirrored = again.integers(0, 9, size=(2, count)), again.random(count) < 0.5
        found = draw_shifts(count, draw)
        assert np.array_equal(found, np.stack([corners[0], corners[1], mirrored], axis=1))
        assert (found.dtype, found.shape) == (np.int64, (count, 3))


def test_shifts_reach_every_corner_and_half_are_mirrored():
    tops, lefts, mirrored = draw_shifts(900, seeded(2)).T
    assert set(tops) == set(lefts) == set(range(9))
    assert 400 < mirrored.sum() < 500
    assert set(mirrored) == {0, 1}
    assert np.abs(np.corrcoef([tops, lefts, mirrored])[np.triu_indices(3, 1)]).max() < 0.15


@pytest.mark.parametrize(("height", "width"), [(32, 32), (5, 9)])
def test_an_augmented_image_is_its_shift_or_the_mirror_of_that(height, width):
    images, shifts = random_images(150, height, width), draw_shifts(150, seeded(2))
    found = shifted(images, torch.from_numpy(shifts))
    expected = [moved(image, shift) for image, shift in zip(images.numpy(), shifts, strict=True)]
    assert np.array_equal(found, np.stack(expected))


def test_no_shift_changes_nothing():
    images = random_images(3)
    assert torch.equal(shifted(images, torch.tensor([[4, 4, 0]] * 3)), images)


def test_augmented_images_are_new_and_channels_last():
    images = random_images(5)
    before = images.clone()
    found = shifted(images, torch.tensor([[4, 4, 0]] * 5))
    found.zero_()
    assert torch.equal(images, before)
    assert found.is_contiguous(memory_format=torch.channels_last)
