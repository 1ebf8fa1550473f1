"""The layers of the core hold, and its folders are easy to take in at a glance."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tooncrafter_core

PACKAGE = Path(tooncrafter_core.__file__).parent
ABOVE_THE_MODELS = {"sampling", "training", "evaluation", "data", "files", "sketches", "stages", "pipeline", "decoding"}
MOST_FILES = 12


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(source: Path) -> Iterator[tuple[str, ...]]:
    """What a file imports of the core, as paths from the package's root; the last part may be a name in a module."""
    folders = source.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folders[: len(folders) - node.level + 1]
            for name in node.names:
                yield (*base, *(node.module or "").split("."), name.name) if node.module else (*base, name.name)


def layer(parts: tuple[str, ...]) -> str:
    """The folder or module at the package's root."""
    return Path(parts[0]).stem


def layers() -> dict[str, set[str]]:
    """By layer: those it imports. The package's own `__init__` and `__main__` stand above all of them."""
    graph: dict[str, set[str]] = {}
    for source in sources():
        own = layer(source.relative_to(PACKAGE).parts)
        if own not in ("__init__", "__main__"):
            graph.setdefault(own, set()).update({layer(parts) for parts in imports(source)} - {own})
    return graph


def test_layers_do_not_import_one_another_in_a_circle() -> None:
    graph = layers()
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("models") < order.index("sampling") < order.index("training") < order.index("evaluation")


def test_the_core_imports_itself_relatively() -> None:
    """The check above reads relative imports only, and on the host the package has another name."""
    absolute = [
        source
        for source in sources()
        for node in ast.walk(ast.parse(source.read_text()))
        if (isinstance(node, ast.Import) and any(name.name.startswith(PACKAGE.name) for name in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith(PACKAGE.name))
    ]
    assert not absolute


def test_models_import_nothing_that_uses_them() -> None:
    assert not layers()["models"] & ABOVE_THE_MODELS


@pytest.mark.parametrize("root", [PACKAGE, PACKAGE.parent / "scripts"], ids=lambda root: root.name)
def test_folders_are_neither_crowded_nor_of_one_file(root: Path) -> None:
    counts = {
        folder: sum(file.name != "__init__.py" for file in folder.glob("*.py"))
        for folder in {source.parent for source in root.rglob("*.py")}
    }
    with_folders = {folder.parent for folder in counts}
    assert len(counts) > 5
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}
    assert not {folder for folder, count in counts.items() if count == 1 and folder not in with_folders}
