"""Makes a clip list to train on out of films: shots, stages that sort out, captions, near-duplicates, split by film.

    python -m tooncrafter_core.data.prepare FILM... --out FOLDER [--config settings.json] [--address HOST:PORT]

Broken off, it goes on where it was when it is started again with the same folder.
"""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

from ...inputs import INTERRUPTED, given, given_path

NEEDED = {"ray": "ray", "data": "pyarrow", "evaluation": "cv2", "training": "pydantic"}
"""Requirements file and a module of it."""

log = logging.getLogger("tooncrafter.data")


def main(arguments: list[str] | None = None) -> int:
    """Make a list; 2 is returned for what cannot be used, 1 where no clip was left or a file cannot be written,
    130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tooncrafter_core.data.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("films", nargs="+", type=given_path, metavar="FILM", help="a video file")
    parser.add_argument("--out", type=given_path, required=True, help="folder for the list, its clips and all results")
    parser.add_argument("--config", type=given_path, help="settings, a JSON file; without it all are the defaults")
    parser.add_argument(
        "--address", type=given, help="of a Ray cluster that sees the same files; without it this machine works"
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if missing := [name for name, module in NEEDED.items() if find_spec(module) is None]:
        commands = [
            f"pip install {'--no-deps ' if name == 'data' else ''}-r scripts/requirements/{name}.txt"
            for name in missing
        ]
        log.error("packages are missing; expected what these commands install: %s", ", ".join(commands))
        return 2
    return _make(chosen.films, chosen.out, chosen.config, chosen.address)


def _make(paths: list[Path], out: Path, config: Path | None, address: str | None) -> int:
    from ...files.whole import check_result
    from ...training.settings.run import read_settings
    from . import ray_runner, report
    from .pipeline import LIST, RESULTS, holds_results, open_films, prepare
    from .settings import Settings

    try:
        settings = read_settings(Settings, config) if config else Settings()
        films = open_films(paths)
        check_result(out / LIST, holds_results(out), RESULTS)
        report.check(out)
        out.mkdir(parents=True, exist_ok=True)
        with ray_runner.started(address) as run:
            outcome = prepare(films, settings, out.absolute(), run)
        page = report.write(outcome, settings, out)
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        log.error("%s", error)
        return 2
    except OSError as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted; the same command goes on from here")
        return INTERRUPTED
    if not outcome.clips:
        log.error("no clip is left, so there is no %s; %s shows what fell where and by which setting", out / LIST, page)
        return 1
    log.info("%s: %d clips; %s shows what fell where", out / LIST, len(outcome.clips), page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
