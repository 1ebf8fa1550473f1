"""What `benchmark.py run` measures of a small model, and how it compares two checkouts."""

from __future__ import annotations

import json

import benchmark
import pytest
from benchmarks import stage_times
from benchmarks.counters import count_flops
from random_checkpoint import MODEL

from tooncrafter_core.models.layers import Layers

STAGES = ["read prompt and keyframe", "encode two keyframes", "U-Net pass", "decode once", "all, 1 guided steps"]


def test_a_small_model(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--width", "64", "--height", "64", "--frames", "2", "--steps", "1", "--runs", "1"]
    assert stage_times.main(["--small", "--device", "cpu", *size, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["stages"]) == STAGES
    assert all(value > 0 for cost in found["stages"].values() for value in cost.values())
    assert found["machine"]["flops"] > 0 and found["machine"]["bandwidth"] > 0
    # As many operations as on meta tensors, but for products with the zeros around a clip, which a CPU leaves out; the
    # whole has two U-Net passes, and a decode.
    decode = benchmark.Decoding(Layers(device="meta"), config=MODEL.autoencoder, frames=2, height=64, width=64)
    decode.references = [maps.to("meta") for maps in decode.references]
    flops = {name: cost["flops"] for name, cost in found["stages"].items()}
    assert 0.85 * count_flops(decode) < flops["decode once"] <= count_flops(decode)
    assert flops[STAGES[-1]] > 2 * flops["U-Net pass"] + flops["decode once"]
    (title, _, *rows) = stage_times.table(found)
    assert "small, random, 64 x 64, 2 frames" in title and len(rows) == 2 + len(STAGES)


def test_a_size_that_cannot_be_encoded(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        stage_times.main(["--small", "--device", "cpu", "--width", "60"])
    assert ended.value.code == 2 and "width is 60; expected a multiple of 8" in capsys.readouterr().err


def test_ratios() -> None:
    ours, theirs = (
        {"stages": {"decode": {"seconds": seconds, "peak": 4, "flops": 1, "moved": moved}}}
        for seconds, moved in ((1.0, 3), (2.0, 4))
    )
    assert list(stage_times.ratios(ours, theirs))[-1] == "| decode | 0.50 | 1.00 | 0.75 |"
