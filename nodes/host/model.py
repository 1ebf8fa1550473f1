"""The denoiser as ComfyUI's MODEL: frames travel as the batch, as they do for Stable Video Diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import comfy.model_management as management
import torch
from comfy.conds import CONDConstant, CONDCrossAttn, CONDNoiseShape
from comfy.model_base import BaseModel, ModelType
from comfy.ops import pick_operations
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from comfy.supported_models import SD20
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.files.checkpoint import PREFIXES, Checkpoint, to_published_name
from ...tooncrafter_core.memory import unet_bytes
from ...tooncrafter_core.models.config import ModelConfig, UNetConfig
from ...tooncrafter_core.models.layers import Layers
from ...tooncrafter_core.models.unet.context import CrossContext
from ...tooncrafter_core.models.unet.projector import ImageProjector, resample_frames
from ...tooncrafter_core.models.unet.unet import Controls, UNet
from ...tooncrafter_core.sampling.windows import predict_in_windows
from .attention import attention_for
from .conditioning import KEY, CONDSegments, Keyframes
from .control import sketch_encoders
from .latents import latent_format
from .lora import ToonCrafterPatcher, stable_diffusion_sizes
from .sampling import ToonCrafterSampling

Control = dict[str, list[Tensor | None]]


class HostUNet(UNet):
    """The U-Net, called with frames as the batch and run on one segment, and one window of it, after the other."""

    def __init__(self, config: UNetConfig, layers: Layers, window: int) -> None:
        super().__init__(config, layers)
        self.dtype = layers.dtype
        self.window = window

    def forward(
        self, x: Tensor, timesteps: Tensor, transformer_options: Mapping[str, Any] | None = None, **inputs: Any
    ) -> Tensor:
        """Predict v for (p S t, c, h, w): p passes (conditional, unconditional) of S segments of t frames.

        Nodes such as EasyCache wrap this call; they look for their own settings in `transformer_options`, last.
        """
        options = transformer_options or {}
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, options)
        executor = WrapperExecutor.new_class_executor(self._predict, self, wrappers)
        return executor.execute(x, timesteps, options, **inputs)

    def _predict(  # the arguments are ComfyUI's, and what `ToonCrafterModel.extra_conds` adds
        self,
        x: Tensor,
        timesteps: Tensor,
        options: Mapping[str, Any],
        segments: tuple[CrossContext, ...],
        frames: int,
        frame_rate: int,
        control: Control | None = None,
        **_: Any,
    ) -> Tensor:
        count = len(segments)
        video = rearrange(x, "(p s t) c h w -> s p c t h w", s=count, t=frames)
        times = rearrange(timesteps, "(p n) -> p n", p=video.shape[1])[:, 0]
        rates = torch.full_like(times, frame_rate)
        pick = partial(_controls, control, x, (video.shape[1], count, frames))

        def predict(segment: int, window: slice) -> Tensor:
            context, controls = segments[segment].window(window), pick(segment, window)
            return super(HostUNet, self).forward(video[segment, :, :, window], times, rates, context, controls)

        predicted = [predict_in_windows(partial(predict, s), frames, self.window) for s in range(count)]
        return rearrange(torch.stack(predicted), "s p c t h w -> (p s t) c h w")


def _controls(
    control: Control | None, x: Tensor, batch: tuple[int, int, int], segment: int, window: slice
) -> Controls | None:
    """One window's share of what ComfyUI's ControlNets return for a batch of (passes, segments, frames)."""
    if control is None:
        return None

    def pick(value: Tensor | None) -> Tensor:
        if value is None:
            return x.new_zeros(())
        return value.unflatten(0, batch)[:, segment, window].flatten(0, 1).to(x.dtype)

    middle = control.get("middle") or [None]
    return Controls([pick(value) for value in control["output"]], pick(middle[0]))


class ToonCrafterModel(BaseModel):
    """U-Net, image-context projector and sampling parameters, under ComfyUI's memory management."""

    def __init__(self, host_config: SD20, config: ModelConfig, device: torch.device) -> None:
        super().__init__(host_config, ModelType.V_PREDICTION, device=device)
        operations = pick_operations(host_config.unet_config["dtype"], self.manual_cast_dtype)
        attention = attention_for(management.get_torch_device())
        layers = Layers(operations, attention, host_config.unet_config["dtype"], device)
        self.diffusion_model = HostUNet(config.unet, layers, config.projector.frames).eval()
        self.image_proj_model = ImageProjector(config.projector, layers).eval()
        self.model_sampling = ToonCrafterSampling()

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """What one CONDITIONING item means to the U-Net; called once for each run, before the first step."""
        keyframes: Keyframes | None = kwargs.get(KEY)
        noise: Tensor = kwargs["noise"]
        if keyframes is None:
            raise ValueError(
                "A ToonCrafter model needs keyframes. Connect positive and negative to ToonCrafter Encode Keyframes."
            )
        if tuple(noise.shape) != keyframes.latent_shape:
            raise ValueError(
                f"The latent batch has shape {tuple(noise.shape)}; expected {keyframes.latent_shape} for these "
                "keyframes. Connect the latent output of the same ToonCrafter Encode Keyframes."
            )
        for encoder in sketch_encoders(kwargs.get("control")):
            encoder.config.check_fits(self.diffusion_model.config)
        text = self._text(kwargs["cross_attn"])
        return {
            "c_concat": CONDNoiseShape(self.process_latent_in(keyframes.condition().to(kwargs["device"]))),
            "c_crossattn": CONDCrossAttn(text),
            "segments": CONDSegments(self._contexts(text, keyframes, kwargs["device"]), keyframes.frames),
            "frames": CONDConstant(keyframes.frames),
            "frame_rate": CONDConstant(keyframes.frame_rate),
        }

    def extra_conds_shapes(self, **kwargs: Any) -> dict[str, list[int]]:
        """What `memory_required` needs to know before the first step, as `CONDSegments.size` tells it later."""
        keyframes: Keyframes | None = kwargs.get(KEY)
        return {} if keyframes is None else {"segments": [keyframes.segments, keyframes.frames]}

    def memory_required(
        self, input_shape: Sequence[int], cond_shapes: Mapping[str, list[list[int]]] | None = None
    ) -> int:
        """Bytes needed beside the weights for a batch (p S t, c, h, w), of which one window is at work at a time."""
        count, _, height, width = input_shape
        segments, frames = ((cond_shapes or {}).get("segments") or [[1, count]])[0]
        return unet_bytes(
            self.diffusion_model.config,
            min(frames, self.diffusion_model.window),
            height,
            width,
            self.manual_cast_dtype or self.get_dtype(),
            rows=count // (segments * frames),
        )

    def state_dict_for_saving(self, *others: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """What Save Checkpoint writes, in the published layout; `others` are tensors of CLIP, VAE and CLIP_VISION."""
        projector = self.image_proj_model.state_dict()
        tensors = super().state_dict_for_saving(*others)
        tensors |= {PREFIXES["projector"] + name: tensor for name, tensor in projector.items()}
        return {to_published_name(name): tensor for name, tensor in tensors.items()}

    def _text(self, text: Tensor) -> Tensor:
        expected = self.diffusion_model.config.context_dim
        if text.shape[-1] != expected:
            raise ValueError(
                f"The text conditioning is {text.shape[-1]} wide; this model expects {expected}. Encode the prompt "
                "with the CLIP of ToonCrafter Loader, or with the CLIP of an SD 2.x model (OpenCLIP ViT-H)."
            )
        return text[:1]

    def _contexts(self, text: Tensor, keyframes: Keyframes, device: torch.device) -> tuple[CrossContext, ...]:
        expected = self.image_proj_model.config.input_dim
        if keyframes.vision.shape[-1] != expected:
            raise ValueError(
                f"The vision tokens are {keyframes.vision.shape[-1]} wide; this model expects {expected}. Give Encode "
                "Keyframes the CLIP_VISION of ToonCrafter Loader, or an OpenCLIP ViT-H from Load CLIP Vision."
            )
        dtype = self.manual_cast_dtype or self.get_dtype()
        tokens = self.image_proj_model(keyframes.vision.to(device, dtype))
        images = resample_frames(tokens, keyframes.frames).expand(keyframes.segments, -1, -1, -1)
        keep = keyframes.segments == 1
        return tuple(CrossContext(text.to(device, dtype), image, keep) for image in images.split(1))


def load_model(checkpoint: Checkpoint, weight_dtype: torch.dtype | None = None) -> ToonCrafterPatcher:
    """MODEL from a checkpoint that has a U-Net and a projector; devices are ComfyUI's choice, and the weights' dtype
    where None is given."""
    device, weights = management.get_torch_device(), checkpoint.part("unet")
    parameters = sum(tensor.numel() for tensor in weights.values())
    host_config = SD20({"disable_unet_model_creation": True, **stable_diffusion_sizes(checkpoint.config.unet)})
    dtype = weight_dtype or management.unet_dtype(
        model_params=parameters,
        supported_dtypes=host_config.supported_inference_dtypes,
        weight_dtype=next(iter(weights.values())).dtype,
    )
    host_config.set_inference_dtype(
        dtype, management.unet_manual_cast(dtype, device, host_config.supported_inference_dtypes)
    )
    host_config.latent_format = latent_format(checkpoint)
    model = ToonCrafterModel(host_config, checkpoint.config, management.unet_inital_load_device(parameters, dtype))
    model.diffusion_model.load_state_dict(weights)
    model.image_proj_model.load_state_dict(checkpoint.part("projector"))
    return ToonCrafterPatcher(model, load_device=device, offload_device=management.unet_offload_device())
