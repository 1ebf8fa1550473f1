"""The patch discriminator, the hinge losses and the adaptive weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tooncrafter_core.training.losses.discriminator import (
    DiscriminatorConfig,
    PatchDiscriminator,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
@torch.enable_grad()
def test_receptive_field(layers: int, field: int) -> None:
    """Without normalisation an output depends on exactly a square of this side: the paper's 70 pixels at 3 layers."""
    config = DiscriminatorConfig(width=2, layers=layers, groups=0)
    frames = torch.randn(1, 3, config.smallest, 3 * field).requires_grad_()
    judged = PatchDiscriminator(config)(frames)
    (gradient,) = torch.autograd.grad(judged[0, 0, 0, judged.shape[3] // 2], frames)
    columns = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    assert int(columns[-1] - columns[0]) + 1 == field


@pytest.mark.parametrize("groups", [0, 8, 32])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_output_size(layers: int, groups: int) -> None:
    config = DiscriminatorConfig(width=8, layers=layers, groups=groups)
    judge = PatchDiscriminator(config)
    assert judge(torch.randn(2, 3, 64, 128)).shape == (2, 1, 64 // 2**layers - 2, 128 // 2**layers - 2)
    assert judge(torch.randn(1, 3, config.smallest, config.smallest)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="Use fewer layers"):
        judge(torch.randn(1, 3, config.smallest - 1, 64))
    with pytest.raises(ValueError, match=r"\(n, 3, H, W\)"):
        judge(torch.randn(1, 4, 64, 64))


def test_frames_are_judged_alone() -> None:
    """No statistics over the batch, so accumulating gradients changes nothing."""
    judge = PatchDiscriminator(DiscriminatorConfig(width=8, layers=2))
    frames = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(judge(frames)[1:2], judge(frames[1:2]))
    assert not list(judge.buffers())


@pytest.mark.parametrize("name", ["channels", "width", "layers"])
def test_sizes_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0"):
        DiscriminatorConfig(**{name: 0})


def test_hinge_losses() -> None:
    assert discriminator_loss(torch.full((2, 1), 1.5), torch.full((2, 1), -3.0)) == 0
    assert discriminator_loss(torch.zeros(4), torch.zeros(4)) == 1
    assert discriminator_loss(torch.tensor([0.5]), torch.tensor([0.25])) == pytest.approx((0.5 + 1.25) / 2)
    assert generator_loss(torch.tensor([1.0, 3.0])) == -2


@torch.enable_grad()
def test_it_learns_to_tell_apart() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(DiscriminatorConfig(width=8, layers=1))
    optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
    for _ in range(30):
        loss = discriminator_loss(judge(torch.randn(4, 3, 16, 16)), judge(torch.randn(4, 3, 16, 16) * 0.2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.7


@torch.enable_grad()
def test_adaptive_weight() -> None:
    last = nn.Parameter(torch.tensor([3.0, 4.0]))
    reconstruction, adversarial = (last * torch.tensor([6.0, 8.0])).sum(), last.sum() * 0.5
    weight = adaptive_weight(reconstruction, adversarial, last)
    assert weight == pytest.approx(10 / 0.5**0.5, rel=1e-4)
    assert not weight.requires_grad
    assert adaptive_weight(reconstruction, adversarial, last, limit=2.0) == 2
    assert adaptive_weight(reconstruction, adversarial * 0, last) == 1e4
    (reconstruction + weight * adversarial).backward()
    assert last.grad is not None
