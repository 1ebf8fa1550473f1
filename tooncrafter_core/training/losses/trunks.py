"""Networks that classify pictures and whose features the perceptual distance compares: AlexNet and VGG16."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """A trunk's architecture, and where its convolutions stand in the files.

    Attributes:
        name: what to call it.
        stages: for each of the five depths, the positions of its convolutions in torchvision's `features`.
        blurred_stages: the same in the shift-tolerant file.
        blurs: (stage, position) of the shift-tolerant file's blur filters.
        kernels: kernel sizes of each depth's convolutions.
        first_stride: stride of the first convolution in the plain trunk.
        pool: window of the maximum before a stage.
        pooled: stages that begin with a maximum.
    """

    name: str
    stages: tuple[tuple[int, ...], ...]
    blurred_stages: tuple[tuple[int, ...], ...]
    blurs: tuple[tuple[int, int], ...]
    kernels: tuple[int, ...]
    first_stride: int
    pool: int
    pooled: tuple[int, ...]


ALEX = Plan(
    name="alex",
    stages=((0,), (3,), (6,), (8,), (10,)),
    blurred_stages=((0,), (5,), (9,), (11,), (13,)),
    blurs=((0, 1), (1, 4), (2, 8)),
    kernels=(11, 5, 3, 3, 3),
    first_stride=4,
    pool=3,
    pooled=(1, 2),
)
VGG16 = Plan(
    name="vgg16",
    stages=((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)),
    blurred_stages=((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32)),
    blurs=((1, 5), (2, 11), (3, 19), (4, 27)),
    kernels=(3, 3, 3, 3, 3),
    first_stride=1,
    pool=2,
    pooled=(1, 2, 3, 4),
)
