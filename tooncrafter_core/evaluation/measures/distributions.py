"""Distances between two sets of features (n, d), one row for each picture or video.

With features of Inception or I3D these are what FID and KID, FVD and KVD measure; with other features they are other
numbers and are not called so.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FEWEST = 2


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of the normal distributions with the sets' means and covariances.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) (Heusel et al. 2017, eq. 6). With rows A and B less their mean and divided
    by sqrt(n - 1), S = A^T A and S' = B^T B, so the eigenvalues of S S' are the squared singular values of A B^T, and
    the last trace is the sum of those: no root of a matrix, also where there are fewer rows than columns.

    Raises:
        ValueError: fewer than two rows, or other widths.
    """
    _check(a, b)
    shift = (a.double().mean(dim=0) - b.double().mean(dim=0)).square().sum()
    a, b = _centred(a), _centred(b)
    return float(shift + a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum())


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x y / d + 1)^3, unbiased, so that it may be below 0.

    Binkowski et al. 2018, section 4; of all rows at once.

    Raises:
        ValueError: fewer than two rows, or other widths.
    """
    _check(a, b)
    a, b = a.double(), b.double()
    return float(_mean_of_others(a) + _mean_of_others(b) - 2 * _kernel(a, b).mean())


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_of_others(a: Tensor) -> Tensor:
    """Mean kernel of rows with other rows of the set."""
    kernel, count = _kernel(a, a), len(a)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))


def _centred(a: Tensor) -> Tensor:
    a = a.double()
    return (a - a.mean(dim=0)) / (len(a) - 1) ** 0.5


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < _FEWEST:
        raise ValueError(
            f"features are {tuple(a.shape)} and {tuple(b.shape)}; expected (n, d) of one width, {_FEWEST} rows or more"
        )
