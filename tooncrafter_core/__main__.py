"""Command line: `python -m tooncrafter_core` with `interpolate`, `inspect`, `shots` or `batch`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from os.path import isfile, realpath
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from .batch.command import add_batch, add_shots
from .files.checkpoint import read_checkpoint
from .files.images import FITS, check_picture
from .files.media import check_contact_sheet, check_output, read_image, write_contact_sheet, write_frames
from .files.working_settings import read_working_settings
from .finite import NotFiniteError
from .inputs import INTERRUPTED, given, given_path, printable, shortened
from .memory import is_out_of_memory
from .pipeline import interpolate, sampling_runs
from .published import whereabouts
from .settings import Settings
from .sketches.indices import parse_frame_indices, parse_strength
from .sketches.placed import STRONGEST, Sketch
from .timeline import segment_frames, total_frames
from .toon_crafter import DTYPES, ToonCrafter, working_device

_OUTPUT = (
    ".mp4, .webp, .gif, or a folder for PNGs. It appears whole or not at all, in place of a file of that name; a "
    "folder is replaced only if it is empty or holds nothing but frames of an earlier run"
)

_DTYPE = "precision of weights and activations; float16 is for graphics cards, on a CPU it takes many times as long"
_AUTO = "bfloat16 on a CPU that computes in it, else float32"

_SETTINGS = {
    "prompt": "what the pictures show",
    "negative_prompt": "what to stay away from",
    "width": "of the result, pixels, any number (multiples of 64 are best)",
    "height": "of the result, likewise",
    "fit": "how pictures of another shape are fitted",
    "loop": "go on from the last keyframe to the first",
    "frames": "of each segment, both keyframes included; 16,24,12 gives each its own",
    "frame_rate": "frames per second the model is told, 5 to 30; smaller means larger motion. Also the file's speed",
    "steps": "sampling steps",
    "guidance_scale": "how strongly prompt and keyframe steer; 1 is off and takes half the time",
    "guidance_rescale": "how far guidance keeps the contrast it would raise in check, 0 to 1",
    "guidance_from": "share of the sampling from which it is guided, 0 the beginning",
    "guidance_to": "share up to which it is guided, 1 the end; steps outside take half the time",
    "eta": "noise added at each step; 0 is deterministic",
    "clean_end": "remove all noise in the last step, which as published fades colours: 1%% with 50 steps, 6%% with 12",
    "seed": "of the noise",
    "sketch_strength": "how strongly sketches guide",
    "two_pass": "decode the centre frames twice, which hides a seam",
    "keep_keyframes": "show the keyframes as they were drawn, not as they are decoded",
}
"""What `--help` says of each of `Settings`."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an option in one line, as for every other mistake."""

    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            message += "; one that begins with - stands behind =, such as --sketch=-1=last.png"
        self.exit(2, f"error: {message}; {self.prog} --help explains all options\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one line on standard error and status 2,
    a list of which some shots failed is status 1, Ctrl-C 130."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}{_advice(error, options)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was begun is not kept, and older results are as they were\n")
        return INTERRUPTED


def _advice(error: Exception, options: argparse.Namespace) -> str:
    """What options of this command help, where the core only knows that a model ran out of numbers or memory."""
    if isinstance(error, NotFiniteError) and error.model is not None and options.dtype == "float16":
        return " Options: --dtype float32 or --dtype bfloat16."
    if isinstance(error, RuntimeError):
        return " Options: smaller --width, --height or --frames, or --dtype float16 on a graphics card."
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m tooncrafter_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", help="say what a checkpoint contains")
    inspect.add_argument("file", type=given_path, help="a .safetensors or .ckpt file")
    inspect.set_defaults(run=_inspect)

    command = commands.add_parser(
        "interpolate", help="draw the frames between keyframes", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "keyframes",
        nargs="+",
        type=given_path,
        metavar="KEYFRAME",
        help="pictures in order: two or more, or one with --loop",
    )
    command.add_argument("-o", "--output", type=given_path, required=True, help=_OUTPUT)
    command.add_argument(
        "--sketch",
        action="append",
        default=[],
        metavar="FRAME[@STRENGTH]=FILE",
        help="line drawing for one frame such as 7, 50%% or, as --sketch=-1=FILE, the last; with a strength of its own "
        "or --sketch-strength; repeatable",
    )
    command.add_argument(
        "--contact-sheet",
        type=given_path,
        metavar="FILE",
        help="also write all frames as one picture, in place of nothing but one of an earlier run",
    )
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, mps")
    _add_models(command)
    command.add_argument("--dtype", choices=["auto", *DTYPES], default="auto", help=f"{_DTYPE}; auto is {_AUTO}")
    _add_settings(command)
    command.set_defaults(run=_interpolate)

    batch = commands.add_parser("batch", help="draw a list of shots, on many devices")
    batch.add_argument("--device", help="cpu, cuda, mps; default: cuda where a worker has a card, else cpu")
    _add_models(batch)
    batch.add_argument("--dtype", choices=DTYPES, default="float32", help=_DTYPE)
    _add_settings(batch)
    add_batch(batch)

    add_shots(commands.add_parser("shots", help="make a list of shots of a folder or an exposure sheet"))
    return parser


