"""Training on v-prediction: what moves, what conditions are dropped, and that inference computes the same."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import FRAMES, SIDE, WIDER, Workshop, make, run
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter
from tooncrafter_core.models.layout import to_images
from tooncrafter_core.models.unet.blocks import TemporalConvStack
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.projector import resample_frames
from tooncrafter_core.models.unet.transformer import TemporalTransformer
from tooncrafter_core.sampling.denoiser import GuidedDenoiser
from tooncrafter_core.stages.contexts import contexts_of
from tooncrafter_core.timeline import keyframe_condition
from tooncrafter_core.training.clips.segments import Segments, collate_segments
from tooncrafter_core.training.run.export import published, write_checkpoint
from tooncrafter_core.training.run.task import Task
from tooncrafter_core.training.settings.tasks import Variant
from tooncrafter_core.training.start.initialise import new_model
from tooncrafter_core.training.tasks.denoiser import DenoiserPlayer, Denoising, choose_trained, end_frames

UNET, PROJECTOR = "model.diffusion_model.", "image_proj_model."
TEMPORAL = re.compile(
    rf"{re.escape(UNET)}(init_attn\.|.*\.temopral_conv\.|middle_block\.2\.|(in|out)put_blocks\.\d+\.2\.(?!conv\.))"
)
"""Names of the layers over frames."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the variants share their segments."""
    return tmp_path_factory.mktemp("cache")


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of tensors of which not every bit is as before."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("variant", ["I", "II", "III", "IV", "V"])
def test_what_each_variant_trains(variant: Variant, wider: Workshop, cache: Path, tmp_path: Path) -> None:
    before = load_file(wider.start)
    unet = {name for name in before if name.startswith(UNET)}
    projector = {name for name in before if name.startswith(PROJECTOR)}
    temporal = {name for name in unet if TEMPORAL.match(name)}
    assert len(temporal) > 100 and len(unet - temporal) > 100 and len(projector) > 10
    expected = {
        "I": set(),
        "II": unet | projector,
        "III": unet - temporal | projector,
        "IV": unet - temporal | projector,
        "V": projector,
    }
    changes = {"variant": variant, "cache": cache, "ema": 0, "steps": 3, "save_every": 9, "sample_every": 9}
    assert moved(before, load_file(run(wider.settings("rectify", tmp_path, **changes)))) == expected[variant]


def test_the_names_of_temporal_layers() -> None:
    """By names as by classes."""
    unet = new_model(WIDER, 0)["unet"]
    by_class = {
        f"{UNET}{layer}.{name}"
        for layer, module in unet.named_modules()
        if isinstance(module, (TemporalConvStack, TemporalTransformer))
        for name, _ in module.named_parameters()
    }
    assert {name for name in published("unet", unet) if TEMPORAL.match(name)} == by_class


def test_base_trains_everything_from_blocks_that_do_nothing(wider: Workshop, tmp_path: Path) -> None:
    models = new_model(WIDER, seed=4)
    before = {name: tensor for part, model in models.items() for name, tensor in published(part, model).items()}
    write_checkpoint(before, tmp_path / "new.safetensors")
    changes = {"start": tmp_path / "new.safetensors", "ema": 0, "sample_every": 9}
    after = load_file(run(wider.settings("base", tmp_path / "run", **changes)))
    assert moved(before, after) == {name for name in before if name.startswith((UNET, PROJECTOR))}


@pytest.fixture(scope="module")
def task(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return make(workshop.settings("rectify", tmp_path_factory.mktemp("task"), variant="V"))


@pytest.fixture
def player(task: Task) -> DenoiserPlayer:
    player = copy.deepcopy(task.players["denoiser"])
    assert isinstance(player, DenoiserPlayer)
    return player


@pytest.fixture
def batch(task: Task) -> Segments:
    return collate_segments([task.draws()[n] for n in range(2)])


def predicted(player: DenoiserPlayer, batch: Segments) -> Tensor:
    noisy = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1))
    return player.predict(noisy, torch.tensor([300, 800]), batch, batch.text, batch.vision[:, 0])


