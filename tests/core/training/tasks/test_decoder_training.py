"""The 3D decoder's training: what moves under which switches, and when the discriminator plays."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_training import FRAMES, MODEL, SIDE, Workshop, make, run, write_start
from torch import Tensor, nn

from tooncrafter_core import Settings, ToonCrafter, read_checkpoint
from tooncrafter_core.files.working_settings import WorkingSettings, read_working_settings
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.pipeline import draw_run
from tooncrafter_core.sampling.coarse_to_fine import Run as InterpolationRun
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.run.export import write_checkpoint
from tooncrafter_core.training.run.task import Task
from tooncrafter_core.training.tasks.decoder import DecoderPlayer, DiscriminatorPlayer

WIDER = replace(MODEL, autoencoder=replace(MODEL.autoencoder, channels=64))
"""Two channels in each group of its norms, see the denoiser's tests."""


@pytest.fixture(scope="module")
def wider(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    start = tmp_path_factory.mktemp("wider") / "start.safetensors"
    write_start(start, replace(WIDER, text=None, vision=None, projector=None))
    return replace(workshop, start=start)


def decoder_player(task: Task) -> DecoderPlayer:
    player = task.players["decoder"]
    assert isinstance(player, DecoderPlayer)
    return player


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


@torch.enable_grad()
def trained(workshop: Workshop, folder: Path, **changes: Any) -> tuple[Task, set[str]]:
    """A trained task, and the names of the autoencoder's tensors that have not moved."""
    settings = workshop.settings("decoder", folder, save_every=9, sample_every=9, **changes)
    task = make(settings)
    autoencoder = decoder_player(task).autoencoder
    before = copied(autoencoder)
    Run(task, settings, Accelerator(cpu=True)).go()
    return task, {name for name, tensor in autoencoder.named_parameters() if torch.equal(tensor, before[name])}


def of_temporal(name: str) -> bool:
    return any(part in name for part in (".time_stack.", ".mix_factor", ".time_mix_conv."))


@pytest.mark.parametrize(("references", "temporal"), [(True, True), (False, True), (True, False), (False, False)])
def test_what_moves(references: bool, temporal: bool, wider: Workshop, tmp_path: Path) -> None:
    """All of the decoder but what is switched off, and nothing before it."""
    task, still = trained(wider, tmp_path, references=references, temporal=temporal)
    names = {name for name, _ in decoder_player(task).autoencoder.named_parameters()}
    before = {name for name in names if not name.startswith("decoder.")}
    off = {name for name in names if not references and ".attn_refinement." in name}
    off |= {name for name in names if not temporal and of_temporal(name)}
    assert any(name.endswith("mix_factor") for name in names)
    assert still == before | off


@pytest.mark.parametrize("references", [False, True])
def test_references_are_the_keyframes_features(references: bool, workshop: Workshop, tmp_path: Path) -> None:
    task = make(workshop.settings("decoder", tmp_path, references=references))
    player = decoder_player(task)
    seen: list[Tensor] = []
    for layer in player.autoencoder.decoder.attn_refinement:
        layer.register_forward_pre_hook(lambda layer, arguments: seen.append(arguments[1]))
    video = task.collate([task.draws()[n] for n in range(2)]).video
    player.decode(video)
    if not references:
        assert not seen
        return
    for row in range(2):
        features = player.autoencoder.encode_keyframes(video[row][:, [0, -1]].transpose(0, 1)).features
        for found, wanted in zip(sorted(seen, key=lambda maps: -maps.shape[-1]), sorted_by_size(features), strict=True):
            torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-5)


def sorted_by_size(features: list[Tensor]) -> list[Tensor]:
    """As the decoder comes to them, turned round: the first convolution's and the finest level's are of one size."""
    return sorted(features, key=lambda maps: -maps.shape[-1])


