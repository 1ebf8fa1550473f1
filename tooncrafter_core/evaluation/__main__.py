"""Compare methods on true clips, of which they get the first and last frame: as tables, as a page, as a study.

    .venv/bin/python -m tooncrafter_core.evaluation FILM=film/ EISAI=eisai/ --truth truth/ --table out/ \
        --model assets/tooncrafter-tiny/tooncrafter-tiny.safetensors --steps 2 --guidance 1 --clean-end \
        --perceptual ~/.cache/tooncrafter-data/set/perceptual/alex_shift_tolerant.pth

A folder holds one sub-folder of pictures for each clip, or the pictures of one clip; a method's has the truth's names,
sizes and numbers of frames, both keyframes included, or a video of that name for each. Writes `table.md`, `table.csv`
(clip by clip), `index.html`, `study.html`, and their pictures in `strips/` and `films/`. What a model has drawn is kept
in `renders/`: broken off and started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..files.whole import check_folder, check_page, check_result, written_whole
from ..inputs import given_path
from ..settings import Settings
from .clips import Clip, read_clips
from .command import exit_status, named_path, threads
from .comparison.page import Page
from .comparison.pictures import FILMS, STRIPS, pictures_written_whole
from .comparison.run import Comparison
from .comparison.scores import TRUTH
from .comparison.study import draw_trials, study_page
from .comparison.tables import markdown, per_clip
from .measures.choice import NAMES, Weights, choose
from .measures.video_features import VideoFeatures
from .methods.builtin import BUILTIN, builtin_methods
from .methods.checkpoint import CheckpointMethod
from .methods.folders import folder_method
from .methods.gap import Method
from .methods.videos import is_video, video_method
from .report.store import Renders
from .report.subject import TinyModel

TABLE, ROWS, INDEX, STUDY = "table.md", "table.csv", "index.html", "study.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; returns the exit status. A user's mistake is one line on standard error and status 2."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    return exit_status(lambda: f"{_run(options)}\n{options.table / INDEX}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tooncrafter_core.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("methods", nargs="*", metavar="METHOD=FOLDER", help="frames that another program drew")
    add("--truth", type=given_path, required=True, help="folder of the true clips")
    add("--table", type=given_path, required=True, metavar="FOLDER", help="where everything is written")
    add("--model", type=given_path, nargs="+", default=[], metavar="FILE", help="complete checkpoints, which draw too")
    add("--builtin", nargs="*", choices=BUILTIN, default=list(BUILTIN), help="methods without weights (default all)")
    add("--measures", nargs="+", choices=NAMES, help="default: all that need no file, or whose file is named")
    add("--perceptual", type=given_path, nargs="+", default=[], metavar="FILE", help="weights of LPIPS")
    add("--clip", type=given_path, metavar="FILE", help="complete checkpoint whose towers measure CLIP's similarity")
    add(
        "--features",
        type=given_path,
        metavar="FILE",
        help="TorchScript: videos (n, 3, t, 224, 224) in [-1, 1] -> (n, d)",
    )
    add("--fps", type=int, default=24, help="of clips whose clips.json does not say (default %(default)s)")
    add("--steps", type=int, default=Settings.steps, help="the models' sampling steps (default %(default)s)")
    add("--guidance", type=float, default=Settings.guidance_scale, help="their guidance scale (default %(default)s)")
    add("--clean-end", action="store_true", help="their last step removes all noise, which as published fades colours")
    add("--seed", type=int, default=0, help="of the models' noise and of the study's order (default %(default)s)")
    add("--trials", type=int, default=40, help="pairs that the study asks for (default %(default)s)")
    add("--threads", type=threads, default=2, help="CPU threads (default %(default)s)")
    add("--device", default="cpu", help="where the models run (default %(default)s)")
    return parser


def _run(options: argparse.Namespace) -> str:
    _check_numbers(options)
    _check_output(options.table, options.truth)
    clips = read_clips(options.truth, options.fps)
    methods = _methods(options, clips)
    measures = choose(options.measures, Weights(options.perceptual, options.clip), clips)
    features = VideoFeatures(options.features) if options.features else None
    comparison = Comparison(clips, methods, measures, features)
    trials = draw_trials([clip.name for clip in clips], list(methods), options.trials, options.seed)
    films = dict.fromkeys((trial.clip, side) for trial in trials for side in (trial.left, trial.right))
    with pictures_written_whole(options.table, films) as pictures:
        scores = comparison.run(pictures.add)
    table = markdown(scores)
    page = Page(scores, pictures.strips, STUDY if trials else None)
    results = {TABLE: table, ROWS: per_clip(scores), INDEX: page.html()}
    if trials:
        results[STUDY] = study_page(trials, clips, pictures.film)
    for name, text in results.items():
        with written_whole(options.table / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return table


def _check_numbers(options: argparse.Namespace) -> None:
    for name, low, high in (("fps", 1, 60), ("trials", 0, 10_000)):
        if not low <= getattr(options, name) <= high:
            raise ValueError(f"--{name} is {getattr(options, name)}; expected {low} to {high}")


def _check_output(out: Path, truth: Path) -> None:
    """Raise ValueError unless all results can be written, before anything is drawn, and do not become clips."""
    if os.path.realpath(out) == os.path.realpath(truth):
        raise ValueError(f"--table is {out}, which --truth is too: results would be clips there; name another folder")
    ours = any((out / name).exists() for name in (INDEX, STRIPS))
    for name in (TABLE, ROWS):
        check_result(out / name, ours, f"{INDEX} or {STRIPS}")
    for name in (INDEX, STUDY):
        check_page(out / name)
    for name in (STRIPS, FILMS):
        check_folder(out / name)


def _methods(options: argparse.Namespace, clips: Sequence[Clip]) -> dict[str, Method]:
    """All that take part: folders, checkpoints, built-in ones.

    Raises:
        ValueError: an argument of another form, a name that comes twice, or a folder or file that does not fit.
    """
    found: list[tuple[str, Method]] = []
    for item in options.methods:
        name, path = named_path(item, "METHOD=FOLDER such as FILM=frames/film")
        found.append((name, video_method(path, clips) if is_video(path) else folder_method(path, clips)))
    settings = Settings(
        steps=options.steps, guidance_scale=options.guidance, clean_end=options.clean_end, seed=options.seed
    )
    for file in options.model:
        subject = TinyModel(file, None, settings, options.device)
        _ = subject.model  # a file that cannot be used is told before anything runs
        found.append((file.stem, CheckpointMethod(subject, Renders(options.table / "renders"), options.seed)))
    found += builtin_methods(options.builtin).items()
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1 or name == TRUTH:
            raise ValueError(f"two methods are called {name}; give each a name of its own")
    if not found:
        raise ValueError("no methods; name folders (METHOD=FOLDER), a --model, or leave --builtin as it is")
    return dict(found)


if __name__ == "__main__":
    sys.exit(main())
