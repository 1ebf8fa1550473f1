"""The measures, against other libraries and answers that are known."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from perceptual_files import alex_trunk, blurred_alex, random_heads, save
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.kid import poly_mmd
from transformers import CLIPConfig, CLIPModel

from tooncrafter_core.evaluation.clips import Clip, read_clips
from tooncrafter_core.evaluation.measures.choice import Weights, choose
from tooncrafter_core.evaluation.measures.clip_similarity import ClipTowers, image_measure, text_measure
from tooncrafter_core.evaluation.measures.distributions import frechet_distance, kernel_distance
from tooncrafter_core.evaluation.measures.measure import Measure, Truth
from tooncrafter_core.evaluation.measures.pictures import line_measure, perceptual_measure, psnr_measure, ssim_measure
from tooncrafter_core.evaluation.measures.sharpness import sharpness_measure
from tooncrafter_core.evaluation.measures.video_features import VideoFeatures
from tooncrafter_core.evaluation.measures.warping import warping_error, warping_measure
from tooncrafter_core.files.media import write_frames
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def clip_value(measure: Measure, frames: Tensor, truth: Tensor) -> float:
    return measure.shown(float(measure.values(frames, Truth(truth)).mean()))


def test_psnr_is_torchmetrics_of_the_in_betweens() -> None:
    frames, truth = noise(6, 3, 20, 24), noise(6, 3, 20, 24, seed=1)
    expected = peak_signal_noise_ratio(frames[1:-1], truth[1:-1], data_range=1.0)
    assert clip_value(psnr_measure(), frames, truth) == pytest.approx(float(expected), abs=1e-3)
    truth[2] = frames[2]  # an equal frame does not decide
    assert clip_value(psnr_measure(), frames, truth) < 15
    assert clip_value(psnr_measure(), frames, frames) == 100


def test_ssim_is_torchmetrics_of_the_in_betweens() -> None:
    truth = noise(5, 3, 24, 32)
    frames = (truth + 0.2 * noise(5, 3, 24, 32, seed=1)).clamp(0, 1)
    _, everywhere = structural_similarity_index_measure(
        frames[1:-1], truth[1:-1], data_range=1.0, reduction="none", return_full_image=True
    )
    expected = everywhere[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # whole windows, as the paper has it
    torch.testing.assert_close(ssim_measure().values(frames, Truth(truth)), expected, atol=1e-4, rtol=0)


@pytest.fixture
def cpbd_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that finds a picture as sharp as its first pixel is bright; the real one is no part of the tests."""
    package = ModuleType("cpbd")
    package.__spec__ = ModuleSpec("cpbd", None)
    vars(package)["compute"] = lambda grey: grey[0, 0] / 255
    monkeypatch.setitem(sys.modules, "cpbd", package)


def test_cpbd_sees_grey_of_the_in_betweens(cpbd_package: None) -> None:
    frames = torch.zeros(4, 3, 64, 80)
    frames[1, 1], frames[2], frames[3] = 1, 0.5, 1
    values = sharpness_measure().values(frames, Truth(frames))
    torch.testing.assert_close(values, torch.tensor([150 / 255, 128 / 255]))


def test_cpbd_wants_its_package_and_whole_blocks(cpbd_package: None, tmp_path: Path) -> None:
    write_frames(torch.zeros(3, 3, 48, 80), tmp_path / "a", 24)
    clips = read_clips(tmp_path, 24)
    with pytest.raises(ValueError, match=r"blocks of 64 pixels, and a is 80 x 48 pixels"):
        choose(["cpbd"], Weights(), clips)
    del sys.modules["cpbd"]
    with pytest.raises(ValueError, match="the measure cpbd needs a package; pip install cpbd-py312"):
        choose(["cpbd"], Weights(), clips)


def test_keyframes_do_not_count() -> None:
    truth = noise(4, 3, 32, 32)
    frames = truth.clone()
    frames[[0, -1]] = 0
    assert clip_value(psnr_measure(), frames, truth) == 100
    assert clip_value(ssim_measure(), frames, truth) == pytest.approx(1, abs=1e-5)


def test_lpips_is_called_what_its_file_is(tmp_path: Path) -> None:
    plain = perceptual_measure(save(tmp_path / "heads.pth", random_heads()), save(tmp_path / "t.pth", alex_trunk()))
    blurred = perceptual_measure(save(tmp_path / "blurred.pth", blurred_alex()))
    assert (plain.name, blurred.name) == ("LPIPS", "shift-tolerant LPIPS")
    frames, truth = noise(4, 3, 64, 64), noise(4, 3, 64, 64, seed=1)
    assert plain.values(frames, Truth(truth)).shape == (2,)
    assert clip_value(plain, frames, frames) == 0 < clip_value(plain, frames, truth)


