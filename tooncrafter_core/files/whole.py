"""Results that appear whole or not at all: written beside their name, then renamed.

What is half written is in a folder `unfinished-NAME`, with all that a library puts beside the file it writes. A failure
removes it. What a killed run leaves is replaced, with a warning, by the next run that writes NAME, so there is never
more than one; who writes NAME at the same time waits. And files told apart by all they hold.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from ..inputs import shortened
from .places.lock import taken
from .places.own import FRAME, MARK, is_replaceable, is_replaceable_page

log = logging.getLogger(__name__)

OWN_NAMES = ("unfinished-", "replaced-")
"""What names of half written results begin with, and of those that are being replaced."""
_OF_DESKTOPS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What desktops put into folders that they show; nobody misses it."""
_PROBE = bytes(1 << 16)
_BLOCK = 1 << 22
_READ_AND_WRITE = 0o666
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        FileNotFoundError: no such file.
        OSError: it cannot be read.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}; check the path")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside the wanted one to write a file to; at the end it takes the wanted name.

    Who may read it follows from the process's umask, whatever the library that writes it thinks of that (safetensors
    lets none but its owner).

    Raises:
        ValueError: the name is that of a device or a pipe.
        OSError: the disk is full or takes no files, which names the wanted file; what it held before is still there.
    """
    _check_kind(path)
    target = path.resolve()
    with naming(path), _unfinished(target) as folder:
        unfinished = folder / target.name
        try:
            yield unfinished
        except SafetensorError as error:  # it removes what it has written, and has the system's reason in its message
            if number := _SYSTEM_ERROR.search(str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            raise
        except RuntimeError:  # PyTorch keeps the system's reason to itself
            _ask_for_room(unfinished)
            raise
        with suppress(OSError):  # file systems that know no such rights
            unfinished.chmod(folder.stat().st_mode & _READ_AND_WRITE)
        os.replace(unfinished, target)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """A new folder beside the wanted one to write numbered pictures to; at the end it takes the wanted name.

    A folder that has the name already is moved out of the way (`replaced-NAME`) and removed once the new one is in its
    place. Where a run was killed between those two, the next one puts it back.

    Raises:
        ValueError: see `check_folder`.
        OSError: the disk is full or takes no files, which names the wanted folder; what it held is still there.
    """
    check_folder(path)
    target = path.resolve()
    replaced = _beside(target, "replaced")
    with naming(path), _unfinished(target) as unfinished:
        _settle(target, replaced)
        try:
            yield unfinished
            if target.exists():
                os.rename(target, replaced)
            os.rename(unfinished, target)
        except BaseException:
            _settle(target, replaced)
            raise
        shutil.rmtree(replaced, ignore_errors=True)  # as the next one to write it may do now


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file that could not be written, and say how much room there is: the system often says neither."""
    try:
        yield
    except OSError as error:
        there = _existing_parent(path)
        raise OSError(
            f"cannot write {path}: {error.strerror or error} ({shutil.disk_usage(there).free / 2**20:.0f} MiB are free "
            f"in {there}). What was there before is unchanged. Make room or name another place, and run it again"
        ) from error


def check_file(path: Path) -> None:
    """Raise ValueError unless `written_whole` can write this file, as far as can be told before."""
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise ValueError(f"{path} is a folder; expected the name of a file")
    _check_kind(path)
    _check_room(path)


def check_page(path: Path) -> None:
    """The same for a page, which may be in the place of one of ours only."""
    told = "is a page of somebody else's, or of a version before 0.2, and would be lost"
    check_replaceable(path, is_replaceable_page(path), told)


def check_result(path: Path, ours: bool, sign: str) -> None:
    """The same for a file that cannot say whose it is: one that is there may be replaced where it is `ours`, which is
    known by what lies beside it, the `sign`."""
    told = f"is there, would be lost, and is of no earlier run, which would have left {sign} beside it"
    check_replaceable(path, ours, told)


def check_replaceable(path: Path, ours: bool, told: str) -> None:
    """The same, where what is there is told not to be `ours`; nobody misses an empty file."""
    check_file(path)
    if not ours and path.exists() and path.stat().st_size:
        raise ValueError(f"{path} {told}; rename it, or name another folder")


