"""A user's mistake gives a message to act on, soon and before any sampling."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from comfy_harness.prompts import (
    BUNDLED_MODEL,
    BUNDLED_SKETCH_ENCODER,
    Prompt,
    batch,
    changed,
    interpolation,
    node,
    with_sketches,
)
from comfy_harness.server import ComfyServer, PromptFailed, PromptRejected

SMALL = {"width": 64, "height": 64}
TOO_LONG = {"steps": 1000}
SECONDS_BEFORE_SAMPLING = 10


@pytest.fixture(scope="module")
def graph(comfy_server: ComfyServer, drawn: dict[str, str]) -> Prompt:
    """A good graph, whose loading and encoding have run already; sampling it would take minutes."""
    good = interpolation([drawn["first"], drawn["last"]], encode=SMALL, sample={"steps": 1})
    sketched = with_sketches(good, [drawn["sketch_07"]], "7")
    comfy_server.run(sketched)
    return changed(sketched, "sampler", **TOO_LONG)


def _one_keyframe(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "encode", keyframes=["keyframes_0", 0])


def _other_size_in_the_sampler(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    other = changed(graph, "encode", width=128)["encode"]
    return changed({**graph, "other": other}, "sampler", latent=["other", 2])


def _other_size_in_the_decoder(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    other = changed(graph, "encode", width=128)["encode"]
    return changed({**graph, "other": other}, "decode", latent=["other", 2])


def _too_few_latents_in_the_decoder(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    few = node("LatentFromBatch", samples=["encode", 2], batch_index=0, length=2)
    return changed({**graph, "few": few}, "decode", latent=["few", 0])


def _index_out_of_range(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "guide", frame_indices="16")


def _index_twice(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    two = {**graph, **batch([drawn["sketch_07"]] * 2, "sketches")}
    return changed(two, "guide", frame_indices="5, 5")


def _counts_differ(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "guide", frame_indices="5, 9-11")


def _index_unreadable(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "guide", frame_indices="seven")


def _sketch_encoder_in_the_loader(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "loader", checkpoint="sketch_encoder.ckpt")


def _damaged_file_in_the_loader(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "loader", checkpoint="damaged.safetensors")


def _model_in_the_sketch_loader(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "sketch_loader", sketch_encoder="model.ckpt")


def _no_clip(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return _pruned(graph, clip_vision=["loader", 2])


def _no_clip_vision(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(_pruned(graph), "positive", clip=["loader", 1])


def _pruned(graph: Prompt, **inputs: object) -> Prompt:
    """CLIP, and CLIP_VISION unless given, from a file without towers."""
    pruned = {**graph, "pruned": node("ToonCrafterLoader", checkpoint="pruned.ckpt", weight_dtype="default")}
    pruned = changed(pruned, "positive", clip=["pruned", 1])
    return changed(pruned, "encode", **{"clip_vision": ["pruned", 2], **inputs})


def _conditioning_without_keyframes(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "sampler", positive=["positive", 0])


def _weight_without_bounds(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "positive", text="a (cat:1e30)")


def _infinite_weight(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "negative", text="a (cat:1e400)")


def _other_schedule(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    patch = node("ModelSamplingDiscrete", model=["loader", 0], sampling="eps", zsnr=False)
    return changed({**graph, "patch": patch}, "sampler", model=["patch", 0])


def _guidance_patch(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    patch = node("RescaleCFG", model=["loader", 0], multiplier=0.5)
    return changed({**graph, "patch": patch}, "sampler", model=["patch", 0])


def _guidance_that_ends_before_it_begins(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "sampler", guidance_from=0.6, guidance_to=0.4)


def _other_frames_in_negative(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    """As many latents in all: two segments of 8 frames."""
    three = batch([drawn["first"], drawn["last"], drawn["first"]], "three")
    other = changed(graph, "encode", keyframes=["three", 0], frames=8)["encode"]
    return changed({**graph, **three, "other": other}, "sampler", negative=["other", 1])


def _other_control_net_in_the_guide(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    other = node("ControlNetLoader", control_net_name="other.safetensors")
    return changed({**graph, "other": other}, "guide", control_net=["other", 0])


def _sketch_encoder_of_another_model(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    return changed(graph, "sketch_loader", sketch_encoder=BUNDLED_SKETCH_ENCODER)


def _long_segment_in_a_stock_sampler(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    wires = {name: graph["sampler"]["inputs"][name] for name in ("model", "positive", "negative")}
    stock = {"seed": 1, "steps": 1000, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    sampler = node("KSampler", latent_image=["encode", 2], **wires, **stock)
    return {**changed(graph, "encode", frames=17), "sampler": sampler}


def _references_of_another_file(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    other = {"other": node("ToonCrafterLoader", checkpoint=BUNDLED_MODEL, weight_dtype="default")}
    encoded = changed({**graph, **other}, "encode", vae=["other", 3], clip_vision=["other", 2])["encode"]
    return changed({**graph, **other, "encoded": encoded}, "decode", latent=["encode", 2], references=["encoded", 3])


def _vae_of_another_file(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    other = node("ToonCrafterLoader", checkpoint=BUNDLED_MODEL, weight_dtype="default")
    return changed({**graph, "other": other}, "decode", latent=["encode", 2], vae=["other", 3])


def _one_prompt_without_keyframes(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    both = node("ConditioningCombine", conditioning_1=["encode", 0], conditioning_2=["positive", 0])
    return changed({**graph, "both": both}, "sampler", positive=["both", 0])


def _latents_of_another_model(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    other = node("EmptySD3LatentImage", width=64, height=64, batch_size=16)
    return changed({**graph, "other": other}, "decode", latent=["other", 0])


def _empty_segments_to_keep(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    three = batch([drawn["first"], drawn["last"], drawn["first"]], "three")
    longer = changed({**graph, **three}, "encode", keyframes=["three", 0], frames=2)
    wires = {"positive": ["encode", 0], "negative": ["encode", 1], "previous": ["encode", 2]}
    return changed(longer, "sampler", segments="1", **wires)


def _a_picture_smaller_than_a_latent(graph: Prompt, drawn: dict[str, str]) -> Prompt:
    """In the stock node, with our VAE."""
    small = node("EmptyImage", width=1, height=16, batch_size=16, color=0)
    encoded = node("VAEEncode", pixels=["small", 0], vae=["loader", 3])
    return changed({**graph, "small": small, "encoded": encoded}, "sampler", latent=["encoded", 0])


CASES: list[tuple[Callable[[Prompt, dict[str, str]], Prompt], str, list[str]]] = [
    (_one_keyframe, "encode", ["1 keyframe", "2 or more"]),
    (
        _other_size_in_the_sampler,
        "sampler",
        ["16 latents of 128 x 64", "16 latents of 64 x 64", "same Encode Keyframes"],
    ),
    (_other_size_in_the_decoder, "decode", ["128 x 64", "64 x 64", "same Encode Keyframes"]),
    (_too_few_latents_in_the_decoder, "decode", ["2 latents", "goes with 16"]),
    (_index_out_of_range, "guide", ["16", "0 to 15"]),
    (_index_twice, "guide", ["5", "more than once"]),
    (_counts_differ, "guide", ["1 sketch", "4 frame indices"]),
    (_index_unreadable, "guide", ["seven", "5, 9-11"]),
    (_sketch_encoder_in_the_loader, "loader", ["sketch_encoder.ckpt", "Sketch Encoder Loader"]),
    (_damaged_file_in_the_loader, "loader", ["damaged.safetensors", "not a complete safetensors file"]),
    (_model_in_the_sketch_loader, "sketch_loader", ["model.ckpt", "ToonCrafter Loader"]),
    (_no_clip, "positive", ["clip input is invalid: None"]),
    (_no_clip_vision, "encode", ["clip_vision is None", "Load CLIP Vision"]),
    (_conditioning_without_keyframes, "sampler", ["positive", "Encode Keyframes"]),
    (_weight_without_bounds, "encode", ["positive holds numbers of up to", "at most 10,000", "(word:1e30)"]),
    (_infinite_weight, "encode", ["negative holds NaN or infinite values", "(word:1e30)"]),
    (_other_schedule, "sampler", ["ModelSampling", "KSampler"]),
    (_guidance_patch, "sampler", ["RescaleCFG", "KSampler"]),
    (
        _guidance_that_ends_before_it_begins,
        "sampler",
        ["guidance_from is 0.6 and guidance_to 0.4", "start before the end"],
    ),
    (
        _other_frames_in_negative,
        "sampler",
        ["1 segment(s) of 16 frames", "negative for 2 segment(s) of 8", "same Encode Keyframes"],
    ),
    (_other_control_net_in_the_guide, "guide", ["another kind", "Sketch Encoder Loader", "Apply ControlNet"]),
    (_sketch_encoder_of_another_model, "sampler", ["sketch encoder belongs to another model"]),
    (_long_segment_in_a_stock_sampler, "sampler", ["17 frames", "trained for 16", "ToonCrafter Sampler"]),
    (_references_of_another_file, "decode", ["references", "VAE of another file", "same ToonCrafter Loader"]),
    (_vae_of_another_file, "decode", ["references", "VAE of another file", "same ToonCrafter Loader"]),
    (_one_prompt_without_keyframes, "sampler", ["positive has 2 prompts", "Encode Keyframes"]),
    (_empty_segments_to_keep, "sampler", ["previous is empty in segment 2", "Encode Keyframes", "Load Latent"]),
    (_a_picture_smaller_than_a_latent, "encoded", ["pixels are", "expected 8 or more a side"]),
    (_latents_of_another_model, "decode", ["(16, 16, 8, 8)", "expected (frames, 4"]),
]


@pytest.mark.parametrize(("break_it", "node_id", "words"), CASES, ids=[case[0].__name__[1:] for case in CASES])
def test_mistake_is_explained_at_once(
    comfy_server: ComfyServer,
    graph: Prompt,
    drawn: dict[str, str],
    break_it: Callable[[Prompt, dict[str, str]], Prompt],
    node_id: str,
    words: list[str],
) -> None:
    broken = break_it(graph, drawn)
    started = time.monotonic()
    with pytest.raises(PromptFailed) as failure:
        comfy_server.run(broken, timeout=30)
    assert failure.value.node_id == node_id
    assert all(word in failure.value.exception_message for word in words), failure.value.exception_message
    assert time.monotonic() - started < SECONDS_BEFORE_SAMPLING


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        (
            "loader",
            {"checkpoint": "tooncrafter_512_interp-pruned-fp16.safetensors"},
            ["3.2 GB", "huggingface.co/Kijai/DynamiCrafter_pruned", "models/checkpoints", BUNDLED_MODEL, "128 x 64"],
        ),
        (
            "sketch_loader",
            {"sketch_encoder": "sketch_encoder-fp16.safetensors"},
            ["0.7 GB", "huggingface.co/Kijai/DynamiCrafter_pruned", "models/controlnet", BUNDLED_SKETCH_ENCODER],
        ),
        ("loader", {"checkpoint": "mine.ckpt"}, ["'mine.ckpt' was not found", "models/checkpoints", BUNDLED_MODEL]),
    ],
    ids=["a published checkpoint", "a published sketch encoder", "another file"],
)
def test_a_file_that_is_not_there(
    comfy_server: ComfyServer, graph: Prompt, name: str, given: dict[str, str], words: list[str]
) -> None:
    """Refused before anything runs: which file, what it is, from where and into which folder."""
    with pytest.raises(PromptRejected) as refusal:
        comfy_server.queue(changed(graph, name, **given))
    assert all(word in str(refusal.value) for word in [*given.values(), *words]), refusal.value


def test_half_a_character_does_not_end_the_queue(comfy_server: ComfyServer) -> None:
    """Which it would in a message, that cannot be sent."""
    shots = node("ToonCrafterShotList", shot_list="\ud800")
    taken = node("ToonCrafterTakeShot", shots=["shots", 0], index=0)
    with pytest.raises(PromptFailed, match=r"no list of shots '.ud800'"):
        comfy_server.run(
            {"shots": shots, "taken": taken, "shown": node("PreviewImage", images=["taken", 0])}, timeout=30
        )