def square(left: int) -> Tensor:
    """A black square on white, (3, 64, 64)."""
    picture = torch.ones(3, 64, 64)
    picture[:, 20:44, left : left + 24] = 0
    return picture


@pytest.mark.parametrize(("shift", "low", "high"), [(0, 1.0, 1.0), (1, 0.99, 1.0), (8, 0.0, 0.8)])
def test_lines_match_within_a_pixel(shift: int, low: float, high: float) -> None:
    frames, truth = (torch.stack([square(left)] * 3) for left in (16 + shift, 16))
    assert low <= clip_value(line_measure(), frames, truth) <= high


def still_truth(pictures: Tensor) -> Truth:
    """A truth in which nothing moves and all is seen, whatever its frames are."""
    truth = Truth(pictures)
    flow, seen = torch.zeros(2, *pictures.shape[2:]), torch.ones(pictures.shape[2:], dtype=torch.bool)
    truth.__dict__["motion"] = [(flow, seen)] * (len(pictures) - 1)
    return truth


def test_warping_error_is_of_both_neighbours() -> None:
    frames = torch.tensor([0.0, 0.0, 0.1, 0.5])[:, None, None, None].expand(-1, 3, 16, 16)
    truth = still_truth(torch.zeros(4, 3, 16, 16))
    torch.testing.assert_close(warping_error(frames, truth), torch.tensor([0.01 / 2, (0.01 + 0.16) / 2]))
    assert warping_measure().shown(0.01) == pytest.approx(25.5)


def test_warping_error_is_small_for_what_moves_as_the_truth_does() -> None:
    scene = noise(1, 3, 12, 24)
    wide = nn.functional.interpolate(scene, (64, 128), mode="bicubic", align_corners=True)[0].clamp(0, 1)
    truth = torch.stack([wide[:, :, 24 - at : 88 - at] for at in (0, 2, 4, 6)])
    measure = warping_measure()
    moving = clip_value(measure, truth, truth)
    jumping = clip_value(measure, truth[[0, 0, 3, 3]], truth)
    assert moving < 6 and jumping > 3 * moving


def test_frechet_distance_of_known_distributions() -> None:
    a = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, 0, 0, 4, 0, 0])
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + shift) == pytest.approx(25, abs=1e-4)
    centred = a - a.mean(dim=0)
    spread = float(centred.square().sum() / 39)
    assert frechet_distance(centred, 2 * centred) == pytest.approx(spread, rel=1e-5)


@pytest.mark.parametrize("rows", [4, 40])
def test_frechet_distance_is_that_of_the_root_of_matrices(rows: int) -> None:
    """With fewer rows than columns too; scipy's root wants them regular, so it gets a little of the identity."""
    a, b = noise(rows, 6).numpy().astype(np.float64), noise(rows, 6, seed=1).numpy().astype(np.float64)
    s, t = (np.cov(x, rowvar=False) + 1e-9 * np.eye(6) for x in (a, b))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, abs=1e-3)


def test_kernel_distance_is_torchmetrics() -> None:
    a, b = noise(20, 8), noise(20, 8, seed=1) + 0.5
    assert kernel_distance(a, b) == pytest.approx(float(poly_mmd(a.double(), b.double())), abs=1e-9)


def test_distances_refuse_what_are_not_two_sets() -> None:
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match=r"features are \(1, 4\) and \(3, 4\); expected \(n, d\)"):
            distance(torch.zeros(1, 4), torch.zeros(3, 4))
        with pytest.raises(ValueError, match="of one width"):
            distance(torch.zeros(3, 5), torch.zeros(3, 4))


class MeanColour(nn.Module):
    """Features whose values are known: the mean of each channel, in [-1, 1]."""

    def forward(self, video: Tensor) -> Tensor:
        return video.mean(dim=(2, 3, 4))


class NotFeatures(nn.Module):
    def forward(self, video: Tensor) -> Tensor:
        return video


def script(path: Path, module: nn.Module) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def test_features_are_of_a_video_in_the_networks_range(tmp_path: Path) -> None:
    features = VideoFeatures(script(tmp_path / "mean.pt", MeanColour()))
    frames = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None].expand(4, -1, 20, 30)
    torch.testing.assert_close(features.of(frames), torch.tensor([-1.0, 0.0, 1.0]))


def test_files_that_give_no_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no module")
    with pytest.raises(ValueError, match=r"missing\.pt is not a file; expected a TorchScript module"):
        VideoFeatures(tmp_path / "missing.pt")
    with pytest.raises(ValueError, match=r"text\.pt is not a TorchScript module"):
        VideoFeatures(tmp_path / "text.pt")
    with pytest.raises(ValueError, match=r"gives \(1, 3, 16, 224, 224\) for one video; expected features \(1, d\)"):
        VideoFeatures(script(tmp_path / "not.pt", NotFeatures()))
    with pytest.raises(ValueError, match="does not take a video"):
        VideoFeatures(script(tmp_path / "linear.pt", nn.Linear(3, 4)))


