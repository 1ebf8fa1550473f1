"""Two processes of Accelerate's own on the CPU train as one does on a batch twice as large."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import Workshop, run

from tooncrafter_core.training.__main__ import TRAININGS

TESTS = Path(__file__).resolve().parents[3]
PATHS = [str(TESTS), str(TESTS.parent / "scripts"), str(TESTS.parent)]

SCRIPT = """
import json, sys
import torch
from accelerate import debug_launcher
from small_training import Workshop, run
from pathlib import Path

jobs = json.loads(sys.argv[1])

def train(jobs):
    torch.set_num_threads(1)
    for workshop, name, output, changes in jobs:
        run(Workshop(*map(Path, workshop)).settings(name, Path(output), **changes))

debug_launcher(train, (jobs,), num_processes=2)
"""

LOSING = """
import os, signal, sys
sys.path[:0] = {paths}
from tooncrafter_core.training.__main__ import main
from tooncrafter_core.training.run.engine import Run

take_step = Run._take_step

def lose(self, passes):
    if (self.step, os.environ["RANK"]) == (1, "1"):
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(self, passes)

Run._take_step = lose
sys.exit(main(sys.argv[1:]))
"""


def vectors(content: Any) -> list[torch.Tensor]:
    """Tensors in a nest of lists and dictionaries, in order."""
    if isinstance(content, torch.Tensor):
        return [content.flatten()]
    inside = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return [vector for value in inside for vector in vectors(value)]


def run_in_two(workshop: Workshop, jobs: list[tuple[str, Path, dict[str, object]]]) -> None:
    files = [str(path) for path in (workshop.clips, workshop.start, workshop.perceptual)]
    told = [(files, name, str(output), changes) for name, output, changes in jobs]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {PATHS!r}\n{SCRIPT}", json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every training, with a step of two passes and one after it; the decoder's first step once more, as a whole."""
    folder = tmp_path_factory.mktemp("two")
    changes = {"steps": 2, "accumulate": 2, "sample_every": 2}
    jobs = [(name, folder / name, changes) for name in TRAININGS]
    whole = {"steps": 1, "adversarial_from": 1, "ema": 0}
    divided = {**changes, "sharded": True, "gradient_checkpointing": True}
    jobs += [("base", folder / "divided" / "base", {**divided, "steps": steps}) for steps in (1, 2)]
    jobs += [(name, folder / "divided" / name, divided) for name in ("rectify", "sketch", "distil")]
    run_in_two(workshop, [*jobs, ("decoder", folder / "halves", whole)])
    return folder


@pytest.mark.parametrize("name", TRAININGS)
def test_every_training_runs_in_two_processes(name: str, folder: Path) -> None:
    """And the first of them alone writes."""
    rows = (folder / name / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2"]
    assert len(list((folder / name).glob("events.out.tfevents.*"))) == 1
    assert all(tensor.isfinite().all() for tensor in load_file(folder / name / "model.safetensors").values())


@pytest.mark.parametrize("name", ["base", "rectify", "sketch", "distil"])
def test_divided_weights_are_trained_as_whole_ones(name: str, folder: Path) -> None:
    """Weights, moments and averages, which the first process writes whole; `base` was taken up again after a step."""
    paths = folder / name, folder / "divided" / name
    whole, divided = (vectors(torch.load(path / "state.pt")) for path in paths)
    assert len(whole) > 100 and [v.shape for v in whole] == [v.shape for v in divided]
    one, other = torch.cat(whole), torch.cat(divided)
    assert (one - other).norm() < 1e-3 * one.norm()
    written = [load_file(path / "model.safetensors") for path in paths]
    for expected, tensor in zip(*(tensors.values() for tensors in written), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=0, atol=2e-3)
    assert (paths[1] / "strips" / "0000002.png").is_file()


def test_two_halves_of_a_batch_have_the_gradients_of_the_whole(
    folder: Path, workshop: Workshop, tmp_path: Path
) -> None:
    run(workshop.settings("decoder", tmp_path, steps=1, batch=2, adversarial_from=1, ema=0))
    states = [torch.load(path / "state.pt")["contestants"]["decoder"] for path in (folder / "halves", tmp_path)]
    halves, whole = ([weight["exp_avg"] for weight in state["optimisers"][0]["state"].values()] for state in states)
    assert len(whole) > 100 and sum(bool(gradient.any()) for gradient in whole) > 50
    for one, other in zip(halves, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_run_that_loses_a_process_goes_on(workshop: Workshop, tmp_path: Path) -> None:
    """It is killed in the second step, and the run ends; started again, it comes to the bits of one that lost none.

    Both are launched in the same way: another launcher's processes may round in other places.
    """
    script = tmp_path / "losing.py"
    script.write_text(LOSING.format(paths=repr(PATHS)))

    def launched(name: str, *program: str) -> subprocess.CompletedProcess[str]:
        settings, changes = tmp_path / f"{name}.json", {"steps": 2, "accumulate": 2, "sample_every": 2, "save_every": 1}
        settings.write_text(json.dumps(workshop.entries("autoencoder", tmp_path / name, **changes)))
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *program]
        training = ["autoencoder", "--config", str(settings)]
        return subprocess.run([*launch, *training], capture_output=True, text=True, timeout=600, cwd=TESTS.parent)

    undisturbed = launched("undisturbed", "-m", "tooncrafter_core.training")
    losing, again = launched("mended", str(script)), launched("mended", "-m", "tooncrafter_core.training")
    assert undisturbed.returncode == 0, undisturbed.stderr[-3000:]
    assert losing.returncode != 0 and "exitcode: -9" in losing.stderr, losing.stderr[-3000:]
    assert again.returncode == 0, again.stderr[-3000:]
    whole, mended = (load_file(tmp_path / name / "model.safetensors") for name in ("undisturbed", "mended"))
    assert whole.keys() == mended.keys() and all(torch.equal(whole[name], mended[name]) for name in whole)
