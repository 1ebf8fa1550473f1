"""The whole way from films to a clip list: shots, what is measured of their stretches, clips.

What runs the steps, here or on a cluster, is handed in. The list is made of the kept results alone, in the order of
the clips' names, so that it does not depend on who did what when.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...training.clips.manifest import Clip, write_manifest
from .film import Film, Stretch, open_film
from .settings import Settings
from .stages import cut, duplicates, shots, split
from .store import Result, Store
from .views import SMALL
from .work import SHOTS, Cut, FindShots, Item, Look, Pass, Step, clip_path, recall, shots_digest, stages

log = logging.getLogger(__name__)

Runner = Callable[[Sequence[Step], Sequence[Any]], None]
"""Calls all steps on each item, one step on what the one before it gave."""

LIST, CLIPS, RESULTS = "clips.jsonl", "clips", "results"
"""In the output folder."""


@dataclass(frozen=True)
class Outcome:
    """What became of the films.

    Attributes:
        films: in the order of their names.
        found: of each film, see `shots.find`.
        items: all stretches in the order of their names, those that are too short left out.
        distances: by name of a stretch that passed all stages: bits in which it differs from the nearest kept one.
        clips: the list.
    """

    films: list[Film]
    found: list[Result]
    items: list[Item]
    distances: dict[str, int]
    clips: list[Clip]


def here(steps: Sequence[Step], items: Sequence[Any]) -> None:
    """The runner that does everything in this process, on the CPU."""
    calls = [step.setup(torch.device("cpu")) for step in steps]
    for item in items:
        for call in calls:
            item = call(item)


def open_films(paths: Sequence[Path]) -> list[Film]:
    """The films in the order of their names.

    Raises:
        ValueError: one cannot be read, or two are the same.
    """
    films: dict[str, Film] = {}
    for path in paths:
        film = open_film(path)
        if other := films.get(film.digest):
            raise ValueError(f"{path} has the same content as {other.path}; name each film once")
        films[film.digest] = film
    return sorted(films.values(), key=lambda film: film.name)


def holds_results(folder: Path) -> bool:
    """Whether `prepare` has been at work with an output folder."""
    return (folder / RESULTS / SHOTS).is_dir()


def prepare(films: Sequence[Film], settings: Settings, folder: Path, run: Runner) -> Outcome:
    """Take films through all stages, and write `clips.jsonl` and its clips into a folder.

    What earlier runs with the same folder have done is not done again.

    Where no clip is left, no list is there either.

    Raises:
        ValueError: a file that the settings name cannot be used, or a result is damaged.
        OSError: a file cannot be written.
    """
    store = Store(folder / RESULTS)
    store.clear_unfinished()
    films = sorted(films, key=lambda film: film.name)
    run_pending(run, [FindShots(settings, store.folder)], [film for film in films if not _found(film, settings, store)])
    found = [_found(film, settings, store) or {} for film in films]
    stretches = [
        stretch
        for film, result in zip(films, found, strict=True)
        for stretch in shots.stretches(film, result, settings.shots)
    ]
    chain = stages(settings)
    known = [recall(stretch, chain, store) for stretch in stretches]
    steps: list[Step] = [Look(store.folder), *(Pass(stage, store.folder) for stage in chain)]
    run_pending(run, steps, [item for item, complete in known if not complete])
    items = [recall(stretch, chain, store)[0] for stretch in stretches]
    items, distances = _without_duplicates(items, settings)
    kept = [item for item in items if not item.fault]
    clips = folder / CLIPS
    wanted = [item.stretch for item in kept if not clip_path(item.stretch, settings, clips).exists()]
    run_pending(run, [Cut(settings, store.folder, clips)], wanted)
    outcome = Outcome(list(films), found, items, distances, _clips(films, kept, settings, clips))
    if outcome.clips:
        write_manifest(folder / LIST, outcome.clips)
    else:
        (folder / LIST).unlink(missing_ok=True)
    return outcome


def run_pending(run: Runner, steps: Sequence[Step], items: Sequence[Any]) -> None:
    """Run steps on what is left to do, if anything is."""
    if items:
        log.info("%s: %d", " + ".join(_title(step) for step in steps), len(items))
        run(steps, items)


def _title(step: Step) -> str:
    return step.stage.name if isinstance(step, Pass) else type(step).__name__.lower()


def _found(film: Film, settings: Settings, store: Store) -> Result | None:
    return store.read(SHOTS, shots_digest(film, settings))


def _without_duplicates(items: Sequence[Item], settings: Settings) -> tuple[list[Item], dict[str, int]]:
    """The items, near-duplicates of earlier ones with that fault; [bits to the nearest] by name."""
    left = [item for item in items if not item.fault]
    walked = duplicates.keep([item.results["duplicates"]["hash"] for item in left], settings.duplicates.distance)
    nearest = {item.stretch.name: bits for item, (bits, _) in zip(left, walked, strict=True)}
    fallen = {item.stretch.name for item, (_, kept) in zip(left, walked, strict=True) if not kept}
    return [replace(item, fault="duplicate") if item.stretch.name in fallen else item for item in items], nearest


def _clips(films: Sequence[Film], kept: Sequence[Item], settings: Settings, folder: Path) -> list[Clip]:
    held_out = split.held_out(films, settings.split)
    clips = []
    for item in kept:
        stretch = item.stretch
        side = "held_out" if stretch.film.digest in held_out else "train"
        caption = item.results["captions"]["caption"]
        motion = round(item.results["motion"]["motion"] * _scale(stretch, settings), 2)
        path = clip_path(stretch, settings, folder)
        clips.append(Clip(path, stretch.film.fps, caption, side, stretch.film.name, settings.clips.domain, motion))
    return clips


def _scale(stretch: Stretch, settings: Settings) -> float:
    """px of a clip for one px of the frames in which motion is measured."""
    return cut.size(stretch, settings.clips)[0] / stretch.film.size(SMALL, 8)[0]
