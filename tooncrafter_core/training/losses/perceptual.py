"""A perceptual distance between pictures: LPIPS (Zhang et al. 2018, eq. 1) from weight files.

A trunk (AlexNet or VGG16, trained to classify) gives features of both pictures at five depths. At each depth the
features are made unit length over channels, subtracted, squared, weighted by channel, and averaged over places; the
five are summed.

Files that make a complete network:

- one file with trunk and heads in the `lpips` package's layout (`net.slice1.0.weight`, `lin0.model.1.weight`). With
  blur filters among its tensors (`net.slice2.4.filt`) it is the shift-tolerant variant (Ghildyal and Liu 2022): strides
  are done by blurring, after Zhang 2019. Its distances are not those of the standard LPIPS.
- a heads file (`lin0.model.1.weight`) and a torchvision trunk file (`features.0.weight`): the standard LPIPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...files.weight_file import read_weight_file
from .trunks import ALEX, VGG16, Plan

SMALLEST = 32
"""Fewest pixels of a side: below it the deepest features vanish."""

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
"""ImageNet's means and deviations, for pixels in [-1, 1]: 2 m - 1 and 2 s."""

_LARGEST_BLUR = 7
"""Of a blur filter's kernel."""

_TINY = 1e-10
"""Keeps the square root differentiable where all features are zero."""


class _Blur(nn.Module):
    """A blur of stride 2 over reflected borders (Zhang 2019), which stands in for a stride."""

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, H, W) -> (n, c, about H / 2 + 1, about W / 2 + 1); borders are reflected by the kernel's size - 1."""
        pad = self.kernel.shape[-1] - 1
        return F.conv2d(F.pad(x, (pad, pad, pad, pad), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


class PerceptualDistance(nn.Module):
    """LPIPS: frozen, differentiable in both pictures. Made by `load_perceptual`.

    Attributes:
        network: `alex` or `vgg16`.
        blurred: whether it is the shift-tolerant variant.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        network: str,
        blurred: bool,
        stages: list[nn.Sequential],
        heads: list[Tensor],
        shift: Tensor,
        scale: Tensor,
    ) -> None:
        super().__init__()
        self.network = network
        self.blurred = blurred
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ParameterList(heads)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.requires_grad_(False).eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair of pictures; 0 for equal ones.

        Args:
            a: pictures (n, 3, H, W) in [-1, 1].
            b: the same. Where it needs no gradient, none of its features is kept.

        Returns:
            (n,), float32.

        Raises:
            ValueError: shapes differ or are not of pictures of 32 x 32 pixels or more.
        """
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < SMALLEST:
            raise ValueError(
                f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)} came to the perceptual distance; it takes "
                f"two of one shape (n, 3, H, W) with sides of {SMALLEST} or more"
            )
        terms = [
            (head * (x - y).square().mean(dim=(2, 3))).sum(dim=1)
            for head, x, y in zip(self.heads, self._unit_features(a), self._unit_features(b), strict=True)
        ]
        return torch.stack(terms).sum(dim=0)

    def _unit_features(self, x: Tensor) -> list[Tensor]:
        """Five features of length 1 over channels, of pictures (n, 3, H, W)."""
        x = (x - self.shift) / self.scale
        features = []
        for stage in self.stages:
            x = stage(x)
            wide = x.float()
            features.append(wide / (wide.square().sum(dim=1, keepdim=True) + _TINY).sqrt())
        return features


def load_perceptual(*paths: Path) -> PerceptualDistance:
    """Read the distance from one complete file, or from a heads file and a torchvision trunk file in any order.

    AlexNet or VGG16, and whether blurred, is seen from the tensors. Files are read without running code in them.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is no weight file, or together they do not make a complete network.
    """
    if not paths:
        raise ValueError("no weight file for the perceptual distance; give a complete file, or heads and trunk")
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors.update(read_weight_file(path))
    told = ", ".join(path.name for path in paths)
    blurred = any(name.startswith("net.slice") and name.endswith(".filt") for name in tensors)
    plan = _infer_plan(tensors, told)
    names = _conv_names(plan, tensors, blurred)
    heads = [f"lin{depth}.model.1.weight" for depth in range(len(plan.stages))]
    blurs = {stage: f"net.slice{stage + 1}.{at}.filt" for stage, at in plan.blurs} if blurred else {}
    _check_complete(tensors, [*(f"{name}.bias" for stage in names for name in stage), *heads, *blurs.values()], told)
    _check_complete(tensors, [f"{name}.weight" for stage in names for name in stage], told)
    _check_shapes(tensors, plan, names, (heads, blurs), told)
    _check_values(tensors, told)
    return PerceptualDistance(
        plan.name,
        blurred,
        [_stage(plan, depth, names[depth], tensors, blurs.get(depth)) for depth in range(len(plan.stages))],
        [tensors[name].float().reshape(1, -1).clone() for name in heads],
        tensors.get("scaling_layer.shift", torch.tensor(_SHIFT)).float().reshape(1, 3, 1, 1),
        tensors.get("scaling_layer.scale", torch.tensor(_SCALE)).float().reshape(1, 3, 1, 1),
    )


