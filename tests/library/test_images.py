"""Images of an experiment: standardised, drawn once, cut into fixed batches, augmented."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import seeded
from hypothesis import given
from hypothesis import strategies as st
from synthetic import dataset, moved

from liprune_utils.images import (
    PURPOSES,
    draw_images,
    draw_shifts,
    fixed_batches,
    generator,
    make_images,
    shifted,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def random_images(count: int, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.from_numpy(seeded(1).normal(size=(count, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize(("num_images", "drawn", "darkest"), [(20, 12, 0), (600, 600, 240)])
def test_images_are_standardised_by_the_training_images_drawn(num_images, drawn, darkest):
    data = dataset(num_images, 40, darkest)
    found = make_images(data, drawn, 30, seed=1)
    train, test = draw_images(data, drawn, 30, seed=1)
    assert (len(set(train)), len(set(test))) == (drawn, 30)
    assert np.array_equal(draw_images(data, 5, 0, seed=1)[0], train[:5])
    pixels = data.train_images[train].reshape(-1, 3) / 255
    for inputs, labels, chosen in (
        (found.inputs, found.labels, (data.train_images[train], data.train_labels[train])),
        (found.test_inputs, found.test_labels, (data.test_images[test], data.test_labels[test])),
    ):
        expected = (chosen[0] / 255 - pixels.mean(0)) / pixels.std(0)
        np.testing.assert_allclose(inputs.permute(0, 2, 3, 1), expected, atol=1e-4)
        np.testing.assert_array_equal(labels, chosen[1])
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        assert inputs.dtype == torch.float32


def test_channels_without_contrast_become_zero():
    data = dataset()
    grey = np.full_like(data.train_images, 100)
    assert not make_images(replace(data, train_images=grey), 12, 40).inputs.any()


def test_images_are_as_many_as_there_are_where_more_are_asked_for():
    found = make_images(dataset(20, 50), 50_000, 10_000)
    assert (len(found.inputs), len(found.test_inputs)) == (20, 50)
    assert sorted(found.labels.tolist()) == sorted(dataset().train_labels.tolist())


def test_the_draw_of_the_images_depends_on_its_seed_alone():
    first, again, other = (make_images(dataset(), 12, 40, seed=seed).inputs for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


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


@pytest.mark.parametrize(("height", "width"), [(32, 32), (5, 9)])
def test_an_augmented_image_is_its_shift_or_the_mirror_of_that(height, width):
    images, shifts = random_images(150, height, width), draw_shifts(150, seeded(2))
    found = shifted(images, torch.from_numpy(shifts))
    expected = [moved(image, shift) for image, shift in zip(images.numpy(), shifts, strict=True)]
    assert np.array_equal(found, np.stack(expected))


def test_images_that_do_not_move_are_new_and_channels_last():
    images = random_images(5)
    before = images.clone()
    found = shifted(images, torch.tensor([[4, 4, 0]] * 5))
    assert torch.equal(found, images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    found.zero_()
    assert torch.equal(images, before)
