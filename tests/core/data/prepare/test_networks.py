"""The stages with networks run on tiny random ones of the published classes, from files as their users name them."""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_film import pan
from torchvision.models.optical_flow import raft_small
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

from tooncrafter_core.data.prepare.film import Film
from tooncrafter_core.data.prepare.pipeline import here, prepare
from tooncrafter_core.data.prepare.settings import Aesthetics, Agreement, Captions, Motion, Settings, TextArea
from tooncrafter_core.data.prepare.stages import motion
from tooncrafter_core.data.prepare.stages.aesthetics import read_head
from tooncrafter_core.data.prepare.views import Views
from tooncrafter_core.training.settings.run import SettingsError, read_settings

_TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_SIZE = {"height": 32, "width": 32}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a CLIP model whose embeddings have 8 numbers."""
    folder = tmp_path_factory.mktemp("clip")
    letters = string.ascii_lowercase
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    ends = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1}
    text = {**_TOWER, **ends, "vocab_size": len(tokens), "max_position_embeddings": 16}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=text, vision_config={**_TOWER, "image_size": 32, "patch_size": 16}, projection_dim=8
    )
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=_SIZE)
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a captioning model whose words are single letters."""
    folder = tmp_path_factory.mktemp("blip")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *string.ascii_lowercase]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    ends = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    torch.manual_seed(0)
    config = BlipConfig(
        text_config={**_TOWER, **ends, "vocab_size": len(tokens), "encoder_hidden_size": 16},
        vision_config={**_TOWER, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size=_SIZE), BertTokenizerFast(str(folder / "vocab.txt"))).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LAION's first head, for embeddings of 8 numbers."""
    path = tmp_path_factory.mktemp("head") / "head.pth"
    torch.save(torch.nn.Linear(8, 1).state_dict(), path)
    return path


def test_scores_captions_and_their_agreement_are_measured(
    film: Film, clip: Path, blip: Path, head: Path, tmp_path: Path
) -> None:
    settings = Settings(
        aesthetics=Aesthetics(clip=clip, head=head, least=-10),
        captions=Captions(model=blip, longest=4),
        agreement=Agreement(clip=clip, least=-1),
    )
    outcome = prepare([film], settings, tmp_path, here)
    kept = [item for item in outcome.items if not item.fault]
    assert {len(clip.caption.split()) for clip in outcome.clips} == {4}
    assert len({item.results["aesthetics"]["score"] for item in kept}) == 2
    assert all(-1 <= item.results["agreement"]["agreement"] <= 1 for item in kept)


def test_captions_that_do_not_fit_fall(film: Film, clip: Path, tmp_path: Path) -> None:
    settings = Settings(captions=Captions(text="a hare"), agreement=Agreement(clip=clip, least=1))
    outcome = prepare([film], settings, tmp_path, here)
    assert [item.fault for item in outcome.items] == ["caption does not fit", "still", *["caption does not fit"] * 2]


def test_raft_takes_the_place_of_dis(tmp_path: Path) -> None:
    weights = tmp_path / "raft.pth"
    torch.save(raft_small().state_dict(), weights)
    views = Views(np.stack(pan(1)[:3]), np.stack(pan(1)[:3]))
    by_raft, by_dis = (
        motion.measurer(settings, torch.device("cpu"))(views, {})["motion"]
        for settings in (Motion(raft=weights), Motion())
    )
    assert by_dis == pytest.approx(2 * 2, rel=0.1)
    assert 0 < by_raft != by_dis


def test_linear_layers_in_a_row_are_one(tmp_path: Path) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout(), torch.nn.Linear(4, 1)).eval()
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, tmp_path / "head.pth")
    weight, bias = read_head(tmp_path / "head.pth", 8)
    x = torch.randn(3, 8)
    torch.testing.assert_close(x @ weight + bias, layers(x)[:, 0])
    with pytest.raises(ValueError, match=r"head\.pth is no linear head from 9 numbers"):
        read_head(tmp_path / "head.pth", 9)


def test_files_of_another_kind_are_refused(film: Film, head: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected torchvision's weights of raft"):
        prepare([film], Settings(motion=Motion(raft=head)), tmp_path / "raft", here)
    with pytest.raises(ValueError, match=r"expected an \.onnx file"):
        prepare([film], Settings(text_area=TextArea(detector=head)), tmp_path / "text", here)


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"motion": {"fewest": 1}}, r"motion\.fewest"),
        ({"motion": {"raft": "raft.pth"}}, r"motion\.raft.*there is no file"),
        ({"aesthetics": {"clip": "clip"}}, r"aesthetics\.clip.*config\.json"),
        ({"aesthetics": {"head": __file__}}, "name both or neither"),
        ({"shots": {"shortest": 50, "longest": 40}}, "longest is 40"),
        ({"clips": {"domain": "anime"}}, r"clips\.domain"),
        ({"clips": {"side": True}}, r"clips\.side: Input should be a valid integer; it is True"),
        ({"aesthetics": {"least": float("nan")}}, r"aesthetics\.least: Input should be a finite number"),
    ],
)
def test_settings_name_what_is_wrong(entries: dict[str, object], named: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(SettingsError, match=named):
        read_settings(Settings, path)
