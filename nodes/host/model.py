"""The denoiser as ComfyUI's MODEL: frames travel as the batch, as they do for Stable Video Diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import comfy.model_management as management
import torch
from comfy.conds import CONDConstant, CONDCrossAttn, CONDNoiseShape
from comfy.controlnet import ControlBase
from comfy.model_base import BaseModel, ModelType
from comfy.ops import pick_operations
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from comfy.supported_models import SD20
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.files.checkpoint import PREFIXES, Checkpoint, to_published_name
from ...tooncrafter_core.limits import DenoiserDemands, check_room
from ...tooncrafter_core.memory import naming_lack, unet_bytes
from ...tooncrafter_core.models.config import ModelConfig, SketchConfig, UNetConfig
from ...tooncrafter_core.models.layers import Layers
from ...tooncrafter_core.models.unet.context import CrossContext
from ...tooncrafter_core.models.unet.projector import ImageProjector, resample_frames
from ...tooncrafter_core.models.unet.unet import Controls, UNet
from ...tooncrafter_core.timeline import segment_rows
from .attention import attention_for
from .conditioning import KEY, CONDSegments, Keyframes
from .control import check_hints, sketch_encoders
from .interruption import stop_if_interrupted
from .latents import latent_format
from .lora import ToonCrafterPatcher, stable_diffusion_sizes
from .memory import room
from .sampling import ToonCrafterSampling

Control = dict[str, list[Tensor | None]]


class HostUNet(UNet):
    """The U-Net, called with frames as the batch and run on one segment after the other."""

    def __init__(self, config: UNetConfig, layers: Layers) -> None:
        super().__init__(config, layers)
        self.dtype = layers.dtype

    def forward(
        self, x: Tensor, timesteps: Tensor, transformer_options: Mapping[str, Any] | None = None, **inputs: Any
    ) -> Tensor:
        """Predict v for (p T, c, h, w): p passes (conditional, unconditional) of T frames, those of all segments.

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
        frames: tuple[int, ...],
        frame_rate: int,
        control: Control | None = None,
        **_: Any,
    ) -> Tensor:
        total = sum(frames)
        video = rearrange(x, "(p t) c h w -> p c t h w", t=total)
        times = timesteps[::total]
        rates = torch.full_like(times, frame_rate)
        predicted = [
            super(HostUNet, self).forward(
                video[:, :, rows.start : rows.stop], times, rates, context, _controls(control, x, total, rows)
            )
            for context, rows in zip(segments, segment_rows(frames), strict=True)
        ]
        return rearrange(torch.cat(predicted, dim=2), "p c t h w -> (p t) c h w")


def _controls(control: Control | None, x: Tensor, total: int, rows: range) -> Controls | None:
    """One segment's rows of what ComfyUI's ControlNets return for passes of `total` frames each."""
    if control is None:
        return None

    def pick(value: Tensor | None) -> Tensor:
        if value is None:
            return x.new_zeros(())
        return value.unflatten(0, (-1, total))[:, rows.start : rows.stop].flatten(0, 1).to(x.dtype)

    middle = control.get("middle") or [None]
    return Controls([pick(value) for value in control["output"]], pick(middle[0]))


