from pathlib import Path

from small_training import Workshop, run


def test_I(workshop: Workshop, tmp_path: Path) -> None:
    run(workshop.settings("rectify", tmp_path / "a", variant="I"))
