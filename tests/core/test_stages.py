"""Each part has its weights at work for its stage only, and a stage that runs out of memory is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.counters import PeakMemory
from comfy_harness.failing_allocations import FailingAllocations
from torch import Tensor, nn

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.__main__ import main
from tooncrafter_core.memory import REMEDY, LackOfMemoryError, naming_lack

PARTS = ("text", "vision", "projector", "autoencoder", "unet", "sketch_encoder")
RUN: dict[str, Any] = {"settings": Settings(width=32, height=24, steps=2, frames=6)}


@pytest.fixture
def loaded(tiny_files: tuple[Path, Path]) -> ToonCrafter:
    """The random models as a file has them: in float16, to be run in float32."""
    return ToonCrafter.load(*tiny_files, dtype=torch.float32)


@pytest.fixture
def pictures() -> dict[str, Any]:
    drawn = torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    return {"keyframes": drawn[:2], "sketches": {2: (drawn[2] > 0.9).float()}}


def modules(model: ToonCrafter) -> dict[str, nn.Module]:
    return {name: getattr(model, name) for name in PARTS}


def weights(model: ToonCrafter) -> dict[str, tuple[int, torch.dtype]]:
    """Where every weight is."""
    return {
        f"{part}.{name}": (parameter.data_ptr(), parameter.dtype)
        for part, module in modules(model).items()
        for name, parameter in module.named_parameters()
    }


def converted_bytes(model: ToonCrafter) -> int:
    """Of the weights that are not as the file has them."""
    parameters = [parameter for module in modules(model).values() for parameter in module.parameters()]
    return sum(parameter.nbytes for parameter in parameters if parameter.dtype != torch.float16)


def test_only_the_parts_of_a_stage_are_converted(loaded: ToonCrafter, pictures: dict[str, Any]) -> None:
    seen: dict[str, set[str]] = {}

    def note(part: str) -> None:
        found = {name for name, module in modules(loaded).items() if next(module.parameters()).dtype == torch.float32}
        seen.setdefault(part, set()).update(found)

    before = weights(loaded)
    for part, module in modules(loaded).items():
        inner = module.encoder if part == "autoencoder" else module
        inner.register_forward_pre_hook(lambda *_, part=part: note(part))
    loaded.autoencoder.decoder.register_forward_pre_hook(lambda *_: note("decoder"))
    interpolate(loaded, **pictures, **RUN)
    assert seen == {
        "text": {"text"},
        "vision": {"vision", "projector"},
        "projector": {"vision", "projector"},
        "autoencoder": {"autoencoder"},
        "unet": {"unet", "sketch_encoder"},
        "sketch_encoder": {"unet", "sketch_encoder"},
        "decoder": {"autoencoder"},
    }
    assert weights(loaded) == before, "weights did not come back as the file has them"


def test_loading_takes_no_memory_and_a_run_gives_back_what_it_took(
    tiny_files: tuple[Path, Path], pictures: dict[str, Any]
) -> None:
    """Bytes of live tensors: the largest stage's weights at the most, beside the activations, which are few here."""
    settings = Settings(width=8, height=8, steps=1, frames=2, two_pass=False, guidance_scale=1)
    with torch.no_grad(), PeakMemory("cpu") as memory:
        model = ToonCrafter.load(*tiny_files, dtype=torch.float32)
        sizes = {name: 4 * sum(p.numel() for p in module.parameters()) for name, module in modules(model).items()}
        assert memory.peak < sum(sizes.values()) / 20
        frames = interpolate(model, pictures["keyframes"], settings)
        largest = max(sizes["text"], sizes["vision"] + sizes["projector"], sizes["autoencoder"], sizes["unet"])
        assert memory.peak < 1.5 * largest < sum(sizes.values())
    assert converted_bytes(model) == 0
    assert frames.shape == (2, 3, 8, 8)


def test_frames_are_those_of_models_that_are_converted_at_once(
    loaded: ToonCrafter, tiny: ToonCrafter, pictures: dict[str, Any]
) -> None:
    assert torch.equal(interpolate(loaded, **pictures, **RUN), interpolate(tiny, **pictures, **RUN))


def test_weights_come_back_after_a_failure(loaded: ToonCrafter, pictures: dict[str, Any]) -> None:
    before = weights(loaded)

    def stop(step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interpolate(loaded, **pictures, **RUN, callback=stop)
    assert weights(loaded) == before


CPU_ERROR = (
    "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)


@pytest.mark.parametrize(
    ("part", "stage"),
    [
        ("text", "Reading prompt and keyframes"),
        ("vision", "Reading prompt and keyframes"),
        ("autoencoder", "Encoding the keyframes"),
        ("unet", "Sampling"),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError(CPU_ERROR), MemoryError()], ids=["allocator", "python"])
def test_a_stage_without_memory_is_named(
    tiny: ToonCrafter, pictures: dict[str, Any], part: str, stage: str, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    module = tiny.autoencoder.encoder if part == "autoencoder" else getattr(tiny, part)
    hook = module.register_forward_pre_hook(fail)
    try:
        with pytest.raises(LackOfMemoryError, match=rf"^{stage} ran out of memory .* smaller size or fewer frames"):
            interpolate(tiny, **pictures, **RUN)
    finally:
        hook.remove()


def test_memory_that_runs_out_anywhere(loaded: ToonCrafter, pictures: dict[str, Any]) -> None:
    """At the first allocation, the last and some between, once or from there on: a message with the remedy, or the same
    frames from smaller chunks; afterwards all is as before."""
    run: dict[str, Any] = {**pictures, "settings": Settings(width=16, height=16, steps=1, frames=3)}
    before = weights(loaded)
    with FailingAllocations() as allocations:
        expected = interpolate(loaded, **run)
    last = allocations.count
    assert last > 1000
    for number, at in enumerate((1, *range(last // 7, last, last // 7), last)):
        lasting = number % 2 == 1
        try:
            with FailingAllocations(at, lasting):
                frames = interpolate(loaded, **run)
            assert not lasting and (frames - expected).abs().max() < 1e-4
        except LackOfMemoryError as error:
            assert str(error).endswith(REMEDY)
        assert weights(loaded) == before
    assert torch.equal(interpolate(loaded, **run), expected)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^channels$"), naming_lack("Sampling"):
        raise RuntimeError("channels")


def test_the_command_says_it_in_one_line(
    tiny_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Tensor) -> None:
        raise RuntimeError(CPU_ERROR)

    monkeypatch.setattr("tooncrafter_core.models.unet.unet.UNet.forward", fail)
    picture = str(Path(__file__).resolve().parents[2] / "assets" / "keyframes" / "first.png")
    arguments = [picture, picture, "-c", str(tiny_files[0]), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["interpolate", *arguments, "--width", "32", "--height", "32", "--frames", "2"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: Sampling ran out of memory"), said
