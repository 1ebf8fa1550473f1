"""The nodes that a converted graph is made of, as `tests/host/test_workflows.py` finds them on a server."""

from __future__ import annotations

from .graph import NodeKind

LOADER = NodeKind(
    "ToonCrafterLoader",
    {},
    {"checkpoint": "COMBO", "weight_dtype": "COMBO"},
    {"model": "MODEL", "clip": "CLIP", "clip_vision": "CLIP_VISION", "vae": "VAE"},
    (390, 142),
)
MODEL, CLIP, CLIP_VISION, VAE = range(4)
"""Its outputs."""

TEXT_TOWER = NodeKind(
    "CLIPLoader", {}, {"clip_name": "COMBO", "type": "COMBO", "device": "COMBO"}, {"CLIP": "CLIP"}, (345, 106)
)
VISION_TOWER = NodeKind("CLIPVisionLoader", {}, {"clip_name": "COMBO"}, {"CLIP_VISION": "CLIP_VISION"}, (345, 58))
PROMPT = NodeKind("CLIPTextEncode", {"clip": "CLIP"}, {"text": "STRING"}, {"CONDITIONING": "CONDITIONING"}, (315, 88))
BATCH = NodeKind("ImageBatch", {"image1": "IMAGE", "image2": "IMAGE"}, {}, {"IMAGE": "IMAGE"}, (315, 46))
IMAGE_SIZE = NodeKind(
    "GetImageSize", {"image": "IMAGE"}, {}, {"width": "INT", "height": "INT", "batch_size": "INT"}, (315, 86)
)
ENCODE = NodeKind(
    "ToonCrafterEncodeKeyframes",
    {
        "keyframes": "IMAGE",
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "clip_vision": "CLIP_VISION",
        "vae": "VAE",
    },
    {"width": "INT", "height": "INT", "frames": "STRING,INT", "fps": "INT", "fit": "COMBO", "loop": "BOOLEAN"},
    {
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "latent": "LATENT",
        "references": "TOONCRAFTER_REFERENCES",
    },
    (315, 378),
)
POSITIVE, NEGATIVE, LATENT, REFERENCES = range(4)
"""Its outputs."""

SAMPLER = NodeKind(
    "ToonCrafterSampler",
    {
        "model": "MODEL",
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "latent": "LATENT",
        "previous": "LATENT",
    },
    {
        "seed": "INT",
        "steps": "INT",
        "guidance_scale": "FLOAT",
        "guidance_rescale": "FLOAT",
        "eta": "FLOAT",
        "denoise": "FLOAT",
        "segments": "STRING",
        "guidance_from": "FLOAT",
        "guidance_to": "FLOAT",
        "clean_end": "BOOLEAN",
    },
    {"latent": "LATENT"},
    (315, 520),
)
DECODE = NodeKind(
    "ToonCrafterDualRefDecode",
    {"vae": "VAE", "latent": "LATENT", "references": "TOONCRAFTER_REFERENCES"},
    {"two_pass": "BOOLEAN", "keep_keyframes": "BOOLEAN"},
    {"frames": "IMAGE"},
    (315, 122),
)
ALL = (LOADER, TEXT_TOWER, VISION_TOWER, PROMPT, BATCH, IMAGE_SIZE, ENCODE, SAMPLER, DECODE)
