"""The commands `batch` and `shots`: their options, and what these mean."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from ..files.media import check_image
from ..files.whole import check_file
from ..inputs import INTERRUPTED, check_text, given, given_path, printable
from ..toon_crafter import ToonCrafter, check_device_name
from .plan import check_lengths, plan
from .results.alone import alone
from .results.digest import WeightDigests
from .results.store import Results
from .run import run
from .runners.comfyui_pool import ComfyUIPool
from .runners.comfyui_prompt import ServerModels
from .runners.comfyui_server import Server
from .runners.dispatch import Pool
from .runners.ray_pool import Cluster, RayPool, check_address, check_ray
from .shots.exposure_sheet import lines_of_sheet
from .shots.keyframe_folder import lines_of_folder
from .shots.shot import SETTINGS, Shot
from .shots.shot_list import read_shots, write_shots
from .work import Models, Worker

_DEFAULTS = ("frames", *SETTINGS)
"""Options that count where a line says nothing."""
_TRAINED = 16
"""Frames that published models were trained for."""
_MOST = 4096
"""Workers, or threads of one."""


def add_batch(command: argparse.ArgumentParser) -> None:
    """The options that `batch` has besides those for a shot and its models."""
    command.add_argument("shots", type=given_path, metavar="SHOTS.jsonl", help="a shot on each line, see docs/batch.md")
    command.add_argument("--out", type=given_path, required=True, metavar="FOLDER", help="for the results and a report")
    command.add_argument("--workers", type=int, help="default: one for each graphics card, or else for each machine")
    command.add_argument("--threads", type=int, help="CPU threads of a worker; default: its share of the cores")
    command.add_argument(
        "--address", type=given, help="of a running Ray cluster; without it Ray runs on this machine only"
    )
    command.add_argument(
        "--comfyui",
        nargs="+",
        metavar="URL",
        help="send each shot to one of these servers instead; --checkpoint and --sketch-encoder are names in its menus",
    )
    command.set_defaults(run=run_batch)


def run_batch(options: argparse.Namespace) -> int:
    """Draw what a list of shots still lacks; 1 if some of it failed.

    Raises:
        ValueError: an option, the list or a model cannot be used; nothing has run then.
        OSError: a file cannot be read or written.
    """
    _check_numbers(options)
    check_text(options.out.absolute())
    shots = read_shots(options.shots, {name: getattr(options, name) for name in _DEFAULTS})
    results = Results(options.out.absolute())
    _check(shots, results, options.sketch_encoder is not None)
    on = _on_servers(options, results) if options.comfyui else _on_ray(options, results)
    check_lengths(shots, on.trained)
    try:
        with alone(results.folder):
            work = plan(shots, results, on.weights(), on.trained, bool(options.comfyui))
            _check_results([shot for shot in shots if shot.name not in work.kept], results)
            report = run(shots, results, work, on.pool)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return INTERRUPTED
    sys.stdout.write(f"{report.summary()}\n{results.report}\n")
    for name, message in report.failures.items():
        sys.stderr.write(f"error: shot {name}: {message}\n")
    return 1 if report.failures else 0


class _On(NamedTuple):
    """Who draws, the frames of a sampling run at most, and what stands for the weights in a shot's key: for that all of
    them are read."""

    pool: Pool
    trained: int
    weights: Callable[[], list[str]]


def _on_servers(options: argparse.Namespace, results: Results) -> _On:
    """Servers of ComfyUI. Their files are not seen from here: a key has their names only."""
    for option in ("workers", "threads", "address", "device"):
        if getattr(options, option) is not None:
            raise ValueError(f"--{option} is for Ray; servers of ComfyUI have their own, leave it out with --comfyui")
    models = ServerModels(options.checkpoint, options.sketch_encoder)
    servers = list(dict.fromkeys(map(Server.at, options.comfyui)))
    return _On(ComfyUIPool(servers, models, results), _TRAINED, lambda: ["comfyui", str(models)])


def _on_ray(options: argparse.Namespace, results: Results) -> _On:
    """Workers on Ray."""
    check_ray()
    check_device_name(options.device or "cpu")
    if options.address is not None:
        check_address(options.address)
    checkpoint = Path(options.checkpoint).absolute()
    sketch_encoder = Path(options.sketch_encoder).absolute() if options.sketch_encoder else None
    trained = ToonCrafter.load(checkpoint, sketch_encoder).projector.config.frames  # only names and shapes are read
    files = [file for file in (checkpoint, sketch_encoder) if file]
    models = Models(checkpoint, sketch_encoder, options.dtype, options.threads or _threads(options))
    cards = 0 if options.device == "cpu" else torch.cuda.device_count()
    make = partial(worker, models, options.device, results)
    pool = RayPool(Cluster(options.address, options.workers), make, cards)
    return _On(pool, trained, lambda: [options.dtype, *map(WeightDigests(results.weights).of, files)])


def _threads(options: argparse.Namespace) -> int | None:
    """CPU threads of a worker: its share of this machine's cores, or all of the machine that it will be on."""
    here = options.address is None and options.workers is not None
    return max(1, (os.cpu_count() or 1) // options.workers) if here else None


def worker(models: Models, device: str | None, results: Results, has_card: bool) -> Worker:
    """A worker in its own process, maybe on another machine.

    Raises:
        ValueError: it does not see the results' folder, or its device cannot be used.
    """
    results.check_seen()
    return Worker(models.load(device or ("cuda" if has_card else "cpu")), results)


def _check_numbers(options: argparse.Namespace) -> None:
    for name in ("workers", "threads"):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= _MOST:
            raise ValueError(f"--{name} is {value}; expected 1 to {_MOST}")


def _check(shots: Sequence[Shot], results: Results, has_sketch_encoder: bool) -> None:
    """Raise ValueError where a shot needs what is not there or is no picture, or its result cannot be written."""
    for file in {file for shot in shots for file in shot.pictures}:
        check_image(file)
    results.check()
    _check_results([shot for shot in shots if results.record(shot.name) is None], results)
    for shot in shots:
        if shot.sketches and not has_sketch_encoder:
            raise ValueError(f"shot {shot.name} has sketches; give a --sketch-encoder")
        for source in shot.pictures:
            if source.resolve().is_relative_to(results.frames(shot.name).resolve()):
                raise ValueError(
                    f"the result of shot {shot.name} would replace {source}, which is read; name another --out"
                )


def _check_results(shots: Sequence[Shot], results: Results) -> None:
    """Raise ValueError where what these shots come to cannot be written, or takes the place of what nobody may lose."""
    for shot in shots:
        results.check_shot(shot.name, shot.settings.width, shot.settings.height)


def add_shots(command: argparse.ArgumentParser) -> None:
    """The options of `shots`."""
    command.add_argument(
        "source", type=given_path, metavar="FOLDER_OR_CSV", help="numbered keyframes, or an exposure sheet"
    )
    command.add_argument("-o", "--output", type=given_path, required=True, metavar="SHOTS.jsonl", help="the list")
    command.add_argument(
        "--frames", help="of each segment; default: the numbers in the keyframes' names are those of their frames"
    )
    command.set_defaults(run=run_shots)


def run_shots(options: argparse.Namespace) -> None:
    """Make a list of shots of a folder or an exposure sheet.

    Raises:
        ValueError: it does not make shots.
        OSError: it cannot be read, or the list not be written.
    """
    check_file(options.output)
    source, folder = options.source, options.output.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(source):
        lines = lines_of_folder(source, folder, options.frames)
    elif options.frames is not None:
        raise ValueError("--frames is for a folder; an exposure sheet has its frames in the column frame")
    else:
        lines = lines_of_sheet(source, folder)
    for read in (source, *(picture for line in lines for picture in line.shot.pictures)):
        if os.path.realpath(read) == os.path.realpath(options.output):
            raise ValueError(f"--output would replace {printable(read)}, which is read; name another")
    if len({line.shot.name.casefold() for line in lines}) < len(lines):
        raise ValueError(f"two shots of {source} have one name; rename one")
    write_shots(options.output, [line.entry for line in lines])
    frames = sum(line.shot.total for line in lines)
    sys.stdout.write(f"{len(lines)} shots, {frames} frames in {printable(options.output)}\n")
