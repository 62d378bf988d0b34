"""Images and training on a GPU: as on a CPU, and the host never waits within an epoch."""

import io

import pytest
import torch
from draws import seeded
from synthetic import BATCHES, RUN, dataset, images

from liprune_utils.images import draw_shifts, make_images, shifted
from liprune_utils.training import plan_epoch, start, steps, take_step, train_until

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_images_and_shifts_on_a_gpu_are_those_on_a_cpu():
    cpu, gpu = (make_images(dataset(), 12, 40, device=device) for device in ("cpu", "cuda"))
    shifts = torch.from_numpy(draw_shifts(12, seeded(2)))
    assert torch.equal(gpu.inputs.cpu(), cpu.inputs)
    assert torch.equal(shifted(gpu.inputs, shifts.cuda()).cpu(), shifted(cpu.inputs, shifts))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_epoch_on_a_gpu_is_about_that_on_a_cpu(precision):
    recipe = RUN.replace(precision=precision)
    cpu, gpu = (
        train_until(start(recipe, images(device)), images(device), BATCHES, recipe, 1)
        for device in ("cpu", "cuda")
    )
    assert gpu.train_losses == pytest.approx(cpu.train_losses, rel=0.01)
    for one, other in zip(gpu.model.parameters(), cpu.model.parameters(), strict=True):
        assert (one.cpu() - other).norm() < 0.03 * other.norm().clamp(min=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_waits_for_the_gpu(precision):
    data = images("cuda")
    state, plan = start(RUN, data), plan_epoch(BATCHES, RUN, 1, data.inputs.device)
    take_step(state, data, *plan[0], precision)  # the first one sets the GPU up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for indices, shifts in plan[1:]:
            take_step(state, data, indices, shifts, precision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert state.step == len(plan)


def test_a_run_moves_from_a_gpu_to_a_cpu_between_two_steps():
    gpu, cpu = images("cuda"), images()
    state = start(RUN, gpu)
    next(steps(state, gpu, BATCHES, RUN, 1))
    again = start(RUN, cpu)
    stream = io.BytesIO()
    torch.save(state.to_dict(), stream)
    stream.seek(0)
    again.load_dict(torch.load(stream, weights_only=True, map_location="cpu"))
    train_until(again, cpu, BATCHES, RUN, 1)
    train_until(state, gpu, BATCHES, RUN, 1)
    assert again.train_losses == pytest.approx(state.train_losses, rel=0.01)
