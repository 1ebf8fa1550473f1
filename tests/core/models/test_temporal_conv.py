"""The convolution over frames, as products on a CPU, is PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.temporal_conv import temporal_conv_of


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_products_are_the_convolution(frames: int) -> None:
    layer, x = Layers().temporal_conv(6, 4), torch.randn(2, 6, frames, 3, 5)
    with torch.enable_grad():
        expected = layer(x)
    assert isinstance(layer, nn.Conv3d) and expected.requires_grad
    torch.testing.assert_close(layer(x), expected.detach())
    lying = layer(x.transpose(3, 4).contiguous().transpose(3, 4))
    torch.testing.assert_close(lying, expected.detach())


def test_a_host_decides_where_weights_come_from() -> None:
    class Doubling(nn.Conv3d):
        def forward(self, input: Tensor) -> Tensor:
            return self._conv_forward(input, 2 * self.weight, self.bias)

    layer, x = temporal_conv_of(Doubling)(3, 3, (3, 1, 1), padding=(1, 0, 0)), torch.randn(1, 3, 4, 2, 2)
    expected = nn.functional.conv3d(x, 2 * layer.weight, layer.bias, padding=(1, 0, 0))
    torch.testing.assert_close(layer(x), expected)
