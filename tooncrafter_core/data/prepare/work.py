"""What has to be done for which stretch: stages with their settings, each a step that a runner calls.

A step looks for its result first and keeps it when it is made, so that calling it again costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel

from .film import UNREADABLE, Film, Stretch
from .settings import Settings
from .stages import aesthetics, agreement, captions, cut, duplicates, motion, shots, text_area
from .store import Result, Store, key
from .views import Views, look

Measure = Callable[[Views, dict[str, Result]], Result]

SHOTS, LOOK = "shots", "look"
"""Under which is kept what shots a film has, and which stretches fall since they cannot be decoded."""


@dataclass(frozen=True)
class Stage:
    """A stage that measures stretches one by one.

    Attributes:
        name: of its part of the settings.
        settings: that part.
        limits: the settings that decide what falls and not what is measured, so that they may change.
        measurer: makes what measures, on a device.
        fault: why a stretch with this result falls, or None.
        on_gpu: whether it runs a network that a GPU makes faster.
        after: digest of what it builds on.
    """

    name: str
    settings: Any
    limits: tuple[str, ...]
    measurer: Callable[[Any, torch.device], Measure]
    fault: Callable[[Any, Any], str | None]
    on_gpu: bool = False
    after: str = ""

    @property
    def digest(self) -> str:
        """Of what decides its results, with the stamps of the files that it names."""
        part: BaseModel = self.settings
        told = part.model_dump(mode="python", exclude=set(self.limits))
        return key(self.name, self.after, {name: _stamp(value) for name, value in told.items()})


@dataclass(frozen=True)
class Item:
    """A stretch on its way through the stages.

    Attributes:
        stretch: it.
        results: of the stages so far.
        fault: why it fell, or None.
        views: its pictures, once they are decoded and while a stage wants them.
    """

    stretch: Stretch
    results: dict[str, Result] = field(default_factory=dict)
    fault: str | None = None
    views: Views | None = None

    def with_result(self, stage: Stage, result: Result) -> Item:
        fault = stage.fault(result, stage.settings)
        views = None if fault or not self.views else self.views
        return replace(self, results={**self.results, stage.name: result}, fault=fault, views=views)


class Step(Protocol):
    """A piece of work that can be handed to another process."""

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU makes it faster."""

    def setup(self, device: torch.device) -> Callable[[Any], Any]:
        """What does the work, one item after the other; made once in a process."""


def stages(settings: Settings) -> list[Stage]:
    """Those that are wanted, networks last, so that what falls early costs no network's time."""
    told = settings
    captioned = Stage(
        "captions", told.captions, (), captions.measurer, captions.fault, on_gpu=told.captions.model is not None
    )
    raft = told.motion.raft is not None
    wanted = [
        Stage("motion", told.motion, ("least", "most_flicker"), motion.measurer, motion.fault, on_gpu=raft),
        Stage("duplicates", told.duplicates, ("distance",), duplicates.measurer, duplicates.fault),
        captioned,
    ]
    if told.text_area.detector:
        wanted.insert(1, Stage("text_area", told.text_area, ("most",), text_area.measurer, text_area.fault))
    if told.aesthetics.clip:
        scored = Stage("aesthetics", told.aesthetics, ("least",), aesthetics.measurer, aesthetics.fault, on_gpu=True)
        wanted.insert(-1, scored)
    if told.agreement.clip:
        after = captioned.digest
        wanted.append(
            Stage(
                "agreement", told.agreement, ("least",), agreement.measurer, agreement.fault, on_gpu=True, after=after
            )
        )
    return sorted(wanted, key=lambda stage: stage.on_gpu)


def digest_of(stage: str, stretch: Stretch) -> str:
    """Of a stage's digest and of the stretch that it is asked about."""
    return key(stage, stretch.film.digest, stretch.first, stretch.frames, stretch.start)


def recall(stretch: Stretch, chain: Sequence[Stage], store: Store) -> tuple[Item, bool]:
    """What is known of a stretch, and whether that is all: it fell, or every stage has been.

    Raises:
        ValueError: a result's file is damaged.
    """
    item = Item(stretch)
    if unreadable := store.read(LOOK, digest_of(LOOK, stretch)):
        return replace(item, fault=unreadable["fault"], results={LOOK: unreadable}), True
    for stage in chain:
        result = store.read(stage.name, digest_of(stage.digest, stretch))
        if result is None:
            return item, False
        item = item.with_result(stage, result)
        if item.fault:
            break
    return item, True


@dataclass(frozen=True)
class FindShots:
    """Film to the same film, with its shots kept."""

    settings: Settings
    folder: Path
    on_gpu: bool = False

    def setup(self, device: torch.device) -> Callable[[Film], Film]:
        store = Store(self.folder)

        def find(film: Film) -> Film:
            digest = shots_digest(film, self.settings)
            if store.read(SHOTS, digest) is None:
                store.write(SHOTS, digest, shots.find(film, self.settings.shots))
            return film

        return find


@dataclass(frozen=True)
class Look:
    """Item to the same item with its pictures."""

    folder: Path
    on_gpu: bool = False

    def setup(self, device: torch.device) -> Callable[[Item], Item]:
        store = Store(self.folder)

        def decode(item: Item) -> Item:
            try:
                return replace(item, views=look(item.stretch))
            except UNREADABLE as error:
                store.write(LOOK, digest_of(LOOK, item.stretch), {"fault": "unreadable", "reason": str(error)})
                return replace(item, fault="unreadable")

        return decode


@dataclass(frozen=True)
class Pass:
    """Item to the same item with one stage's result, if it has not fallen."""

    stage: Stage
    folder: Path

    @property
    def on_gpu(self) -> bool:
        return self.stage.on_gpu

    def setup(self, device: torch.device) -> Callable[[Item], Item]:
        store, stage = Store(self.folder), self.stage
        own = stage.digest
        measure: Measure | None = None

        def go(item: Item) -> Item:
            nonlocal measure
            if item.fault or item.views is None:
                return item
            digest = digest_of(own, item.stretch)
            result = store.read(stage.name, digest)
            if result is None:
                measure = measure or stage.measurer(stage.settings, device)
                result = measure(item.views, item.results)
                store.write(stage.name, digest, result)
            return item.with_result(stage, result)

        return go


@dataclass(frozen=True)
class Cut:
    """Stretch to the same stretch, written as a clip."""

    settings: Settings
    folder: Path
    clips: Path
    on_gpu: bool = False

    def setup(self, device: torch.device) -> Callable[[Stretch], Stretch]:
        store = Store(self.folder)

        def write(stretch: Stretch) -> Stretch:
            path = clip_path(stretch, self.settings, self.clips)
            if not path.exists():
                with store.written(path) as unfinished:
                    cut.write(stretch, self.settings.clips, unfinished)
            return stretch

        return write


def shots_digest(film: Film, settings: Settings) -> str:
    """Of a film's shots; `shortest` only decides which of its stretches are taken."""
    return key("shots", film.digest, settings.shots.model_dump(exclude={"shortest"}))


def clip_path(stretch: Stretch, settings: Settings, folder: Path) -> Path:
    """Of the file that a stretch becomes; other settings give another one."""
    told = key("cut", settings.clips.model_dump(include={"side", "crf"}), stretch.frames, stretch.start)
    return folder / f"{stretch.name}-{told[:8]}.mp4"


def _stamp(value: object) -> object:
    """A setting, and for a file or folder what it is known by: names, sizes and times of change."""
    if not isinstance(value, Path):
        return value
    files = sorted(value.iterdir()) if value.is_dir() else [value]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
