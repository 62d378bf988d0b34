"""Small random images for the tests of page 08."""

import pytest
import torch

from liprune_utils.images import Images


@pytest.fixture
def images() -> Images:
    draw = torch.Generator().manual_seed(5)
    inputs = [torch.randn(count, 3, 8, 8, generator=draw) for count in (140, 4)]
    labels = [torch.randint(10, (len(part),), generator=draw) for part in inputs]
    return Images(inputs[0], labels[0], inputs[1], labels[1])
