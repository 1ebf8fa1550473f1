"""Shots on Ray with a model that sleeps: one pool on this machine, and a cluster of two nodes on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from simulated_shots import files_of, make_shots, sleeping_workers, worker_processes

from tooncrafter_core.batch.plan import plan
from tooncrafter_core.batch.report import Report
from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.batch.run import run
from tooncrafter_core.batch.runners.ray_pool import Cluster, RayPool, check_ray
from tooncrafter_core.batch.shots.shot import Shot

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def drawn(shots: list[Shot], results: Results, cluster: Cluster, seconds: float = 0.0) -> Report:
    make = sleeping_workers(results, seconds)
    return run(shots, results, plan(shots, results, ["w"], trained=16, whole=False), RayPool(cluster, make))


def test_lost_workers_and_failures_change_no_other_file(tmp_path: Path) -> None:
    """Two workers, one of which is killed while it draws, and a shot that kills its worker each time."""
    before = set(psutil.Process().children(recursive=True))  # a server of other tests
    shots = make_shots(tmp_path, 6)
    shots.append(replace(shots[0], name="bad", settings=replace(shots[0].settings, prompt="ValueError")))
    expected, results = Results(tmp_path / "expected"), Results(tmp_path / "out")
    for shot in shots[:-1]:
        sleeping_workers(expected)(False).do(plan([shot], expected, ["w"], 16, whole=True).tasks[0])

    def kill_one() -> None:
        while not list(results.folder.glob("shots/*.json")):
            time.sleep(0.05)
        killed.append(worker_processes()[0])
        killed[0].kill()

    killed: list[psutil.Process] = []
    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    report = drawn(shots, results, Cluster(workers=2), seconds=0.5)
    thread.join()
    assert killed and set(report.failures) == {"bad"}
    assert report.failures["bad"] == "it cannot be drawn"
    assert files_of(results) == files_of(expected)
    assert set(psutil.Process().children(recursive=True)) <= before


@contextmanager
def cluster_of_two(folder: Path) -> Iterator[str]:
    """The address of a cluster with two nodes of one core each on this machine."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    common = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--block", "--disable-usage-stats"]
    port = 20000 + os.getpid() % 20000
    address = f"127.0.0.1:{port}"
    head = ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false"]
    nodes = [[*head, f"--temp-dir={folder}"], [f"--address={address}", "--node-ip-address=127.0.0.2"]]
    started = []
    try:
        for node in nodes:
            started.append(_node([*RAY, "start", *node, *common], environment))
            _until_alive(address, len(started))
        yield address
    finally:
        for process in reversed(started):
            for child in [*process.children(recursive=True), process]:
                child.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _node(command: list[str], environment: Mapping[str, str]) -> psutil.Process:
    quiet = subprocess.DEVNULL
    return psutil.Process(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet).pid)


def _until_alive(address: str, count: int) -> None:
    import ray

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            if sum(node["Alive"] for node in ray.nodes()) == count:
                return
        except ConnectionError:
            pass
        finally:
            ray.shutdown()
        time.sleep(0.5)
    raise AssertionError(f"no {count} nodes at {address}")


def test_two_nodes(tmp_path: Path) -> None:
    with cluster_of_two(Path("/tmp") / f"ray-{os.getpid()}") as address:
        shots = make_shots(tmp_path, 4)
        report = drawn(shots, Results(tmp_path / "out"), Cluster(address), seconds=1.0)
        assert len(report.records) == 4
        assert len({record.worker for record in report.records.values()}) == 2
        with pytest.raises(ValueError, match=r"3 workers, but Ray has 2 core\(s\)"):
            drawn(make_shots(tmp_path, 5), Results(tmp_path / "out"), Cluster(address, workers=3))


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tooncrafter_core.batch.runners.ray_pool.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -r scripts/requirements/ray\.txt"):
        check_ray()