def _infer_plan(tensors: Mapping[str, Tensor], told: str) -> Plan:
    """The architecture, from the shape of the first convolution (w, 3, k, k)."""
    first = tensors.get("net.slice1.0.weight", tensors.get("features.0.weight"))
    if first is None:
        raise ValueError(
            f"{told}: no trunk (net.slice1.0.weight or features.0.weight is missing); a heads file needs "
            "torchvision's AlexNet or VGG16 file beside it"
        )
    for plan in (ALEX, VGG16):
        if tuple(first.shape[1:]) == (3, plan.kernels[0], plan.kernels[0]):
            return plan
    raise ValueError(f"{told}: the first convolution is {tuple(first.shape)}; expected AlexNet's or VGG16's")


def _conv_names(plan: Plan, tensors: Mapping[str, Tensor], blurred: bool) -> list[list[str]]:
    """Names of the convolutions of every stage in the layout that came."""
    stages = plan.blurred_stages if blurred else plan.stages
    sliced = "net.slice1.0.weight" in tensors
    return [
        [f"net.slice{depth}.{at}" if sliced else f"features.{at}" for at in positions]
        for depth, positions in enumerate(stages, start=1)
    ]


def _check_complete(tensors: Mapping[str, Tensor], names: list[str], told: str) -> None:
    missing = [name for name in names if name not in tensors]
    if missing:
        raise ValueError(
            f"{told}: not a complete perceptual network; missing {', '.join(missing[:5])}"
            f"{f' and {len(missing) - 5} more' if len(missing) > 5 else ''}"
        )
    if others := [name for name in names if not tensors[name].is_floating_point()]:
        raise ValueError(
            f"{told}: {others[0]} holds {tensors[others[0]].dtype} values; expected floating-point weights, so use "
            "another file"
        )


def _check_shapes(
    tensors: Mapping[str, Tensor],
    plan: Plan,
    names: list[list[str]],
    beside: tuple[list[str], Mapping[int, str]],
    told: str,
) -> None:
    """Heads, blurs and convolutions must be of one network: another trunk's heads have other widths."""
    heads, blurs = beside
    width = 3
    for depth, stage in enumerate(names):
        before, kernel = width, plan.kernels[depth]
        for name in stage:
            shape = tuple(tensors[f"{name}.weight"].shape)
            if shape[1:] != (width, kernel, kernel) or tuple(tensors[f"{name}.bias"].shape) != shape[:1]:
                raise ValueError(
                    f"{told}: {name}.weight is {shape} and its bias {tuple(tensors[f'{name}.bias'].shape)}; expected "
                    f"(n, {width}, {kernel}, {kernel}) and (n,) after a layer of {width} channels"
                )
            width = shape[0]
        if tensors[heads[depth]].numel() != width:
            raise ValueError(
                f"{told}: {heads[depth]} has {tensors[heads[depth]].numel()} channels and the trunk has {width} there; "
                "heads and trunk are of different networks"
            )
        if depth in blurs:
            _check_blur(blurs[depth], tensors[blurs[depth]], before if depth else width, told)


def _check_blur(name: str, blur: Tensor, channels: int, told: str) -> None:
    shape = tuple(blur.shape)
    if len(shape) != 4 or shape[:2] != (channels, 1) or shape[2] != shape[3] or not 1 <= shape[2] <= _LARGEST_BLUR:
        raise ValueError(
            f"{told}: {name} is {shape}; expected ({channels}, 1, k, k), k from 1 to {_LARGEST_BLUR}, in a layer of "
            f"{channels} channels"
        )


def _check_values(tensors: Mapping[str, Tensor], told: str) -> None:
    for name in ("scaling_layer.shift", "scaling_layer.scale"):
        if name in tensors and tensors[name].numel() != 3:
            raise ValueError(f"{told}: {name} is {tuple(tensors[name].shape)}; expected a value for each of 3 channels")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{told}: {name} holds NaN or infinite values; the file is damaged, download it again")
    if not tensors.get("scaling_layer.scale", torch.ones(1)).all():
        raise ValueError(f"{told}: scaling_layer.scale holds 0, by which pictures are divided; download the file again")


def _stage(plan: Plan, depth: int, names: list[str], tensors: Mapping[str, Tensor], blur: str | None) -> nn.Sequential:
    """Layers of one depth: maximum (with blur), then convolutions with ReLU."""
    layers: list[nn.Module] = []
    if depth in plan.pooled:
        layers.append(nn.MaxPool2d(plan.pool, stride=2 if blur is None else 1))
        if blur is not None:
            layers.append(_Blur(tensors[blur].float()))
    for at, name in enumerate(names):
        first = depth == 0 and at == 0
        stride = plan.first_stride if first and blur is None else 1
        layers.append(_convolution(tensors, name, stride))
        if first and blur is not None:
            layers.append(_Blur(tensors[blur].float()))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _convolution(tensors: Mapping[str, Tensor], name: str, stride: int) -> nn.Conv2d:
    weight, bias = tensors[f"{name}.weight"].float(), tensors[f"{name}.bias"].float()
    kernel = weight.shape[-1]
    padding = 2 if kernel == ALEX.kernels[0] else kernel // 2
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], kernel, stride=stride, padding=padding)
    conv.load_state_dict({"weight": weight, "bias": bias})
    return conv
