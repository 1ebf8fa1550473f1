"""The loop every training runs in: Accelerate's devices and precision, our steps, averages and files."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ...files.media import write_contact_sheet
from ...files.whole import written_whole
from .ema import EMA
from .export import write_checkpoint
from .journal import Journal
from .optimisers import make_optimisers
from .settings import RunSettings, SettingsError
from .shards import divide, divided_as, divided_moments, usable, whole, whole_on_first
from .task import Player, Task

CHECKPOINT = "model.safetensors"
_STATE = "state.pt"
_GRADIENT_NORM = 1.0
_UNREADABLE = (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a state raises that is cut off, or never was one."""

_DAMAGED = (
    "{} is damaged, or no state of a training. Put a copy back, name another output, or take the file away, and the "
    "training begins anew"
)


def learning_rate(settings: RunSettings, step: int) -> float:
    """Learning rate of a step, from 0: a linear rise, a plateau, a linear fall (Haegele et al. 2024)."""
    rise = (step + 1) / (settings.warm_up + 1)
    fall = (settings.steps - step) / (settings.cool_down + 1)
    return settings.learning_rate * min(1.0, rise, fall)


class _Contestant:
    """A player with its optimiser."""

    def __init__(self, player: Player, settings: RunSettings, accelerator: Accelerator) -> None:
        self.player = player
        divided = settings.sharded and accelerator.num_processes > 1
        self.call: nn.Module = accelerator.prepare_model(player, evaluation_mode=divided)  # no copies kept alike then
        if divided:
            divide(player, accelerator.device, accelerator.num_processes)
        self.trained = [p for p in player.parameters() if p.requires_grad]
        self.optimisers = [accelerator.prepare_optimizer(made) for made in make_optimisers(self.trained, settings)]

    def step(self, rate: float) -> None:
        """Apply the gradients."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()

    def forget_gradients(self) -> None:
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        states = [optimiser.state_dict() for optimiser in self.optimisers]
        return {"parameters": [p.detach() for p in self.trained], "optimisers": states}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for parameter, saved in zip(self.trained, state["parameters"], strict=True):
            parameter.copy_(divided_as(saved, parameter))
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(divided_moments(saved, optimiser))


class Run:
    """A training from its own last state, or from the start where there is none, to its last step.

    Args:
        task: what trains.
        settings: how.
        accelerator: where.

    Raises:
        SettingsError: the output folder has the state of another training.
    """

    def __init__(self, task: Task, settings: RunSettings, accelerator: Accelerator) -> None:
        self.task = task
        self.settings = settings
        self.accelerator = accelerator
        self.step = 0
        self.skipped = 0
        self.contestants = {
            name: _Contestant(player, settings, accelerator)
            for name, player in task.players.items()
            if any(p.requires_grad for p in player.parameters())
        }
        self.ema = EMA(next(iter(task.players.values())), settings.ema)
        self._resume()

    def go(self, seconds: float = math.inf) -> Path:
        """Take the steps that are left; where nothing is to be trained, write the checkpoint as it is.

        Args:
            seconds: after which it stops, with its state saved, to go on another time.

        Returns:
            path of the checkpoint
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
        batches = self._batches()
        with (
            Journal(settings.output, self.step, main) as journal,
            tqdm(total=settings.steps, initial=self.step, desc=settings.output.name, disable=not main) as bar,
        ):
            while not self.finished:
                metrics = self._take_step([next(batches) for _ in range(settings.accumulate)])
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
        path = self.settings.output / _STATE
        if not path.exists():
            return
        state = _read_state(path, mapped=self.settings.sharded)
        saved = {name: [p.shape for p in contestant["parameters"]] for name, contestant in state["contestants"].items()}
        if saved != {name: [p.shape for p in contestant.trained] for name, contestant in self.contestants.items()}:
            raise SettingsError(f"{path} is of a training of other tensors; take it away, or name another output")
        try:
            self.ema.load_state_dict(state["ema"])
            for name, contestant in self.contestants.items():
                contestant.load_state_dict(state["contestants"][name])
        except _UNREADABLE as error:
            raise SettingsError(_DAMAGED.format(path)) from error
        self.step, self.skipped = state["step"], state["skipped"]

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
        own = [
            (number * world + self.accelerator.process_index) * settings.batch + column
            for number in passes
            for column in range(settings.batch)
        ]
        return iter(
            DataLoader(
                self.task.draws,
                batch_size=settings.batch,
                sampler=own,
                num_workers=settings.workers,
                collate_fn=self.task.collate,
                pin_memory=torch.cuda.is_available(),
            )
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
            norm = self.accelerator.clip_grad_norm_(contestant.trained, _GRADIENT_NORM)
            metrics[f"{name}_gradient"] = float(whole(norm))
            contestant.step(learning_rate(self.settings, self.step))
        self.step += 1
        self.ema.update()
        self.skipped += sum(batch.skipped for batch in passes)
        return metrics | {"skipped": float(self.skipped)}

    def _backward(self, player: nn.Module, batch: Any, index: int) -> dict[str, float]:
        """Add one pass's gradients; they cross processes with the last pass only."""
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
            path = self.settings.output / "strips" / f"{self.step:07}.png"
            write_contact_sheet(picture[None], path, columns=1)
            journal.picture(self.step, picture)

    def _save(self) -> None:
        if not self._takes_part:
            return
        with self.ema.applied(), torch.no_grad():
            tensors = self.task.checkpoint()
            if self.accelerator.is_main_process:
                write_checkpoint(tensors, self.settings.output / CHECKPOINT, self.task.working)
        state = whole_on_first(
            {
                "step": self.step,
                "skipped": self.skipped,
                "ema": self.ema.state_dict(),
                "contestants": {name: contestant.state_dict() for name, contestant in self.contestants.items()},
            }
        )
        if self.accelerator.is_main_process:
            with written_whole(self.settings.output / _STATE) as unfinished:
                torch.save(state, unfinished)


def _read_state(path: Path, mapped: bool) -> dict[str, Any]:
    """What `Run._save` has written, on the CPU: it is copied to where the models and optimisers have it. Mapped, only
    what is looked at is read.

    Raises:
        SettingsError: it is something else, or damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        counts = (state["step"], state["skipped"])
        shaped = all(hasattr(p, "shape") for c in state["contestants"].values() for p in c["parameters"])
    except _UNREADABLE as error:
        raise SettingsError(_DAMAGED.format(path)) from error
    if not shaped or not all(type(count) is int and count >= 0 for count in counts):
        raise SettingsError(_DAMAGED.format(path))
    return state
