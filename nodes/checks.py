"""What can be wrong with a node's inputs: each kind of input is checked here, before anything expensive runs.

ComfyUI checks what is typed into a widget. Of what comes over a wire it checks the type that the other node promises,
which may be any (`*`), and a node may hand out None whatever it promises. Every check raises ValueError that names the
input as the node shows it and says what came, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from comfy.clip_vision import ClipVisionModel
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.files.images import MOST_ELONGATED, check_values, has_picture_shape, to_rgb
from ..tooncrafter_core.finite import NotFiniteError, is_finite
from ..tooncrafter_core.models.config import PIXELS_PER_LATENT
from .host.advice import FLAGS
from .host.conditioning import LAYOUT_KEY, Keyframes, Layout, keyframes_of
from .host.control import SketchControlNet
from .host.model import ToonCrafterModel
from .host.vae import ToonCrafterVAE
from .types import References

Conditioning = list[list[Any]]
"""ComfyUI's CONDITIONING: pairs of a text tensor and a dict."""

_LARGEST_TEXT = 10_000
"""Of a prompt's numbers; beyond, the U-Net's overflow in half precision."""
_WEIGHTS = "A weight in the prompt, as in (word:1e30), is the likely cause: write one from 0 to 2, or none."

_OPTIONS_NAMED = 5
"""Of a menu, in a message."""

_KINDS: tuple[tuple[type, str], ...] = (
    (ModelPatcher, "a MODEL"),
    (CLIP, "a CLIP"),
    (VAE, "a VAE"),
    (ClipVisionModel, "a CLIP_VISION"),
    (ControlBase, "a CONTROL_NET"),
    (References, "references"),
    (dict, "a LATENT or of its kind"),
    (list, "a list of another kind"),
)
"""What the page calls the objects on wires."""


def single(name: str, values: Sequence[Any], listed: str) -> Any:
    """The one value of an input of a node that takes lists, of which only `listed` can be several."""
    if len(values) != 1:
        raise ValueError(f"{name} came as a list of {len(values)}; expected one. Only {listed} may be a list.")
    return values[0]


def pictures(value: object, name: str) -> Tensor:
    """An IMAGE (n, H, W, 1, 3 or 4) as RGB on white: (n, 3, H, W), float32."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is {_shown(value)}; expected an IMAGE. Connect Load Image or another source of them.")
    if value.ndim != 4 or value.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}; expected an IMAGE: (pictures, height, width, channels) with 1 "
            "(grey), 3 (RGB) or 4 (RGBA) channels. A MASK becomes one with Convert Mask to Image."
        )
    count, height, width, _ = value.shape
    if not count:
        raise ValueError(f"{name} is a batch of 0 pictures; expected 1 or more. Look at the node that picks them.")
    if not has_picture_shape(height, width):
        raise ValueError(
            f"{name} has pictures of {width} x {height} pixels; expected sides above 0, none of them more than "
            f"{MOST_ELONGATED} times the other. Look at the node that crops or resizes them."
        )
    check_values(value, name, "pictures")
    return to_rgb(value.movedim(-1, 1))


def latent(value: object, name: str, channels: int | None = None) -> Tensor:
    """The samples (frames, channels, h, w) of a LATENT, of any channels by default; its noise mask is checked too."""
    samples = value.get("samples") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(samples, Tensor):
        what = _shown(value) if not isinstance(value, dict) else "a LATENT without samples"
        raise ValueError(f"{name} is {what}; expected a LATENT. Connect the latent of Encode Keyframes or a sampler.")
    fits = samples.ndim == 4 and channels in (None, samples.shape[1])
    if not fits or 0 in samples.shape or not samples.is_floating_point():
        raise ValueError(
            f"{name} holds {_type(samples)} values of shape {tuple(samples.shape)}; expected (frames, "
            f"{channels or 'channels'}, height, width) in floating point, none of them 0. Connect the latent of Encode "
            "Keyframes, or of a sampler that ran ToonCrafter's model."
        )
    broken = int((~torch.isfinite(samples.float()).flatten(1).all(dim=1)).sum())
    if broken:
        raise NotFiniteError(
            f"{name}: the latents of {broken} of {len(samples)} frames hold NaN or infinite values. From a sampler, "
            f"sample again with the U-Net in bfloat16 or float32 (ComfyUI's {FLAGS['U-Net']}); from VAE Encode, encode "
            f"again with {FLAGS['VAE']}."
        )
    _check_mask(value.get("noise_mask"), f"the noise mask of {name}")
    return samples


def conditioning(value: object, name: str) -> Conditioning:
    """A CONDITIONING with at least one prompt, whose tensors and numbers are all finite, and no text's absurd."""
    if not isinstance(value, list) or not value or not all(map(_is_prompt, value)):
        raise ValueError(
            f"{name} is {_shown(value)}; expected a CONDITIONING with a prompt. Connect CLIP Text Encode, or the "
            f"{name} of the node before."
        )
    for text, values in value:
        if not all(is_finite(torch.as_tensor(v)) for v in (text, *values.values()) if isinstance(v, Tensor | float)):
            raise NotFiniteError(
                f"{name} holds NaN or infinite values. {_WEIGHTS} Else look at the nodes that made or changed the "
                "prompt; if CLIP ran in half precision, run it in float32 (ComfyUI's --fp32-text-enc)."
            )
        if (largest := float(text.abs().max())) > _LARGEST_TEXT:
            raise ValueError(
                f"{name} holds numbers of up to {largest:.3g}; expected at most {_LARGEST_TEXT:,}. {_WEIGHTS}"
            )
    return value


