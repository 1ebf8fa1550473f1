"""Command line: `python -m tooncrafter_core interpolate ...` and `python -m tooncrafter_core inspect ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

import torch
from tqdm import tqdm

from .files.checkpoint import read_checkpoint
from .files.images import FITS, check_size
from .files.media import check_output, check_picture, read_image, write_contact_sheet, write_frames
from .pipeline import Settings, ToonCrafter, interpolate
from .timeline import check_segments, parse_frame_indices, segment_count, total_frames

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one line on standard error and status 2."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, torch.cuda.OutOfMemoryError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tooncrafter_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", help="say what a checkpoint contains")
    inspect.add_argument("file", help="a .safetensors or .ckpt file")
    inspect.set_defaults(run=_inspect)

    command = commands.add_parser(
        "interpolate", help="draw the frames between keyframes", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_argument(
        "keyframes", nargs="+", metavar="KEYFRAME", help="pictures in order: two or more, or one with --loop"
    )
    command.add_argument("--loop", action="store_true", help="go on from the last keyframe to the first")
    command.add_argument("-o", "--output", required=True, help=".mp4, .webp, .gif, or a folder for PNGs")
    command.add_argument("-c", "--checkpoint", required=True, help="a complete ToonCrafter checkpoint")
    command.add_argument("--sketch-encoder", help="sketch encoder checkpoint, needed with --sketch")
    command.add_argument(
        "--sketch", action="append", default=[], metavar="FRAME=FILE", help="line drawing for one frame; repeatable"
    )
    command.add_argument("--contact-sheet", metavar="FILE", help="also write all frames as one picture")
    command.add_argument("--width", type=int, default=512, help="pixels, any number (multiples of 64 are best)")
    command.add_argument("--height", type=int, default=320, help="pixels, any number (multiples of 64 are best)")
    command.add_argument("--fit", choices=FITS, default="crop", help="how pictures of another shape are fitted")
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, mps")
    command.add_argument("--dtype", choices=_DTYPES, default="float32", help="precision of weights and activations")
    _add_settings(command)
    command.set_defaults(run=_interpolate)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    for field in fields(Settings):
        flag = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            command.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help="see README")
        else:
            command.add_argument(flag, type=type(field.default), default=field.default, help="see README")


def _inspect(options: argparse.Namespace) -> None:
    sys.stdout.write(read_checkpoint(options.file).report() + "\n")


def _interpolate(options: argparse.Namespace) -> None:
    settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    check_segments(len(options.keyframes), settings.frames, options.loop)
    check_size(options.width, options.height)
    check_output(options.output, options.width, options.height)
    if options.contact_sheet:
        check_picture(options.contact_sheet)
    device = _device(options.device)
    segments = segment_count(len(options.keyframes), options.loop)
    files = _sketch_files(options.sketch, total_frames(segments, settings.frames, options.loop))
    if files and not options.sketch_encoder:
        raise ValueError("--sketch needs --sketch-encoder FILE")
    sketches = {index: read_image(file) for index, file in files.items()}
    keyframes = [read_image(file) for file in options.keyframes]
    model = ToonCrafter.load(options.checkpoint, options.sketch_encoder, device, _DTYPES[options.dtype])
    with tqdm(total=settings.steps, unit="step") as bar:
        frames = interpolate(
            model,
            keyframes,
            options.width,
            options.height,
            options.fit,
            settings,
            sketches,
            callback=lambda step: bar.update() and None,
            loop=options.loop,
        )
    write_frames(frames, options.output, settings.frame_rate)
    if options.contact_sheet:
        write_contact_sheet(frames, options.contact_sheet)
    sys.stdout.write(f"{len(frames)} frames in {options.output}\n")


def _device(name: str) -> torch.device:
    """The device of this name, once it is known to work."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name} cannot be used: {reason}") from error


def _sketch_files(items: list[str], total: int) -> dict[int, str]:
    """Frame -> file, from FRAME=FILE arguments."""
    pairs = [item.partition("=") for item in items]
    malformed = [item for item, (_, separator, file) in zip(items, pairs, strict=True) if not (separator and file)]
    if malformed:
        raise ValueError(f"cannot read --sketch {malformed[0]}; expected FRAME=FILE such as 7=middle.png")
    indices = parse_frame_indices(", ".join(index for index, _, _ in pairs), len(pairs), total)
    return {index: file for index, (_, _, file) in zip(indices, pairs, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
