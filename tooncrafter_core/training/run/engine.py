"""The loop every training runs in: Accelerate's devices and precision, our steps, averages and files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ...files.media import write_contact_sheet
from ...files.whole import check_file
from ...finite import is_finite
from ..clips.room import check_room, tensor_bytes
from ..settings.run import RunSettings, SettingsError
from .ema import EMA
from .export import write_checkpoint
from .journal import Journal
from .optimisers import Contestant
from .shards import usable, whole, whole_on_first
from .state import read_state, refusing_damage, write_state
from .task import Task

CHECKPOINT = "model.safetensors"
STATE = "state.pt"
STRIPS = "strips"
_GRADIENT_NORM = 1.0

_READER = "DataLoader worker"
"""How PyTorch begins the message that a process which reads clips has ended."""


class DivergedError(ValueError):
    """A training whose numbers are NaN or infinite, which no further step mends."""


def learning_rate(settings: RunSettings, step: int) -> float:
    """Learning rate of a step, from 0: a linear rise, a plateau, a linear fall (Haegele et al. 2024)."""
    rise = (step + 1) / (settings.warm_up + 1)
    fall = (settings.steps - step) / (settings.cool_down + 1)
    return settings.learning_rate * min(1.0, rise, fall)


class Run:
    """A training from its own last state, or from the start where there is none, to its last step.

    Args:
        task: what trains.
        settings: how.
        accelerator: where.

    Raises:
        SettingsError: the output folder has the state of another training, or a damaged one.
        ValueError: a file of the task cannot be written there, samples cannot be had, or memory cannot hold a step's.
    """

    def __init__(self, task: Task, settings: RunSettings, accelerator: Accelerator) -> None:
        self.task = task
        self.settings = settings
        self.accelerator = accelerator
        self.step = 0
        self.skipped = 0
        self.contestants = {
            name: Contestant(player, settings, accelerator)
            for name, player in task.players.items()
            if any(p.requires_grad for p in player.parameters())
        }
        self.ema = EMA(next(iter(task.players.values())), settings.ema)
        for name in task.beside:
            check_file(settings.output / name)
        self._resume()
        if not self.finished:
            self._check_room()

    def go(self, seconds: float = math.inf) -> Path:
        """Take the steps that are left; where nothing is to be trained, write the checkpoint as it is.

        Args:
            seconds: after which it stops, with its state saved, to go on another time.

        Returns:
            path of the checkpoint

        Raises:
            DivergedError: NaN or infinity came out of a step, which is then not kept.
            OSError: a file cannot be written.
        """
        path = self.settings.output / CHECKPOINT
        if self.contestants:
            self._take_steps(time.monotonic() + seconds)
        elif self.accelerator.is_main_process:
            write_checkpoint(self.task.checkpoint(), path, self.task.working)
        return path

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.settings.steps or not self.contestants

    def _take_steps(self, end: float) -> None:
        settings, main = self.settings, self.accelerator.is_main_process
        if self.finished and not all((settings.output / name).exists() for name in self._files):  # they were taken away
            self._save()
        batches = self._batches()
        with (
            Journal(settings.output, self.step, main) as journal,
            tqdm(total=settings.steps, initial=self.step, desc=settings.output.name, disable=not main) as bar,
        ):
            while not self.finished:
                metrics = self._take_step([_next(batches) for _ in range(settings.accumulate)])
                journal.write(self.step, metrics)
                bar.set_postfix({name: f"{value:.4g}" for name, value in metrics.items()}, refresh=False)
                bar.update()
                if self._due(settings.sample_every):
                    self._write_strip(journal)
                late = self._is_late(end)
                if late or self._due(settings.save_every):
                    self._save()
                self.accelerator.wait_for_everyone()
                if late:
                    break

    def _resume(self) -> None:
        path = self.settings.output / STATE
        if not path.exists():
            return
        state = read_state(path, mapped=self.settings.sharded)
        with refusing_damage(path):
            own, saved = self.contestants, state["contestants"]
            fitting = saved.keys() == own.keys() and all(own[name].fits(saved[name]) for name in own)
            if fitting:
                self.ema.load_state_dict(state["ema"])
                for name, contestant in own.items():
                    contestant.load_state_dict(saved[name])
        if not fitting:
            raise SettingsError(
                f"{path} is of a training of other tensors, or with another optimiser; take it away, or name another "
                "output"
            )
        if state["step"] > self.settings.steps:
            raise SettingsError(
                f"{path} is of step {state['step']}; expected one up to {self.settings.steps}, the steps asked for. "
                "Ask for more, or name another output"
            )
        self.step, self.skipped = state["step"], state["skipped"]

    def _check_room(self) -> None:
        """Raise ValueError where the batches of a step cannot be held."""
        settings = self.settings
        one = tensor_bytes(self.task.collate([self.task.draws()[0]]))
        needed = one * settings.batch * settings.accumulate
        check_room(
            f"{settings.batch} samples, {settings.accumulate} times for a step,",
            needed,
            "Choose a smaller batch, a smaller accumulate, fewer frames or a smaller size.",
        )

    def _is_late(self, end: float) -> bool:
        """Whether any process has run until `end`; all of them answer the same."""
        if end == math.inf:
            return False
        late = torch.tensor(float(time.monotonic() >= end), device=self.accelerator.device)
        return bool(self.accelerator.reduce(late) > 0)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _batches(self) -> Iterator[Any]:
        """This process's batches from the present step on."""
        settings, world = self.settings, self.accelerator.num_processes
        passes = range(self.step * settings.accumulate, settings.steps * settings.accumulate)
        own = (
            [
                (number * world + self.accelerator.process_index) * settings.batch + column
                for column in range(settings.batch)
            ]
            for number in passes
        )
        yield from DataLoader(
            self.task.draws(),
            batch_sampler=own,
            num_workers=settings.workers,
            collate_fn=self.task.collate,
            pin_memory=torch.cuda.is_available(),
        )

    def _take_step(self, passes: Sequence[Any]) -> dict[str, float]:
        """One step of every player; returns what to write down, averaged over the passes."""
        metrics: dict[str, float] = {}
        playing = {name: c for name, c in self.contestants.items() if c.player.plays(self.step)}
        for name, contestant in playing.items():
            for other in self.contestants.values():
                other.forget_gradients()
            for index, batch in enumerate(passes):
                for key, value in self._backward(contestant.call, batch, index).items():
                    metrics[key] = metrics.get(key, 0.0) + value / len(passes)
            norm = float(whole(self.accelerator.clip_grad_norm_(contestant.trained, _GRADIENT_NORM)))
            if not math.isfinite(norm):
                raise self._diverged(f"the gradient of {name}")
            metrics[f"{name}_gradient"] = norm
            contestant.step(learning_rate(self.settings, self.step))
        self.step += 1
        self.ema.update()
        self.skipped += sum(batch.skipped for batch in passes)
        return metrics | {"skipped": float(self.skipped)}

    def _backward(self, player: nn.Module, batch: Any, index: int) -> dict[str, float]:
        """Add one pass's gradients. They cross processes with the last pass only; of divided weights with each."""
        last = index == self.settings.accumulate - 1
        with nullcontext() if last else self.accelerator.no_sync(player):
            loss = player(send_to_device(batch, self.accelerator.device), self._generator(index), self.step)
            self.accelerator.backward(loss.total / self.settings.accumulate)
        return {name: float(part.detach()) for name, part in loss.parts.items()}

    def _generator(self, index: int) -> torch.Generator:
        """Randomness of one pass of one process at one step; on the CPU, so that a seed means the same anywhere."""
        key = (self.settings.seed, self.step, index, self.accelerator.process_index)
        return torch.Generator().manual_seed(hash(key) % 2**63)

    @property
    def _takes_part(self) -> bool:
        """Whether this process is needed to write: of divided weights every one has a share."""
        return self.accelerator.is_main_process or self.settings.sharded

    def _write_strip(self, journal: Journal) -> None:
        if not self._takes_part:
            return
        model = next(iter(self.task.players.values()))
        with self.ema.applied(), usable(model), torch.no_grad():
            picture = self.task.strip()
        if self.accelerator.is_main_process:
            path = self.settings.output / STRIPS / f"{self.step:07}.png"
            write_contact_sheet(picture[None], path, columns=1)
            journal.picture(self.step, picture)

    def _save(self) -> None:
        if not self._takes_part:
            return
        with self.ema.applied(), torch.no_grad():
            files = {name: tensors() for name, tensors in self._files.items()}
            if broken := [name for file in files.values() for name, tensor in file.items() if not is_finite(tensor)]:
                raise self._diverged(f"{broken[0]} and {len(broken) - 1} more tensors of the checkpoint")
            if self.accelerator.is_main_process:
                for name, tensors in files.items():
                    write_checkpoint(tensors, self.settings.output / name, self.task.working)
        state = whole_on_first(
            {
                "step": self.step,
                "skipped": self.skipped,
                "ema": self.ema.state_dict(),
                "contestants": {name: contestant.state_dict() for name, contestant in self.contestants.items()},
            }
        )
        if self.accelerator.is_main_process:
            write_state(state, self.settings.output / STATE)

    @property
    def _files(self) -> Mapping[str, Callable[[], dict[str, Tensor]]]:
        """What it writes of the models, by the files' names."""
        return {CHECKPOINT: self.task.checkpoint, **self.task.beside}

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"after {self.step} steps {what} came to NaN or infinity. What was saved in {self.settings.output} before "
            "is unchanged. Choose a smaller learning_rate or smaller weights of the losses, and look at the clips and "
            "at the files it starts from"
        )


def _next(batches: Iterator[Any]) -> Any:
    """The next batch.

    Raises:
        ChildProcessError: a process that reads clips was ended.
    """
    try:
        return next(batches)
    except RuntimeError as error:
        if _READER not in str(error):
            raise
        raise ChildProcessError(
            f"a process that reads clips was ended from outside ({str(error).splitlines()[0]}). Start the training "
            "again, and it goes on from its last state; where memory was short, with fewer workers or a smaller batch"
        ) from error