def _add_models(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--checkpoint", type=given, required=True, help="a complete ToonCrafter checkpoint")
    command.add_argument("--sketch-encoder", type=given, help="sketch encoder checkpoint, needed for sketches")


def _add_settings(command: argparse.ArgumentParser) -> None:
    for field in fields(Settings):
        flag, explained = "--" + field.name.replace("_", "-"), _SETTINGS[field.name]
        if isinstance(field.default, bool):
            command.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=explained)
        else:
            kind = str if field.name == "frames" else type(field.default)  # several numbers are a text
            choices = FITS if field.name == "fit" else None
            command.add_argument(flag, type=kind, choices=choices, default=field.default, help=explained)


def _inspect(options: argparse.Namespace) -> None:
    sys.stdout.write(read_checkpoint(options.file).report() + "\n")


def _interpolate(options: argparse.Namespace) -> None:
    settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    per_segment = segment_frames(len(options.keyframes), settings.frames, options.loop)
    total = total_frames(per_segment, options.loop)
    files = _sketch_files(options.sketch, total, per_segment)
    if files and not options.sketch_encoder:
        raise ValueError("--sketch needs --sketch-encoder FILE")
    _check_results(options, [*options.keyframes, *(file for file, _ in files.values())], total)
    device = working_device(options.device)
    sketches = {index: Sketch(_picture(file), strength) for index, (file, strength) in files.items()}
    keyframes = [_picture(file) for file in options.keyframes]
    for file in _models(options):
        if not isfile(file):
            raise FileNotFoundError(f"no checkpoint at {file}; check the path. {whereabouts(Path(file).name)}".strip())
    model = ToonCrafter.load(options.checkpoint, options.sketch_encoder, device, DTYPES.get(options.dtype))
    _warn_if_far(Path(options.checkpoint), settings)
    _warn_if_slow(model.dtype, device)
    steps = settings.steps * sampling_runs(model, per_segment)
    with tqdm(total=steps, unit="step") as bar:
        frames = interpolate(model, keyframes, settings, sketches, callback=lambda step: bar.update() and None)
    write_frames(frames, options.output, settings.frame_rate)
    if options.contact_sheet:
        write_contact_sheet(frames, options.contact_sheet)
    sys.stdout.write(f"{len(frames)} frames in {printable(options.output)}\n")


def _picture(file: str | Path) -> Tensor:
    """A picture of a shape that can be fitted; told by its file's name, and before a model is read."""
    return check_picture(read_image(file), printable(file))


def _warn_if_far(checkpoint: Path, settings: Settings) -> None:
    working = read_working_settings(checkpoint)
    chosen = settings.steps, settings.guidance_scale, settings.clean_end
    if working and (warning := working.warning(checkpoint.name, *chosen)):
        sys.stderr.write(f"warning: {warning}\n")


def _warn_if_slow(dtype: torch.dtype, device: torch.device) -> None:
    if (dtype, device.type) == (torch.float16, "cpu"):
        sys.stderr.write("warning: float16 takes many times as long on a CPU; leave --dtype out\n")


def _models(options: argparse.Namespace) -> list[str]:
    return [file for file in (options.checkpoint, options.sketch_encoder) if file]


def _check_results(options: argparse.Namespace, pictures: Sequence[str | Path], total: int) -> None:
    """Raise ValueError unless `total` frames can be written, and nothing is lost by it."""
    check_output(options.output, options.width, options.height)
    results = {"--output": options.output}
    if options.contact_sheet:
        check_contact_sheet(options.contact_sheet, total, options.width, options.height)
        results["--contact-sheet"] = options.contact_sheet
    for option, result in results.items():
        for source in (*pictures, *_models(options)):
            if Path(realpath(source)).is_relative_to(realpath(result)):
                raise ValueError(f"{option} {result} would replace {source}, which is read; name another result")
    film, *sheets = (Path(realpath(result)) for result in results.values())
    if any(sheet.is_relative_to(film) or film.is_relative_to(sheet) for sheet in sheets):
        raise ValueError(
            f"--output {options.output} and --contact-sheet {options.contact_sheet} are one, or one is in the other; "
            "give each a place of its own"
        )


def _sketch_files(items: list[str], total: int, per_segment: Sequence[int]) -> dict[int, tuple[str, float | None]]:
    """Frame -> file and strength, from FRAME=FILE and FRAME@STRENGTH=FILE arguments."""
    pairs = [item.partition("=") for item in items]
    malformed = [
        item
        for item, (text, _, file) in zip(items, pairs, strict=True)
        if not (text.partition("@")[0].strip() and file)
    ]
    if malformed:
        raise ValueError(f"cannot read --sketch {shortened(malformed[0])}; expected FRAME=FILE such as 7=middle.png")
    files: dict[int, tuple[str, float | None]] = {}
    for text, _, file in pairs:
        frame, own, strength = text.partition("@")
        (index,) = parse_frame_indices(frame, 1, total, per_segment)
        if index in files:
            raise ValueError(f"frame {index} has two sketches, {files[index][0]} and {file}; give it one --sketch")
        files[index] = file, parse_strength(strength, STRONGEST) if own else None
    return files


if __name__ == "__main__":
    sys.exit(main())
