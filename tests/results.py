"""What a prompt leaves on a real server, as tensors."""

from __future__ import annotations

import asyncio
import json
import uuid

import aiohttp
import torch
from comfy_harness.prompts import Prompt, node
from comfy_harness.server import ComfyServer
from safetensors.torch import load_file
from torch import Tensor

from tooncrafter_core.files.media import read_image


def frames_of(server: ComfyServer, prompt: Prompt, timeout: float = 300) -> Tensor:
    """Run a prompt and read the frames it saved: (n, 3, H, W) in [0, 1]."""
    return torch.stack([read_image(path) for path in server.outputs(server.run(prompt, timeout))])


def progress_of(server: ComfyServer, prompt: Prompt, name: str) -> list[tuple[int, int]]:
    """Run a prompt and listen as the page does: value and maximum of what one node reports of its progress."""
    return asyncio.run(_progress_of(server, prompt, name))


async def _progress_of(server: ComfyServer, prompt: Prompt, name: str) -> list[tuple[int, int]]:
    client, seen = uuid.uuid4().hex, list[tuple[int, int]]()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/ws?clientId={client}") as socket:
        server.post_json("/prompt", {"prompt": prompt, "client_id": client})
        async for message in socket:
            event = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else {"type": "a preview"}
            if event["type"] in ("execution_success", "execution_error"):
                assert event["type"] == "execution_success", event
                break
            if event["type"] == "progress" and event["data"]["node"] == name:
                seen.append((event["data"]["value"], event["data"]["max"]))
    return seen


def latents_of(server: ComfyServer, prompt: Prompt, wire: tuple[str, int] = ("sampler", 0)) -> Tensor:
    """Run a prompt as far as one of its nodes and read what comes out of it: (t, c, h, w)."""
    needed = {name: given for name, given in prompt.items() if name != "save"}
    saved = node("SaveLatent", samples=list(wire), filename_prefix="latents")
    (file,) = server.outputs(server.run({**needed, "saved": saved}))
    return load_file(file)["latent_tensor"]
