"""The nodes, as a ComfyUI extension."""

from comfy_api.latest import ComfyExtension, io

from .dual_ref_decode import ToonCrafterDualRefDecode
from .encode_keyframes import ToonCrafterEncodeKeyframes
from .extract_sketch import ToonCrafterExtractSketch
from .frames.match_colours import ToonCrafterMatchColours
from .frames.matte import ToonCrafterMatte
from .frames.save_gif import ToonCrafterSaveGif
from .frames.sheets import ToonCrafterContactSheet, ToonCrafterOnionSkin
from .frames.timing import (
    ToonCrafterDropDuplicates,
    ToonCrafterHoldFrames,
    ToonCrafterPingPong,
    ToonCrafterRetime,
    ToonCrafterTrimKeyframes,
)
from .load_pictures import ToonCrafterLoadPictures
from .loader import ToonCrafterLoader
from .sampler import ToonCrafterSampler
from .seeds import ToonCrafterPickSeed, ToonCrafterSeeds, ToonCrafterSeedSheet
from .shot_list import ToonCrafterShotList, ToonCrafterTakeShot
from .sketch_encoder_loader import ToonCrafterSketchEncoderLoader
from .sketch_guide import ToonCrafterSketchGuide


class ToonCrafterExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            ToonCrafterLoader,
            ToonCrafterSketchEncoderLoader,
            ToonCrafterLoadPictures,
            ToonCrafterEncodeKeyframes,
            ToonCrafterExtractSketch,
            ToonCrafterSketchGuide,
            ToonCrafterSampler,
            ToonCrafterDualRefDecode,
            ToonCrafterSeeds,
            ToonCrafterSeedSheet,
            ToonCrafterPickSeed,
            ToonCrafterShotList,
            ToonCrafterTakeShot,
            ToonCrafterMatchColours,
            ToonCrafterMatte,
            ToonCrafterRetime,
            ToonCrafterHoldFrames,
            ToonCrafterTrimKeyframes,
            ToonCrafterPingPong,
            ToonCrafterDropDuplicates,
            ToonCrafterContactSheet,
            ToonCrafterOnionSkin,
            ToonCrafterSaveGif,
        ]