def test_without_temporal_layers_and_references_frames_are_decoded_alone(workshop: Workshop, tmp_path: Path) -> None:
    task, _ = trained(workshop, tmp_path, references=False, temporal=False)
    video = task.collate([task.draws()[0]]).video
    whole = decoder_player(task).decode(video)
    alone = torch.cat([decoder_player(task).decode(video[:, :, [at]]) for at in range(FRAMES)], dim=2)
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_latents_are_disturbed_in_training_only(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sample's as much as drawn for it, up to the most, in units of scaled latents."""
    task = make(workshop.settings("decoder", tmp_path, latent_noise=0.4))
    player = decoder_player(task)
    seen: list[Tensor] = []
    decode = player.autoencoder.decode_segments
    monkeypatch.setattr(
        player.autoencoder, "decode_segments", lambda latents, maps: (seen.append(latents), decode(latents, maps))[1]
    )
    batch = task.collate([task.draws()[n] for n in range(2)])
    player.decode(batch.video)
    for seed in range(4):
        player(batch, torch.Generator().manual_seed(seed), 0)
    clean, *disturbed = seen
    deviations = torch.cat([(LATENT_SCALE * (latents - clean)).flatten(1).std(dim=1) for latents in disturbed])
    assert 0 < deviations.min() < 0.2 < deviations.max() < 0.45
    assert len({round(float(value), 4) for value in deviations}) == len(deviations)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 4, 16), (1.0, 20, 20)])