class ToonCrafterModel(BaseModel):
    """U-Net, image-context projector and sampling parameters, under ComfyUI's memory management."""

    def __init__(self, host_config: SD20, config: ModelConfig, device: torch.device) -> None:
        super().__init__(host_config, ModelType.V_PREDICTION, device=device)
        operations = pick_operations(host_config.unet_config["dtype"], self.manual_cast_dtype)
        attention = attention_for(management.get_torch_device())
        dtype = host_config.unet_config["dtype"]
        layers = Layers(operations, attention, dtype, device, before_block=stop_if_interrupted)
        self.diffusion_model = HostUNet(config.unet, layers).eval()
        self.image_proj_model = ImageProjector(config.projector, layers).eval()
        self.model_sampling = ToonCrafterSampling()

    @property
    def trained_frames(self) -> int:
        """Frames the model was trained for, and can draw at once."""
        return self.image_proj_model.config.frames

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """What one CONDITIONING item means to the U-Net; called once for each run, before the first step."""
        keyframes: Keyframes | None = kwargs.get(KEY)
        noise: Tensor = kwargs["noise"]
        if keyframes is None:
            raise ValueError(
                "A ToonCrafter model needs keyframes. Connect positive and negative to ToonCrafter Encode Keyframes."
            )
        longest = max(keyframes.frames)
        if longest > self.trained_frames:
            raise ValueError(
                f"A segment has {longest} frames; this model was trained for {self.trained_frames}, and "
                "only ToonCrafter Sampler draws more. Take that sampler, or set frames of ToonCrafter Encode Keyframes "
                f"to {self.trained_frames} or fewer and add keyframes."
            )
        if tuple(noise.shape) != keyframes.latent_shape:
            raise ValueError(
                f"latent has shape {tuple(noise.shape)}; these keyframes are for {keyframes.latent_shape} (frames, "
                "channels, height, width). Connect the latent of the same Encode Keyframes."
            )
        self.check_fits(kwargs["prompt_type"], kwargs["cross_attn"], keyframes, kwargs.get("control"))
        guides = [encoder.config for encoder in sketch_encoders(kwargs.get("control"))]
        self._check_room(keyframes, guides[0] if guides else None, kwargs["device"])
        self.latent_format.latent_rgb_factors_reshape.frame_rate = keyframes.frame_rate
        text = kwargs["cross_attn"][:1]
        return {
            "c_concat": CONDNoiseShape(self.process_latent_in(keyframes.condition().to(kwargs["device"]))),
            "c_crossattn": CONDCrossAttn(text),
            "segments": CONDSegments(self._contexts(text, keyframes, kwargs["device"]), keyframes.frames),
            "frames": CONDConstant(keyframes.frames),
            "frame_rate": CONDConstant(keyframes.frame_rate),
        }

    def check_fits(self, name: str, text: Tensor, keyframes: Keyframes, control: ControlBase | None) -> None:
        """Raise ValueError unless the conditioning called `name` is of this model's sizes, and its ControlNets are in
        order."""
        check_hints(control)
        for encoder in sketch_encoders(control):
            encoder.config.check_fits(self.diffusion_model.config)
        found, expected = text.shape[-1], self.diffusion_model.config.context_dim
        if found != expected:
            raise ValueError(
                f"The prompt of {name} is {found} wide; this model expects {expected}. Encode the prompt with the CLIP "
                "of ToonCrafter Loader, or with the CLIP of an SD 2.x model (OpenCLIP ViT-H)."
            )
        found, expected = keyframes.vision.shape[-1], self.image_proj_model.config.input_dim
        if found != expected:
            raise ValueError(
                f"CLIP_VISION's view of the keyframes in {name} is {found} wide; this model expects {expected}. Give "
                "Encode Keyframes the CLIP_VISION of ToonCrafter Loader, or an OpenCLIP ViT-H from Load CLIP Vision."
            )

    def extra_conds_shapes(self, **kwargs: Any) -> dict[str, list[int]]:
        """What `memory_required` needs to know before the first step, as `CONDSegments.size` tells it later."""
        keyframes: Keyframes | None = kwargs.get(KEY)
        return {} if keyframes is None else {"segments": list(keyframes.frames)}

    def memory_required(
        self, input_shape: Sequence[int], cond_shapes: Mapping[str, list[list[int]]] | None = None
    ) -> int:
        """Bytes needed beside the weights for a batch (p T, c, h, w), of which one segment is at work at a time."""
        count, _, height, width = input_shape
        frames = ((cond_shapes or {}).get("segments") or [[count]])[0]
        return unet_bytes(
            self.diffusion_model.config,
            max(frames),
            height,
            width,
            self.manual_cast_dtype or self.get_dtype(),
            rows=count // sum(frames),
        )

    def state_dict_for_saving(self, *others: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """What Save Checkpoint writes, in the published layout; `others` are tensors of CLIP, VAE and CLIP_VISION."""
        projector = self.image_proj_model.state_dict()
        tensors = super().state_dict_for_saving(*others)
        tensors |= {PREFIXES["projector"] + name: tensor for name, tensor in projector.items()}
        return {to_published_name(name): tensor for name, tensor in tensors.items()}

    def apply_model(self, *arguments: Any, **inputs: Any) -> Tensor:
        with naming_lack("Sampling"):
            return super().apply_model(*arguments, **inputs)

    def _check_room(self, keyframes: Keyframes, sketch: SketchConfig | None, device: torch.device) -> None:
        dtype = self.manual_cast_dtype or self.get_dtype()
        model = self.diffusion_model
        demands = DenoiserDemands(model.config, self.trained_frames, dtype, sketch, all_controls=True)
        check_room(keyframes.job, room(device), demands)

    def _contexts(self, text: Tensor, keyframes: Keyframes, device: torch.device) -> tuple[CrossContext, ...]:
        dtype = self.manual_cast_dtype or self.get_dtype()
        tokens = self.image_proj_model(keyframes.vision.to(device, dtype))
        views = tokens.expand(keyframes.segments, -1, -1, -1).split(1)
        images = [resample_frames(view, frames) for view, frames in zip(views, keyframes.frames, strict=True)]
        keep = keyframes.segments == 1
        return tuple(CrossContext(text.to(device, dtype), image, keep) for image in images)


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
