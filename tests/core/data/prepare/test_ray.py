"""On a cluster of two machines, here two on this one, the list is the same as without one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from drawn_film import all_kinds
from ray.cluster_utils import Cluster

from tooncrafter_core.data.prepare import ray_runner
from tooncrafter_core.data.prepare.__main__ import main
from tooncrafter_core.data.prepare.film import Film
from tooncrafter_core.data.prepare.pipeline import LIST, here, prepare
from tooncrafter_core.data.prepare.ray_runner import started
from tooncrafter_core.data.prepare.settings import Settings
from tooncrafter_core.data.prepare.work import Step


def test_two_nodes_give_the_same_list(film: Film, tmp_path: Path) -> None:
    """Shots and clips are made here: starting processes for each step is most of what the test costs."""
    prepare([film], Settings(), tmp_path / "here", here)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    measured = []
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with started(cluster.address) as run_there:

            def run(steps: Sequence[Step], items: Sequence[Any]) -> None:
                if len(steps) == 1:
                    here(steps, items)
                else:
                    run_there(steps, items)
                    measured.extend(items)

            prepare([film], Settings(), tmp_path / "there", run)
    finally:
        cluster.shutdown()
    assert len(measured) == 4
    assert (tmp_path / "there" / LIST).read_bytes() == (tmp_path / "here" / LIST).read_bytes()


def test_what_cannot_be_used_is_told_before_anything_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    film = all_kinds(tmp_path)
    assert main([str(film), str(tmp_path / "none.mp4"), "--out", str(tmp_path / "out")]) == 2
    assert "there is no file" in caplog.text
    assert not (tmp_path / "out").exists()
    assert main([str(film), "--out", str(film)]) == 2
    assert f"{film} is a file, not a folder" in caplog.text
    assert main([str(film), "--out", str(tmp_path / "out"), "--address", "127.0.0.1:1"]) == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "clips.jsonl",
            "is there, would be lost, and is of no earlier run, which would have left results beside it",
        ),
        ("report/motion.jpg", "is there and would be lost; name a new file, or a contact sheet of an earlier run"),
    ],
)
def test_files_of_somebody_elses_are_kept(
    name: str, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "out" / name
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert main([str(all_kinds(tmp_path)), "--out", str(tmp_path / "out")]) == 2
    assert message in caplog.text
    assert other.read_text() == "mine"


def test_ctrl_c_ends_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_runner, "started", interrupted)
    assert main([str(all_kinds(tmp_path)), "--out", str(tmp_path / "out")]) == 130
    assert "the same command goes on from here" in caplog.text