def check_folder(path: Path) -> None:
    """Raise ValueError unless `folder_written_whole` can write this folder, as far as can be told before.

    A folder to be replaced holds nothing but pictures that `save_marked` has numbered. What is unfinished is known by
    its folder's name.
    """
    if os.path.isfile(path):
        raise ValueError(f"{path} is a file; expected a folder")
    _check_kind(path)
    target = path.resolve()
    if os.path.ismount(target) or Path.cwd().is_relative_to(target):
        raise ValueError(f"{path} cannot be replaced as a whole; name a folder in it, such as {path / 'frames'}")
    unfinished = _beside(target, "unfinished")
    for folder in (target, unfinished, _beside(target, "replaced")):
        _check_files(folder, marked=folder != unfinished)
    _check_room(path)


def _check_files(folder: Path, marked: bool) -> None:
    """Raise ValueError where a folder holds files that nobody may lose."""
    others = [
        name
        for name in set(_names(folder)) - _OF_DESKTOPS
        if not FRAME.fullmatch(name) or (marked and not is_replaceable(folder / name))
    ]
    if others:
        raise ValueError(
            f"{folder} holds other files ({', '.join(sorted(others)[:3])}{', ...' if len(others) > 3 else ''}), which "
            "would be lost; name a new folder, an empty one, or one that holds nothing but frames of an earlier run "
            f"(EXIF says {MARK} is their software). If nobody needs them, remove them"
        )


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing where there is none, or none any more since another run is done with it."""
    with suppress(FileNotFoundError):
        return os.listdir(folder) if os.path.isdir(folder) else []
    return []


def _check_kind(path: Path) -> None:
    """Raise ValueError for a device or a pipe, such as /dev/null, which root could replace, for a name with NUL or half
    of a character, and for a link to itself."""
    try:
        impossible = b"\0" in os.fsencode(path)
    except UnicodeEncodeError:
        impossible = True
    if impossible:
        raise ValueError(f"{shortened(str(path))} has a character that no name can have; name it anew")
    real = Path(os.path.realpath(path))
    if link := next(filter(os.path.islink, (real, *real.parents)), None):
        raise ValueError(f"{link} is a link that leads back to itself; expected the name of a file or a folder")
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError(f"{path} is a device or a pipe; expected the name of a file or a folder")


def _check_room(path: Path) -> None:
    """Raise ValueError where a new file cannot be made, folders above it cannot, or a later run would remove it."""
    target = path.resolve()
    if target.name.casefold().startswith(OWN_NAMES):
        raise ValueError(f"{path}: results in work have names with {' and '.join(OWN_NAMES)}, choose another")
    _check_unfinished(_beside(target, "unfinished"))
    there = _existing_parent(target)
    if not os.path.isdir(there):
        raise ValueError(f"cannot write {path}: {there} is a file, not a folder")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        unfinished = _beside(target, "unfinished")
        for name in (str(unfinished), *unfinished.relative_to(there).parts):  # of what is not there, too long ones fail
            with suppress(FileNotFoundError):
                (there / name).stat()
    except OSError as error:
        raise ValueError(f"cannot write {path}: no file can be made there ({error.strerror})") from error


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if os.path.exists(parent))


def _beside(path: Path, mark: str) -> Path:
    return path.with_name(f"{mark}-{path.name}")


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A new, empty folder beside the target, which goes at the end with what is still in it. Whoever else writes the
    target meanwhile waits for that."""
    folder = _beside(target, "unfinished")
    _check_unfinished(folder)
    with taken(folder):
        if left := list(folder.iterdir()):
            log.warning("%s is what a run left that was broken off. It is replaced.", folder)
            for entry in left:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        yield folder


def _check_unfinished(folder: Path) -> None:
    """Raise ValueError for what is no folder: no run has left it, and it would be lost, emptied or waited for."""
    with suppress(OSError):  # nothing is there, or can be, which others tell
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise ValueError(f"{folder} is not a folder, and in the way of what is written; remove or rename it")


def _ask_for_room(unfinished: Path) -> None:
    """Raise the system's OSError where a file that could not be written has no room to grow."""
    with unfinished.open("ab") as file:
        file.write(_PROBE)


def _settle(target: Path, replaced: Path) -> None:
    """Remove a folder that was moved out of the way, or put it back where nothing took its place."""
    if replaced.exists() and target.exists():
        shutil.rmtree(replaced, ignore_errors=True)
    elif replaced.exists():
        os.rename(replaced, target)