def keyframes(positive: Conditioning, negative: Conditioning) -> Keyframes:
    """What Encode Keyframes put into every prompt of both."""
    first = keyframes_of(positive, "positive")[0]
    for name, prompts in (("positive", positive), ("negative", negative)):
        for other in keyframes_of(prompts, name):
            if (other.layout, other.latent_shape) != (first.layout, first.latent_shape):
                raise ValueError(
                    f"positive is for {first}, but {name} for {other}. Connect positive and negative of the same "
                    "Encode Keyframes."
                )
    return first


def goes_with(
    latent: Mapping[str, Any], other: str, shape: tuple[int, ...], layout: Layout, name: str = "latent"
) -> None:
    """Raise ValueError unless a checked LATENT, called `name`, has the shape and layout that the input `other` is for.

    A layout that is not of so many latents is from before something was cut out of them, and does not count.
    """
    samples = latent["samples"]
    found = latent.get(LAYOUT_KEY, layout)
    if sum(found.frames) != len(samples):
        found = layout
    if tuple(samples.shape) != shape:
        what = f"{name} holds {_sized(samples.shape)}, but {other} goes with {_sized(shape)}"
    elif found != layout:
        what = f"{name} is for {found}, but {other} goes with {layout}"
    else:
        return
    raise ValueError(f"{what}. Connect {name} and {other} of the same Encode Keyframes.")


def _sized(shape: Sequence[int]) -> str:
    count, _, height, width = shape
    return f"{count} latents of {width * PIXELS_PER_LATENT} x {height * PIXELS_PER_LATENT} pixels"


def model(value: object) -> ModelPatcher:
    """A MODEL of ToonCrafter Loader."""
    if not isinstance(value, ModelPatcher) or not isinstance(value.model, ToonCrafterModel):
        found = "a MODEL of another kind" if isinstance(value, ModelPatcher) else _shown(value)
        raise ValueError(f"model is {found}; expected a MODEL of ToonCrafter Loader. Use KSampler for other models.")
    return value


def vae(value: object) -> ToonCrafterVAE:
    """A VAE of ToonCrafter Loader."""
    if not isinstance(value, ToonCrafterVAE):
        found = "a VAE of another model" if isinstance(value, VAE) else _shown(value)
        why = " (a checkpoint without an autoencoder has none)" if value is None else ""
        raise ValueError(
            f"vae is {found}{why}; expected the VAE of ToonCrafter Loader, which encodes and decodes with the "
            "keyframes' detail. VAE Encode and VAE Decode take others."
        )
    return value


