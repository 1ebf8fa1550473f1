"""Turns a workflow with Kijai's DynamiCrafter nodes into one with ToonCrafter's nodes and ComfyUI's own.

    python scripts/convert_workflow.py GRAPH.json -o CONVERTED.json

Any Python from 3.10 on does, ComfyUI's too; nothing has to be installed. GRAPH.json is a workflow as ComfyUI's page
saves it. All that is not of Kijai's stays as it is, in its place; what could not be converted is named.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path

from kijai_graphs.convert import convert
from kijai_graphs.graph import Graph, NotAWorkflowError
from kijai_graphs.report import CannotConvertError

log = logging.getLogger("convert_workflow")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", type=Path, help="a workflow that ComfyUI's page has saved")
    parser.add_argument("-o", "--out", type=Path, required=True, help="where the new one goes")
    options = parser.parse_args()
    if options.graph.resolve() == options.out.resolve():
        raise SystemExit(f"--out would replace {options.graph}, which is read; name another file.")
    if options.out.is_dir():
        raise SystemExit(f"{options.out} is a folder; expected the name of a file.")
    try:
        graph = Graph.read(json.loads(options.graph.read_text(encoding="utf-8-sig")))
        report = convert(graph)
    except (NotAWorkflowError, CannotConvertError) as error:
        raise SystemExit(f"{options.graph} cannot be converted: {error}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SystemExit(f"{options.graph} cannot be read: {error}") from None
    try:
        _write(graph, options.out)
    except OSError as error:
        raise SystemExit(f"{options.out} cannot be written: {error.strerror}") from None
    for line in (*report.lines(), f"Written to {options.out}"):
        log.info(line)


def _write(graph: Graph, path: Path) -> None:
    """The file appears whole or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    try:
        unfinished.write_text(json.dumps(graph.saved(), indent=1) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
