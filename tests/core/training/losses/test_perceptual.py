"""The perceptual distance: from files of random weights in both layouts, and from the real file where it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from perceptual_files import alex_trunk, blurred_alex, random_heads, save, vgg16_trunk

from tooncrafter_core.training.losses.perceptual import load_perceptual

REAL = Path.home() / ".cache/tooncrafter-data/set/perceptual/alex_shift_tolerant.pth"


@pytest.fixture(params=["alex", "blurred alex", "vgg16"])
def paths(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    torch.manual_seed(0)
    if request.param == "blurred alex":
        return [save(tmp_path / "whole.pth", blurred_alex())]
    trunk = alex_trunk() if request.param == "alex" else vgg16_trunk()
    return [save(tmp_path / "heads.pth", random_heads()), save(tmp_path / "trunk.pth", trunk)]


def test_distance(paths: list[Path]) -> None:
    distance = load_perceptual(*paths)
    assert (distance.network == "vgg16") == (len(paths) == 2 and "features.28.weight" in torch.load(paths[1]))
    assert distance.blurred == (len(paths) == 1)
    a, b = torch.rand(2, 3, 3, 48, 64) * 2 - 1
    b[2] = a[2]
    near = a + 0.05 * (b - a)
    found = distance(a, b)
    assert found.shape == (3,)
    assert found[2] == 0
    assert (found[:2] > distance(a, near)[:2]).all()
    assert (distance(a, near)[:2] > 0).all()
    torch.testing.assert_close(found, distance(b, a))
    torch.testing.assert_close(found[1:2], distance(a[1:2], b[1:2]))


@torch.enable_grad()
def test_gradients_flow_to_both_and_not_to_weights(paths: list[Path]) -> None:
    distance = load_perceptual(*paths)
    a = torch.zeros(1, 3, 32, 40).requires_grad_()
    b = (torch.rand(1, 3, 32, 40) * 2 - 1).requires_grad_()
    distance(a, b).sum().backward()
    for picture in (a, b):
        assert picture.grad is not None
        assert picture.grad.isfinite().all()
        assert picture.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in distance.parameters())


@torch.enable_grad()
def test_equal_pictures_have_finite_gradients(paths: list[Path]) -> None:
    a = torch.zeros(1, 3, 32, 32).requires_grad_()
    load_perceptual(*paths)(a, a.detach()).sum().backward()
    assert a.grad is not None
    assert a.grad.abs().max() == 0


def test_files_in_any_order(tmp_path: Path) -> None:
    heads, trunk = save(tmp_path / "heads.pth", random_heads()), save(tmp_path / "trunk.pth", alex_trunk())
    a, b = torch.rand(2, 1, 3, 32, 32)
    torch.testing.assert_close(load_perceptual(heads, trunk)(a, b), load_perceptual(trunk, heads)(a, b))


def test_missing_parts_are_named(tmp_path: Path) -> None:
    heads, trunk = save(tmp_path / "heads.pth", random_heads()), save(tmp_path / "trunk.pth", alex_trunk())
    with pytest.raises(ValueError, match="no weight file"):
        load_perceptual()
    with pytest.raises(ValueError, match=r"heads\.pth: no trunk"):
        load_perceptual(heads)
    with pytest.raises(ValueError, match=r"missing lin0\.model\.1\.weight, lin1"):
        load_perceptual(trunk)
    with pytest.raises(FileNotFoundError):
        load_perceptual(tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["net.slice3.9.weight", "net.slice5.13.bias", "net.slice2.4.filt"])
def test_each_missing_tensor_is_refused(tmp_path: Path, name: str) -> None:
    tensors = blurred_alex()
    del tensors[name]
    with pytest.raises(ValueError, match=name):
        load_perceptual(save(tmp_path / "whole.pth", tensors))


def test_heads_of_another_network_are_refused(tmp_path: Path) -> None:
    trunk = save(tmp_path / "trunk.pth", alex_trunk())
    heads = {name: torch.rand(1, 9, 1, 1) for name in random_heads()}
    with pytest.raises(ValueError, match="of different networks"):
        load_perceptual(trunk, save(tmp_path / "heads.pth", heads))


def test_other_content_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    with pytest.raises(ValueError, match="not a weight file") as error:
        load_perceptual(text)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="holds a list"):
        load_perceptual(save(tmp_path / "list.pth", [torch.zeros(1)]))
    odd = {"features.0.weight": torch.zeros(4, 3, 7, 7)}
    with pytest.raises(ValueError, match="expected AlexNet's or VGG16's"):
        load_perceptual(save(tmp_path / "odd.pth", odd))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("net.slice2.5.weight", torch.rand(6, 4, 5, 3)),
        ("net.slice2.5.weight", torch.rand(6, 4, 3, 3)),
        ("net.slice2.5.weight", torch.ones(6, 4, 5, 5, dtype=torch.int32)),
        ("net.slice2.4.filt", torch.rand(4, 1)),
        ("net.slice2.4.filt", torch.rand(4, 1, 0, 0)),
        ("net.slice2.4.filt", torch.rand(4, 1, 2, 5)),
        ("net.slice2.4.filt", torch.rand(4, 1, 99, 99)),
        ("scaling_layer.scale", torch.zeros(3)),
        ("scaling_layer.shift", torch.rand(4)),
        ("lin0.model.1.weight", torch.full((1, 4, 1, 1), float("nan"))),
    ],
)
def test_tensors_that_cannot_be(tmp_path: Path, name: str, tensor: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=rf"whole\.pth: {name}"):
        load_perceptual(save(tmp_path / "whole.pth", {**blurred_alex(), name: tensor}))


@pytest.mark.parametrize("shapes", [((1, 3, 32, 32), (2, 3, 32, 32)), ((1, 1, 32, 32),) * 2, ((1, 3, 16, 32),) * 2])
def test_pictures_that_do_not_fit(tmp_path: Path, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    distance = load_perceptual(save(tmp_path / "whole.pth", blurred_alex()))
    with pytest.raises(ValueError, match="takes two of one shape"):
        distance(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@pytest.mark.training_data
def test_real_weights() -> None:
    """The value is the stlpips-pytorch 0.0.2 package's own for these pictures."""
    distance = load_perceptual(REAL)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96), indexing="ij")
    a = torch.stack([rows, columns, rows * columns])[None]
    b = torch.stack([torch.sin(9 * rows), torch.cos(7 * columns), -rows])[None]
    assert float(distance(a, b)) == pytest.approx(0.7603279, rel=1e-4)
