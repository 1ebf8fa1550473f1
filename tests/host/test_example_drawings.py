"""The drawings that the shipped workflows begin with are in ComfyUI's input folder once the pack was loaded."""

from __future__ import annotations

from pathlib import Path

from comfy_harness.server import ROOT, ComfyServer

DRAWN = sorted((ROOT / "assets" / "keyframes").iterdir())


def offered(server: ComfyServer) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (server.base / "input").glob("tooncrafter_*")}


def test_an_empty_input_folder_gets_the_drawings(comfy_server: ComfyServer) -> None:
    assert offered(comfy_server) == {f"tooncrafter_{path.name}": path.read_bytes() for path in DRAWN}
    choices = comfy_server.object_info()["LoadImage"]["input"]["required"]["image"][0]
    assert set(offered(comfy_server)) <= set(choices)


def test_a_users_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "tooncrafter_first.png").write_bytes(b"mine")
    with ComfyServer(tmp_path) as server:
        found = offered(server)
    assert found.pop("tooncrafter_first.png") == b"mine"
    assert found == {f"tooncrafter_{path.name}": path.read_bytes() for path in DRAWN if path.name != "first.png"}
