"""Makes `workflows/`: each graph of `comfy_harness/examples` in the page's own format, and a thumbnail.

    .venv/bin/python scripts/make_workflows.py [NAME ...]     # without names: all

ComfyUI's page makes the files, so that they are what a user would have saved. The thumbnails show real runs with the
bundled model in place of the published files, at its own size.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

import av
from comfy_harness.browser import open_page, to_api_prompt
from comfy_harness.examples import examples
from comfy_harness.examples.example import Example
from comfy_harness.prompts import Prompt, changed
from comfy_harness.saved_graphs import as_workflow
from comfy_harness.server import ROOT, ComfyServer
from comfy_harness.stand_ins import with_stand_ins, write_stand_ins
from PIL import Image, ImageOps, ImageSequence

WORKFLOWS = ROOT / "workflows"
THUMBNAIL = 2, 3, 256
"""Columns, rows, and pixels across one frame."""

STEPS = 2

log = logging.getLogger("make_workflows")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="workflows to make; without names all")
    chosen = _chosen(parser.parse_args().names)
    with (
        tempfile.TemporaryDirectory() as folder,
        ComfyServer(models=write_stand_ins(Path(folder))) as server,
        open_page(server.url) as page,
    ):
        for example in chosen:
            workflow = as_workflow(page, example)
            sent = to_api_prompt(page)
            prompt = _saving_as(example.name, with_stand_ins(sent, STEPS) if example.files else sent)
            history = server.run(prompt, timeout=3600)
            frames = _frames(server.outputs(history)[-1])
            _thumbnail(frames).save(WORKFLOWS / f"{example.name}.jpg", quality=90)
            (WORKFLOWS / f"{example.name}.json").write_text(json.dumps(workflow, indent=1) + "\n")
            log.info("%s: %d frames of %s x %s", example.name, len(frames), *frames[0].size)


def _chosen(names: list[str]) -> list[Example]:
    """The examples with these names, or all."""
    known = {example.name: example for example in examples()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no workflow is called {unknown[0]}; there are: {', '.join(known)}")
    return [known[name] for name in names or known]


def _saving_as(name: str, prompt: Prompt) -> Prompt:
    """The same graph with file names of its own: ComfyUI saves nothing again that it has saved before."""
    saves = [key for key, made in prompt.items() if "filename_prefix" in made["inputs"]]
    return prompt | {key: changed(prompt, key, filename_prefix=name)[key] for key in saves}


def _frames(path: Path) -> list[Image.Image]:
    """The frames of an animation or a video, or a picture."""
    if path.suffix == ".webp":
        with Image.open(path) as animation:
            return [_on_white(frame) for frame in ImageSequence.Iterator(animation)]
    if path.suffix == ".png":
        with Image.open(path) as picture:
            return [_on_white(picture)]
    with av.open(path) as video:
        return [frame.to_image() for frame in video.decode(video=0)]


def _on_white(picture: Image.Image) -> Image.Image:
    """Without transparency."""
    shown = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")


def _thumbnail(frames: list[Image.Image]) -> Image.Image:
    """Evenly spread frames, the first and the last among them, row by row; or a single picture."""
    columns, rows, width = THUMBNAIL
    if len(frames) == 1:
        return ImageOps.pad(frames[0], (columns * width, rows * width // 2), Image.Resampling.LANCZOS)
    count = columns * rows
    height = width * frames[0].height // frames[0].width
    sheet = Image.new("RGB", (columns * width, rows * height))
    for place in range(count):
        frame = frames[round(place * (len(frames) - 1) / (count - 1))]
        at = place % columns * width, place // columns * height
        sheet.paste(frame.resize((width, height), Image.Resampling.LANCZOS), at)
    return sheet


if __name__ == "__main__":
    main()