def clip_vision(value: object) -> ClipVisionModel:
    """A CLIP_VISION; whether its tokens suit a model is for the model to say."""
    if value is None:
        raise ValueError(
            "clip_vision is None: the checkpoint has no vision tower (pruned files have none). Connect Load CLIP "
            "Vision with an OpenCLIP ViT-H file."
        )
    if not isinstance(value, ClipVisionModel):
        raise ValueError(
            f"clip_vision is {_shown(value)}; expected a CLIP_VISION. Connect ToonCrafter Loader, or Load CLIP Vision "
            "with an OpenCLIP ViT-H file."
        )
    return value


def sketch_encoder(value: object) -> SketchControlNet:
    """A CONTROL_NET of ToonCrafter Sketch Encoder Loader."""
    if not isinstance(value, SketchControlNet):
        found = "a CONTROL_NET of another kind" if isinstance(value, ControlBase) else _shown(value)
        raise ValueError(
            f"control_net is {found}; expected the CONTROL_NET of ToonCrafter Sketch Encoder Loader. Apply ControlNet "
            "takes others, before or after Sketch Guide."
        )
    return value


def references(value: object, decoder: ToonCrafterVAE) -> References:
    """What Encode Keyframes made with a VAE of this one's sizes."""
    if not isinstance(value, References):
        raise ValueError(f"references is {_shown(value)}; expected the references of Encode Keyframes. Connect them.")
    expected = decoder.first_stage_model.config.feature_channels
    if [maps.shape[1] for maps in value.features] != expected:
        raise ValueError(
            "references were made with the VAE of another file, of other sizes than the one on vae. Connect the VAE of "
            "the same ToonCrafter Loader to Encode Keyframes and to Dual-Ref Decode."
        )
    return value


def widgets(node: type[io.ComfyNode], given: Mapping[str, object]) -> dict[str, Any]:
    """A node's numbers, choices, switches and texts by name, each within what the node's schema allows."""
    inputs = {entry.id: entry for entry in node.define_schema().inputs}
    return {name: _widget(inputs[name], value) for name, value in given.items()}


def _widget(entry: io.Input, value: object) -> Any:
    match entry:
        case io.Int.Input() if not isinstance(value, Integral) or isinstance(value, bool):
            expected = f"a whole number (INT) from {entry.min} to {entry.max}"
        case io.Float.Input() if not isinstance(value, Real) or isinstance(value, bool):
            expected = f"a number (FLOAT) from {entry.min} to {entry.max}"
        case io.Int.Input() | io.Float.Input() if not entry.min <= value <= entry.max:
            expected = f"a number from {entry.min} to {entry.max}"
        case io.Combo.Input() if not isinstance(value, str) or value not in entry.options:
            more = ", ..." if len(entry.options) > _OPTIONS_NAMED else ""
            expected = f"one of the node's menu: {', '.join(entry.options[:_OPTIONS_NAMED])}{more}"
        case io.Boolean.Input() if not isinstance(value, bool):
            expected = "true or false (BOOLEAN)"
        case io.MultiType.Input() if not isinstance(value, Integral | str) or isinstance(value, bool):
            expected = "a text (STRING) such as 16, 24, 12, or a whole number (INT)"
        case io.String.Input() if not isinstance(value, str):
            expected = "a text (STRING)"
        case _:
            return value
    raise ValueError(f"{entry.id} is {_shown(value)}; expected {expected}. Look at what is connected to {entry.id}.")


def _is_prompt(item: object) -> bool:
    """Whether an item of a CONDITIONING is one: (1, tokens, d) floats and a dict."""
    if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[1], dict):
        return False
    text = item[0]
    return isinstance(text, Tensor) and text.ndim == 3 and text.is_floating_point() and 0 not in text.shape


def _check_mask(mask: object, name: str) -> None:
    if mask is None:
        return
    if not isinstance(mask, Tensor) or not 2 <= mask.ndim <= 4 or 0 in mask.shape:
        raise ValueError(f"{name} is {_shown(mask)}; expected a MASK of pictures. Use Set Latent Noise Mask to set it.")
    check_values(mask, name, "masks")


def _type(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _shown(value: object) -> str:
    """A wrong value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 19 digits"
    if value is None or isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | dict) and not value:
        return "empty"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), f"of the kind {type(value).__name__}")