def hugging_face(tensors: dict[str, Tensor]) -> CLIPModel:
    """Another implementation of CLIP with the random checkpoint's weights."""
    sizes = {"num_hidden_layers": 3, "hidden_act": "gelu"}
    text = {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 2, "eos_token_id": 49407, **sizes}
    vision = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "patch_size": 32, **sizes}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)).eval()
    ours = {name: tensor.float() for name, tensor in tensors.items()}
    one, other = "cond_stage_model.model.", "embedder.model.visual."
    state = {
        "logit_scale": ours[f"{one}logit_scale"],
        "text_projection.weight": ours[f"{one}text_projection"].T,
        "visual_projection.weight": ours[f"{other}proj"].T,
        "text_model.embeddings.token_embedding.weight": ours[f"{one}token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": ours[f"{one}positional_embedding"],
        "vision_model.embeddings.class_embedding": ours[f"{other}class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": ours[f"{other}conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": ours[f"{other}positional_embedding"],
    }
    norms = {"ln_final": ("text_model.final_layer_norm", one)}
    norms |= {"ln_pre": ("vision_model.pre_layrnorm", other), "ln_post": ("vision_model.post_layernorm", other)}
    for name, (theirs, prefix) in norms.items():
        state |= {f"{theirs}.{end}": ours[f"{prefix}{name}.{end}"] for end in ("weight", "bias")}
    for tower, prefix in (("text_model", one), ("vision_model", other)):
        for layer in range(3):
            state |= _block(ours, f"{prefix}transformer.resblocks.{layer}.", f"{tower}.encoder.layers.{layer}.")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and not [name for name in missing if not name.endswith("position_ids")]
    return model


def _block(ours: dict[str, Tensor], published: str, theirs: str) -> dict[str, Tensor]:
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    names |= {"attn.out_proj": "self_attn.out_proj"}
    state = {}
    for end in ("weight", "bias"):
        state |= {f"{theirs}{name}.{end}": ours[f"{published}{own}.{end}"] for own, name in names.items()}
        rows = ours[f"{published}attn.in_proj_{end}"].chunk(3)
        state |= {f"{theirs}self_attn.{x}_proj.{end}": row for x, row in zip("qkv", rows, strict=True)}
    return state


def test_clip_similarities_are_another_implementations(
    tiny_files: tuple[Path, Path], tiny_tensors: dict[str, Tensor]
) -> None:
    towers, reference = ClipTowers(tiny_files[0]), hugging_face(tiny_tensors)
    frames, truth = noise(4, 3, 48, 64), noise(4, 3, 48, 64, seed=1)
    prompt = "a cat jumps over the fence"
    pictures = [reference.get_image_features(preprocess(x[1:-1] * 2 - 1)) for x in (frames, truth)]
    text = reference.get_text_features(tokenize(prompt))
    cosine = nn.functional.cosine_similarity
    values = image_measure(towers).values(frames, Truth(truth))
    torch.testing.assert_close(values, cosine(*pictures), atol=1e-4, rtol=0)
    values = text_measure(towers).values(frames, Truth(truth, prompt))
    torch.testing.assert_close(values, cosine(pictures[0], text), atol=1e-4, rtol=0)


def test_checkpoints_without_clips_head_are_refused(
    tiny_files: tuple[Path, Path], tiny_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="has no text and no vision tower; expected the complete"):
        ClipTowers(tiny_files[1])
    without = {name: t for name, t in tiny_tensors.items() if not name.endswith("visual.proj")}
    with pytest.raises(ValueError, match=r"what CLIP's similarity needs after them: embedder\.model\.visual\.proj"):
        ClipTowers(save(tmp_path / "a.ckpt", without))


def test_measures_are_chosen_by_name_and_by_what_there_is(tmp_path: Path) -> None:
    clips = [Clip("a", ())]
    assert [each.name for each in choose(["ssim", "psnr"], Weights(), clips)] == ["PSNR, dB", "SSIM"]
    weights = Weights([save(tmp_path / "blurred.pth", blurred_alex())])
    names = [each.name for each in choose(None, weights, clips)]
    assert names == ["PSNR, dB", "SSIM", "shift-tolerant LPIPS", "line F1", "warping error, of 255"]
    with pytest.raises(ValueError, match="the measure lpips needs a file of weights; name it with --perceptual"):
        choose(["lpips"], Weights(), clips)
    with pytest.raises(ValueError, match="the measure clip-image needs a file of weights; name it with --clip"):
        choose(["clip-image"], Weights(), clips)
    with pytest.raises(ValueError, match="clip-text needs a prompt for every clip, and a has none"):
        choose(["clip-text"], Weights(clip=tmp_path / "model.ckpt"), clips)