@pytest.mark.parametrize(("variant", "bypassed"), [("II", False), ("III", True), ("IV", False), ("V", False)])
def test_variant_3_leaves_the_temporal_layers_out(
    variant: Variant, bypassed: bool, player: DenoiserPlayer, batch: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predicted(player, batch)
    choose_trained(player, variant)
    found = predicted(player, batch)
    for kind in (TemporalConvStack, TemporalTransformer):
        monkeypatch.setattr(kind, "forward", lambda layer, video, *others: to_images(video))
    cut_out = predicted(player, batch)
    assert not torch.allclose(whole, cut_out, rtol=0.01)
    # Matrix products of some processors round by where their operands lie in memory.
    torch.testing.assert_close(found, cut_out if bypassed else whole, rtol=1e-4, atol=1e-5)


def test_inference_computes_what_training_does(player: DenoiserPlayer, batch: Segments) -> None:
    z = torch.randn(batch.latents.shape)
    trained = player.predict(z, torch.tensor([300, 300]), batch, batch.text, batch.vision[:, 0])
    for row in range(2):
        image = resample_frames(player.projector(batch.vision[row : row + 1, 0]), FRAMES)
        denoiser = GuidedDenoiser(
            unet=player.unet,
            condition=keyframe_condition(batch.latents[row][:, [0, -1]].transpose(0, 1), FRAMES),
            contexts=[CrossContext(batch.text[row : row + 1], image)],
            frame_rate=round(float(batch.fps[row])),
            guidance_scale=1.0,
            guidance_rescale=0.0,
        )
        torch.testing.assert_close(denoiser(z[row : row + 1], 300), trained[row : row + 1], rtol=1e-4, atol=1e-5)


def test_the_condition_is_both_keyframes() -> None:
    latents = torch.randn(2, 4, 5, 3, 3)
    condition = end_frames(latents)
    assert torch.equal(condition[:, :, [0, -1]], latents[:, :, [0, -1]])
    assert not condition[:, :, 1:-1].any()
    assert torch.equal(condition[:1], keyframe_condition(latents[0][:, [0, -1]].transpose(0, 1), 5))


def test_the_model_is_told_the_frame_rate_of_the_stride(player: DenoiserPlayer, task: Task) -> None:
    told: list[Tensor] = []
    player.unet.register_forward_pre_hook(lambda unet, arguments: told.append(arguments[2]))
    batch = collate_segments([task.draws()[n] for n in range(2)])._replace(fps=torch.tensor([24.0, 23.976 / 3]))
    predicted(player, batch)
    assert told[0].tolist() == [24, 8]


def test_the_loss_is_zero_for_a_perfect_prediction(
    player: DenoiserPlayer, batch: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, v, _ = player.denoising.noisy(batch.latents, torch.Generator().manual_seed(5))
    for off, loss in ((0.0, 0.0), (0.5, 0.25)):
        monkeypatch.setattr(player, "predict", lambda *inputs, off=off: v + off)
        assert float(player(batch, torch.Generator().manual_seed(5), 0).total) == pytest.approx(loss, abs=1e-6)


def test_half_of_the_batches_are_cut_to_fewer_frames(workshop: Workshop, tmp_path: Path) -> None:
    player = make(workshop.settings("base", tmp_path, fewest_frames=3)).players["denoiser"]
    assert isinstance(player, DenoiserPlayer)
    latents = torch.arange(FRAMES).float().view(1, 1, FRAMES, 1, 1)
    whole = Segments(latents, torch.zeros(1, 2, 3, 4), torch.zeros(1, 1, 1), torch.zeros(1), latents)
    generator = torch.Generator().manual_seed(0)
    cuts = [player.denoising.cut(whole, generator) for _ in range(400)]
    assert all(torch.equal(cut.latents, cut.lines) and torch.equal(cut.vision, whole.vision) for cut in cuts)
    spans = [cut.latents.flatten().tolist() for cut in cuts]
    assert all(span == list(range(int(span[0]), int(span[0]) + len(span))) for span in spans)
    assert {len(span) for span in spans} == set(range(3, FRAMES + 1))
    assert {span[0] for span in spans if len(span) == 3} == set(range(FRAMES - 2))
    assert sum(len(span) == FRAMES for span in spans) == pytest.approx(200, abs=40)


@pytest.mark.parametrize("name", ["base", "sketch", "distil"])
def test_a_cut_batch_trains(name: str, workshop: Workshop, tmp_path: Path) -> None:
    task = make(workshop.settings(name, tmp_path, fewest_frames=3))
    (player,) = task.players.values()
    denoiser = player if isinstance(player, DenoiserPlayer) else player.denoiser
    seen: list[Tensor] = []
    denoiser.unet.register_forward_pre_hook(lambda unet, inputs: seen.append(inputs[0]))
    batch = task.collate([task.draws()[n] for n in range(2)])
    for seed in range(8):
        assert float(player(batch, torch.Generator().manual_seed(seed), 0).total) > 0
    assert {x.shape[2] for x in seen} == {3, FRAMES}
    for x in seen:
        condition = x.chunk(2, dim=1)[1]
        assert condition[:, :, 0].any() and condition[:, :, -1].any() and not condition[:, :, 1:-1].any()


def test_timesteps_and_noise(player: DenoiserPlayer) -> None:
    latents = torch.zeros(3000, 1, 1, 1, 1)
    z, v, timesteps = player.denoising.noisy(latents, torch.Generator().manual_seed(0))
    assert timesteps.min() < 5 and timesteps.max() > 994
    assert timesteps.float().mean() == pytest.approx(500, abs=20)
    bars = player.denoising.schedule.alphas_bar[timesteps].view_as(z)
    eps = z / (1 - bars).sqrt()
    assert eps.std() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(v, bars.sqrt() * eps)


def test_shifted_timesteps(workshop: Workshop, tmp_path: Path) -> None:
    """Half of them lie above the shifted middle: 3/4 of the way for a shift of 3."""
    task = make(workshop.settings("base", tmp_path, timestep_shift=3))
    player = task.players["denoiser"]
    assert isinstance(player, DenoiserPlayer)
    _, _, timesteps = player.denoising.noisy(torch.zeros(4000, 1, 1, 1, 1), torch.Generator().manual_seed(0))
    assert timesteps.min() < 10 and timesteps.max() > 994
    assert (timesteps >= 750).float().mean() == pytest.approx(0.5, abs=0.03)


def tokens(count: int) -> Segments:
    """Text and vision tokens of one number each."""
    ones = torch.ones(count, 1, 1)
    return Segments(torch.zeros(count, 1), 2 * ones[:, None].expand(count, 2, 1, 1), ones, ones, ones)


def dropped(shares: dict[str, float], workshop: Workshop, folder: Path) -> tuple[float, float, float]:
    """Shares of samples without the text only, without the image only, and without both."""
    settings = workshop.settings("base", folder, **shares)
    denoising = Denoising((torch.full((1, 1, 1), -1.0), torch.full((1, 1, 1), -2.0)), settings)
    text, vision = denoising.drop_conditions(tokens(40000), torch.Generator().manual_seed(0))
    assert {*text.unique().tolist()} <= {1, -1} and {*vision.unique().tolist()} <= {2, -2}
    no_text, no_image = text.flatten() < 0, vision.flatten() < 0
    return tuple(float(rows.float().mean()) for rows in (no_text & ~no_image, no_image & ~no_text, no_text & no_image))


def test_shares_of_dropped_conditions(workshop: Workshop, tmp_path: Path) -> None:
    assert dropped({}, workshop, tmp_path) == pytest.approx((0.05, 0.05, 0.05), abs=0.004)
    other = {"drop_text": 0.5, "drop_image": 0.2, "drop_both": 0.3}
    assert dropped(other, workshop, tmp_path) == pytest.approx((0.5, 0.2, 0.3), abs=0.01)
    assert dropped(dict.fromkeys(other, 0.0), workshop, tmp_path) == (0, 0, 0)
    assert dropped({"drop_text": 0, "drop_image": 0, "drop_both": 1}, workshop, tmp_path) == (0, 0, 1)


def test_a_dropped_condition_is_the_pipelines_unconditional_one(player: DenoiserPlayer, workshop: Workshop) -> None:
    model = ToonCrafter.load(workshop.start, dtype=torch.float32)
    _, unconditional = contexts_of(model, {0: torch.rand(1, 3, SIDE, SIDE)}, Settings(frames=FRAMES))
    torch.testing.assert_close(player.denoising.blank_text, unconditional.text)
    image = resample_frames(player.projector(player.denoising.blank_vision), FRAMES)
    torch.testing.assert_close(image, unconditional.image, rtol=1e-4, atol=1e-5)


def test_the_first_frame_is_what_the_projector_sees(
    player: DenoiserPlayer, batch: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player.denoising, "settings", replace_shares(player, 0.0))
    text, vision = player.denoising.drop_conditions(batch, torch.Generator())
    assert torch.equal(text, batch.text)
    assert torch.equal(vision, batch.vision[:, 0]) and not torch.equal(vision, batch.vision[:, 1])


def replace_shares(player: DenoiserPlayer, share: float) -> object:
    return player.denoising.settings.model_copy(update={"drop_text": share, "drop_image": share, "drop_both": share})


def test_a_single_segment_is_enough(workshop: Workshop, tmp_path: Path) -> None:
    run(workshop.settings("base", tmp_path, segments=1, steps=1))
    assert (tmp_path / "strips" / "0000001.png").exists()