def test_passes_without_references(
    share: float, least: int, most: int, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as are asked for; strips always have them."""
    task = make(workshop.settings("decoder", tmp_path, drop_references=share))
    player, without = decoder_player(task), []

    def decode(latents: Tensor, maps: list[Tensor] | None) -> Tensor:
        without.append(maps is None)
        return torch.zeros(batch.video.shape)

    batch = task.collate([task.draws()[0]])
    monkeypatch.setattr(player.autoencoder, "decode_segments", decode)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        player(batch, generator, 0)
    assert least <= sum(without) <= most
    without.clear()
    player.decode(batch.video)
    assert without == [False]


@pytest.fixture(scope="module")
def drawing(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The same with a model that says it draws in two steps."""
    start = tmp_path_factory.mktemp("drawing") / "start.safetensors"
    write_checkpoint(load_file(workshop.start), start, WorkingSettings(steps=2, guidance_scale=1.0, clean_end=True))
    return replace(workshop, start=start)


def test_it_learns_on_what_the_model_draws(drawing: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents as an interpolation with the file's own settings has them, in as many passes as are asked for."""
    task = make(drawing.settings("decoder", tmp_path, drawn_latents=0.5, adversarial_from=9))
    player, batch = decoder_player(task), task.collate([task.draws()[n] for n in range(2)])
    seen: list[Tensor] = []

    def decode(latents: Tensor, maps: list[Tensor] | None) -> Tensor:
        seen.append(latents)
        return torch.zeros(batch.video.shape)

    monkeypatch.setattr(player.autoencoder, "decode_segments", decode)
    player.decode(batch.video)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        player(batch, generator, 0)
    encoded, *learnt_on = seen
    drawn = [latents for latents in learnt_on if not torch.equal(latents, encoded)]
    assert 2 <= len(drawn) <= 8 and not torch.equal(drawn[0], drawn[1])

    model, seeds = ToonCrafter.load(drawing.start, dtype=torch.float32), torch.Generator().manual_seed(7)
    assert player.in_betweens
    latents = player.in_betweens.draw(batch, torch.Generator().manual_seed(7))
    chosen = torch.randint(2**62, (2,), generator=seeds).tolist()
    for row, seed, fps, caption in zip(range(2), chosen, batch.fps.tolist(), batch.captions, strict=True):
        settings = Settings(caption, width=SIDE, height=SIDE, frames=FRAMES, frame_rate=round(fps), steps=2, seed=seed)
        settings = replace(settings, guidance_scale=1.0, clean_end=True)
        keyframes = [(batch.video[row][:, end] + 1) / 2 for end in (0, -1)]
        expected = draw_run(model, keyframes, InterpolationRun(0, 0), settings)
        torch.testing.assert_close(latents[row].transpose(0, 1) * LATENT_SCALE, expected)


def test_all_of_the_decoder_learns_on_what_the_model_draws(drawing: Workshop, tmp_path: Path) -> None:
    _, still = trained(drawing, tmp_path / "drawn", drawn_latents=1.0)
    _, otherwise = trained(drawing, tmp_path / "encoded")
    assert still == otherwise
    kept = read_working_settings(tmp_path / "drawn" / "model.safetensors")
    assert kept == read_working_settings(drawing.start), "so that a second training draws as the first one did"
    weight = "decoder.conv_in.weight"
    encoded, drawn = (load_file(tmp_path / name / "model.safetensors") for name in ("encoded", "drawn"))
    assert not torch.equal(*(file[f"first_stage_model.{weight}"] for file in (encoded, drawn)))


def test_settings_that_cannot_be_drawn_with_are_told_at_once(workshop: Workshop, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    write_checkpoint(load_file(workshop.start), start, WorkingSettings(steps=5000))
    with pytest.raises(
        ValueError, match=r"drawn_latents needs .*start\.safetensors: steps is 5000; expected 1 to 1000"
    ):
        make(replace(workshop, start=start).settings("decoder", tmp_path / "out", drawn_latents=0.5))


def test_a_model_without_a_denoiser_draws_nothing(workshop: Workshop, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    write_start(start, replace(MODEL, text=None, vision=None, projector=None))
    with pytest.raises(ValueError, match=r"drawn_latents needs a start file .* an interpolation needs unet"):
        make(replace(workshop, start=start).settings("decoder", tmp_path / "out", drawn_latents=0.5))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_when_the_discriminator_plays(workshop: Workshop, tmp_path: Path) -> None:
    changes = {"adversarial_from": 2, "discriminator_channels": 32}
    settings = workshop.settings("decoder", tmp_path, **changes)
    first = copied(make(settings).players["discriminator"])
    run(workshop.settings("decoder", tmp_path, steps=2, **changes))
    state = torch.load(tmp_path / "state.pt")["contestants"]["discriminator"]
    assert all(torch.equal(a, b) for a, b in zip(state["parameters"], first.values(), strict=True))
    assert rows(tmp_path)[0].keys() == {"step", "l1", "perceptual", "decoder_gradient", "skipped"}
    run(settings)
    state = torch.load(tmp_path / "state.pt")["contestants"]["discriminator"]
    assert not any(torch.equal(a, b) for a, b in zip(state["parameters"], first.values(), strict=True))
    new = ("adversarial", "adversarial_weight", "discriminator", "discriminator_gradient")
    assert [[bool(row[name]) for name in new] for row in rows(tmp_path)] == [[False] * 4] * 2 + [[True] * 4] * 2


def test_the_discriminator_judges_the_frames_that_were_decoded(workshop: Workshop, tmp_path: Path) -> None:
    task = make(workshop.settings("decoder", tmp_path, adversarial_from=0))
    player, judge = decoder_player(task), task.players["discriminator"]
    assert isinstance(judge, DiscriminatorPlayer)
    batches = [task.collate([task.draws()[n]]) for n in range(2)]
    generator = torch.Generator()
    with torch.enable_grad():
        for batch in batches:
            player(batch, generator, 0)
    for batch in batches:
        real, decoded = player._judged[0]
        assert torch.equal(real, batch.video[0].transpose(0, 1))
        assert torch.equal(decoded, player.decode(batch.video)[0].transpose(0, 1)) and not decoded.requires_grad
        judge(batch, generator, 0)
    assert not player._judged, "frames are left over for the next step"


def test_passes_of_a_step_are_one_large_batch(workshop: Workshop, tmp_path: Path) -> None:
    """The adversarial weight apart, which each pass has for itself."""
    found = []
    for batch in (1, 2):
        folder = tmp_path / str(batch)
        run(workshop.settings("decoder", folder, batch=batch, accumulate=2 // batch, steps=1, adversarial_from=1))
        weights = torch.load(folder / "state.pt")["contestants"]["decoder"]["optimisers"][0]["state"]
        found.append((rows(folder)[0], [weight["exp_avg"] for weight in weights.values()]))
    (one, gradients), (other, of_whole) = found
    whole = {name: float(other[name]) for name in other}
    assert {name: float(one[name]) for name in one} == pytest.approx(whole, rel=1e-4)
    for gradient, expected in zip(gradients, of_whole, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def test_the_checkpoint(workshop: Workshop, tmp_path: Path) -> None:
    """A complete one, whose other parts and encoder are those of the start; a training can go on from it."""
    path = run(workshop.settings("decoder", tmp_path / "first", steps=2))
    checkpoint, start = read_checkpoint(path), load_file(workshop.start)
    wanted = replace(MODEL.autoencoder, dual_reference=True, reference_head_channels=4)
    assert checkpoint.config == replace(MODEL, autoencoder=wanted)
    for name, tensor in start.items():
        if not name.startswith("first_stage_model.decoder."):
            assert torch.equal(checkpoint.tensors[name], tensor), name
    again = make(workshop.settings("decoder", tmp_path / "second", start=path, reference_head_channels=16))
    going_on = decoder_player(again).autoencoder
    assert going_on.config == wanted
    assert torch.equal(
        going_on.decoder.time_mix_conv.weight, checkpoint.part("autoencoder")["decoder.time_mix_conv.weight"]
    )


def video_file(folder: Path, **changes: Any) -> Path:
    """A complete checkpoint of random weights with a 3D decoder."""
    sizes = replace(MODEL.autoencoder, dual_reference=True, reference_head_channels=4)
    write_start(folder / "begin.safetensors", replace(MODEL, autoencoder=replace(sizes, **changes)))
    return folder / "begin.safetensors"


def test_a_decoder_begins_with_anothers_layers_over_frames(workshop: Workshop, tmp_path: Path) -> None:
    begin = video_file(tmp_path)
    found = decoder_player(make(workshop.settings("decoder", tmp_path / "run", begin=begin))).autoencoder.state_dict()
    parts = read_checkpoint(begin).part("autoencoder"), read_checkpoint(workshop.start).part("autoencoder")
    for name, tensor in found.items():
        of_video = any(own in name for own in ("time_stack", "mix_factor", "time_mix_conv", "attn_refinement"))
        if of_video or name.startswith("encoder."):
            assert torch.equal(tensor, parts[not of_video][name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"res_blocks": 2}, r"cannot be begun with: \d+ in the file only: decoder\..*time_stack"),
        ({"reference_head_channels": 8}, r"cannot be begun with: decoder\.attn_refinement.*reference_head_channels"),
        ({"dual_reference": False}, r"has unet, autoencoder, .* and no 3D decoder; expected one to begin with"),
    ],
    ids=str,
)
def test_a_decoder_of_other_layers_is_no_beginning(
    changes: dict[str, Any], message: str, workshop: Workshop, tmp_path: Path
) -> None:
    begin = video_file(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"begin\.safetensors {message}"):
        make(workshop.settings("decoder", tmp_path / "run", begin=begin))


def test_layers_that_are_missing_are_named(workshop: Workshop, tmp_path: Path) -> None:
    write_start(tmp_path / "start.safetensors", replace(MODEL, autoencoder=replace(MODEL.autoencoder, res_blocks=2)))
    changes = {"start": tmp_path / "start.safetensors", "begin": video_file(tmp_path)}
    with pytest.raises(ValueError, match=r"cannot be begun with: \d+ missing in the file: decoder\..*time_stack"):
        make(workshop.settings("decoder", tmp_path / "run", **changes))


def test_a_beginning_beside_a_start_that_has_one(workshop: Workshop, tmp_path: Path) -> None:
    begin = video_file(tmp_path)
    with pytest.raises(ValueError, match="has a 3D decoder already, which is trained on; leave begin out"):
        make(workshop.settings("decoder", tmp_path / "run", start=begin, begin=begin))


@pytest.mark.parametrize(("width", "layers"), [(32, 2), (48, 3)])
def test_small_pictures_get_a_shallower_discriminator(
    width: int, layers: int, workshop: Workshop, tmp_path: Path
) -> None:
    task = make(workshop.settings("decoder", tmp_path, width=width, height=48))
    assert task.players["discriminator"].discriminator.config.layers == layers
    assert task.strip().shape == (3, 4 * 48, FRAMES * width)
