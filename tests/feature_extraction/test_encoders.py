import json
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction import ExtractionSettings
from feature_extraction.encoders import Encoder, load_encoder
from feature_extraction.encoders.probe import draw_probe
from feature_extraction.encoders.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm  # noqa: E402
from torchvision import models  # noqa: E402

Choose = Callable[..., ExtractionSettings]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    create = timm.create_model

    def create_without_network(name: str, *, pretrained: bool, **more: object) -> nn.Module:
        return unreachable() if pretrained else create(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", create_without_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)


def normalised(patches: np.ndarray, mean: object, std: object) -> Tensor:
    images = torch.from_numpy(patches).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Gives every weight, bias and batch statistic a value of its own."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=random)
            tensor.copy_(drawn + 0.5 if name.endswith("var") else drawn * 0.2 - 0.1)
    return network.eval()


def message_of(settings: ExtractionSettings) -> str:
    with pytest.raises(EncoderError) as refusal:
        load_encoder(settings)
    assert len(str(refusal.value).splitlines()) == 1
    return str(refusal.value)


@pytest.mark.parametrize("name", ["resnet18", "timm:", "hub:resnet18", "untrained:resnet18", ""])
def test_a_name_without_a_library_says_how_names_look(chosen: Choose, name: str) -> None:
    message = message_of(chosen(encoder=name))
    assert f'"{name.removeprefix("untrained:")}" is not known' in message
    assert "timm:NAME or torchvision:NAME" in message


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("untrained:timm:test_resnt", "test_resnet"),
        ("timm:test_r", "test_resnet"),
        ("untrained:torchvision:mobilenet_v4", "mobilenet_v2"),
        ("torchvision:resnet19", "resnet18"),
        ("untrained:timm:qqqqqqq", "timm.list_models()"),
        ("untrained:timm:[*", "timm.list_models()"),
        ("untrained:torchvision:fasterrcnn_resnet50_fpn", "alexnet"),
    ],
)
def test_an_unknown_name_gives_close_ones(chosen: Choose, name: str, close: str) -> None:
    message = message_of(chosen(encoder=name))
    assert name.rpartition(":")[2] in message
    assert close in message.partition("close names: ")[2]


def test_an_unknown_tag_is_named(chosen: Choose) -> None:
    message = message_of(chosen(encoder="untrained:timm:resnet18.nobody_in1k"))
    assert "timm:resnet18.nobody_in1k" in message
    assert "tag" in message


@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:mobilenet_v2"])
def test_an_untrained_encoder_is_the_same_everywhere_and_leaves_torchs_random_numbers_alone(
    chosen: Choose, patches: np.ndarray, name: str
) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = load_encoder(chosen(encoder=f"untrained:{name}"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    again = load_encoder(chosen(encoder=f"untrained:{name}"))
    assert again.digest == first.digest
    np.testing.assert_array_equal(again(patches), first(patches))
    vectors = first(patches)
    assert vectors.shape == (3, first.dimension)
    assert vectors.dtype == np.float32
    assert len(np.unique(vectors, axis=0)) == 3


def test_timm_weights_are_read_back(tmp_path: Path, chosen: Choose, patches: np.ndarray) -> None:
    """With the classifier in the file, as timm saves it, or without."""
    network = randomised(timm.create_model("test_resnet"), 1)
    weights = network.state_dict()
    assert "fc.weight" in weights
    save_file(weights, tmp_path / "whole.safetensors")
    bare = {name: tensor for name, tensor in weights.items() if not name.startswith("fc.")}
    save_file(bare, tmp_path / "bare.safetensors")
    cfg = network.pretrained_cfg
    with torch.inference_mode():
        network.reset_classifier(0)
        expected = network(normalised(patches, cfg["mean"], cfg["std"])).numpy()
    digests = set()
    for name in ("whole", "bare"):
        file = tmp_path / f"{name}.safetensors"
        encoder = load_encoder(chosen(encoder="timm:test_resnet", weights=file))
        np.testing.assert_allclose(encoder(patches), expected, rtol=1e-4, atol=1e-5)
        digests.add(encoder.digest)
    assert len(digests) == 1
    assert np.ptp(expected) > 0.01


def test_both_heads_of_a_distilled_model_may_be_in_the_file(
    tmp_path: Path, chosen: Choose, patches: np.ndarray
) -> None:
    name = "deit_tiny_distilled_patch16_224"
    weights = timm.create_model(name).state_dict()
    assert {"head.weight", "head_dist.weight"} <= set(weights)
    save_file(weights, tmp_path / "a.safetensors")
    encoder = load_encoder(chosen(encoder=f"timm:{name}", weights=tmp_path / "a.safetensors"))
    assert encoder(patches).shape == (3, 192)


def test_torchvisions_classifier_is_left_out(
    tmp_path: Path, chosen: Choose, patches: np.ndarray
) -> None:
    network = randomised(models.mobilenet_v2(weights=None), 2)
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    encoder = load_encoder(
        chosen(encoder="torchvision:mobilenet_v2", weights=tmp_path / "a.safetensors")
    )
    assert encoder.dimension == 1280
    with torch.inference_mode():
        expected = network.features(normalised(patches, *IMAGENET)).mean((2, 3)).numpy()
    np.testing.assert_allclose(encoder(patches), expected, rtol=1e-3, atol=1e-5)
    assert np.ptp(expected) > 0


def test_the_normalisation_of_the_settings_is_used(
    tmp_path: Path, chosen: Choose, patches: np.ndarray
) -> None:
    network = randomised(timm.create_model("test_resnet", num_classes=0), 3)
    file = tmp_path / "a.safetensors"
    save_file(network.state_dict(), file)
    mean, std = (0.7, 0.6, 0.5), (0.1, 0.2, 0.3)
    own = load_encoder(chosen(encoder="timm:test_resnet", weights=file))
    given = load_encoder(chosen(encoder="timm:test_resnet", weights=file, mean=mean, std=std))
    assert given.digest != own.digest
    with torch.inference_mode():
        expected = network(normalised(patches, mean, std)).numpy()
    np.testing.assert_allclose(given(patches), expected, rtol=1e-4, atol=1e-5)


def test_other_weights_have_another_digest(tmp_path: Path, chosen: Choose) -> None:
    digests = set()
    for seed in (1, 1, 2):
        network = randomised(timm.create_model("test_resnet", num_classes=0), seed)
        save_file(network.state_dict(), tmp_path / f"{seed}.safetensors")
        file = tmp_path / f"{seed}.safetensors"
        digests.add(load_encoder(chosen(encoder="timm:test_resnet", weights=file)).digest)
    assert len(digests) == 2


def test_weights_of_another_architecture_are_told_by_their_names(
    tmp_path: Path, chosen: Choose
) -> None:
    weights = timm.create_model("test_resnet", num_classes=0).state_dict()
    lost = next(iter(weights))
    first = weights.pop(lost)
    save_file({**weights, "strange.weight": first}, tmp_path / "a.safetensors")
    wanted = chosen(encoder="timm:test_resnet", weights=tmp_path / "a.safetensors")
    message = message_of(wanted)
    assert '"a.safetensors" are of another architecture' in message
    assert f"1 missing (e.g. {lost})" in message
    assert "1 unexpected (e.g. strange.weight)" in message
    save_file({**weights, lost: first[:1].clone()}, tmp_path / "a.safetensors")
    message = message_of(wanted)
    assert '"a.safetensors" do not fit' in message
    assert lost in message


def test_weights_that_are_absent_or_damaged_are_named(tmp_path: Path, chosen: Choose) -> None:
    file = tmp_path / "a.safetensors"
    wanted = chosen(encoder="timm:test_resnet", weights=file)
    assert f'weights "{file}" do not exist' in message_of(wanted)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), file)
    whole = file.read_bytes()
    for content in (b"", whole[:100], whole[:-100], b"\x80\x04pickle, not safetensors"):
        file.write_bytes(content)
        assert '"a.safetensors" are not a whole .safetensors file' in message_of(wanted)
    folder = chosen(encoder="timm:test_resnet", weights=tmp_path)
    assert "are not a whole .safetensors file" in message_of(folder)


def test_weights_for_an_untrained_encoder_contradict(tmp_path: Path, chosen: Choose) -> None:
    wanted = chosen(encoder="untrained:timm:test_resnet", weights=tmp_path / "a.safetensors")
    assert "untrained but weights are given; drop one" in message_of(wanted)
    with pytest.raises(EncoderError, match=r"stain-filters.* drop weights, mean and std"):
        load_encoder(chosen(weights=tmp_path / "a.safetensors"))
    with pytest.raises(EncoderError, match="drop weights, mean and std"):
        load_encoder(chosen(mean=(0, 0, 0), std=(1, 1, 1)))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:mobilenet_v2"])
def test_without_a_network_the_message_says_how_to_bring_weights(chosen: Choose, name: str) -> None:
    message = message_of(chosen(encoder=name))
    assert f'pretrained weights of "{name}"' in message
    assert "--weights FILE (.safetensors or .pth)" in message
    assert load_encoder(chosen(encoder=f"untrained:{name}")).dimension > 0


def test_a_network_of_one_input_size_is_given_it(chosen: Choose) -> None:
    encoder = load_encoder(chosen(encoder="untrained:timm:test_vit"))
    random = np.random.default_rng(1)
    for side in (32, 48, 160, 200):
        patches = random.integers(0, 256, (2, side, side, 3), dtype=np.uint8)
        assert encoder(patches).shape == (2, encoder.dimension)


@pytest.mark.parametrize(
    ("name", "side"), [("stain-filters", 16), ("untrained:torchvision:maxvit_t", 64)]
)
def test_a_patch_the_network_cannot_take_is_an_error(chosen: Choose, name: str, side: int) -> None:
    message = message_of(chosen(encoder=name, patch_px=side))
    assert f'"{name}" does not take patches of {side} x {side} pixels' in message
    assert "choose another patch_px" in message


def test_a_network_without_a_linear_classifier_is_refused(chosen: Choose) -> None:
    message = message_of(chosen(encoder="untrained:torchvision:squeezenet1_0"))
    assert "has no linear classifier" in message


def test_half_precision_is_close_to_full(chosen: Choose, patches: np.ndarray) -> None:
    full, half = (
        load_encoder(chosen(encoder="untrained:timm:test_resnet", precision=precision))
        for precision in ("float32", "bfloat16")
    )
    assert (full.precision, half.precision) == ("float32", "bfloat16")
    exact, near = full(patches), half(patches)
    assert near.dtype == np.float32
    assert 0 < np.linalg.norm(near - exact) < 0.05 * np.linalg.norm(exact)


def test_stain_filters_see_the_light_the_patch_has(chosen: Choose, smear) -> None:
    encoder = load_encoder(chosen(patch_px=64))
    patches = np.stack([smear(64, 64, seed, cells=4) for seed in range(3)])
    images = torch.from_numpy(patches).permute(0, 3, 1, 2) / 255
    from feature_extraction.encoders.stain_filters import StainFilters

    np.testing.assert_allclose(encoder(patches), StainFilters()(images), rtol=1e-4, atol=1e-5)
    assert encoder.precision == load_encoder(chosen(precision="bfloat16")).precision == "float32"
    assert encoder.drift is None


def test_batches_keep_their_order_and_are_read_no_further_than_one_ahead(
    chosen: Choose, patches: np.ndarray
) -> None:
    encoder = load_encoder(chosen(encoder="untrained:timm:test_resnet"))
    read = []

    def batches() -> Iterator[np.ndarray]:
        for size in (2, 1, 3):
            read.append(size)
            yield patches[:size]

    stream = encoder.stream(batches())
    assert read == []
    for number, size in enumerate((2, 1, 3), start=1):
        np.testing.assert_array_equal(next(stream), encoder(patches[:size]))
        assert len(read) == min(number + 1, 3)
    assert next(stream, None) is None


def test_patches_of_another_size_are_resampled_as_pillow_does(chosen: Choose) -> None:
    encoder = load_encoder(chosen(encoder="untrained:timm:test_vit"))
    large = draw_probe(2, 2 * encoder.input_px + 13)
    side = (encoder.input_px, encoder.input_px)
    small = np.stack([Image.fromarray(p).resize(side, Image.Resampling.BILINEAR) for p in large])
    np.testing.assert_allclose(encoder(large), encoder(small), atol=0.02)


def test_listing_encoders_loads_no_torch() -> None:
    listing = (
        "import sys; from cmil.cli import app; "
        "app(sys.argv[1:], standalone_mode=False); assert not {'torch', 'timm'} & set(sys.modules)"
    )

    def told(*options: str) -> str:
        command = [sys.executable, "-c", listing, "encoders", *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    titles, *rows = told().splitlines()
    row = next(row for row in rows if row.startswith("uni2-h"))
    assert row[titles.index("vector") :].startswith("1536")
    assert row[titles.index("licence") :].startswith("CC-BY-NC-ND-4.0, to be accepted")
    facts = {encoder["name"]: encoder for encoder in json.loads(told("--json"))}
    assert facts["stain-filters"]["source"] == ""
    assert facts["virchow2"]["output"] == "class token and mean"
    assert facts["dinobloom-s"]["mean"] == [0.485, 0.456, 0.406]


def test_an_unknown_name_lists_the_presets(chosen: Choose) -> None:
    assert "dinobloom-s, dinobloom-b" in message_of(chosen(encoder="dinobloom"))


@pytest.mark.parametrize(("code", "told"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "name")])
def test_what_the_hub_refuses_is_told_with_its_page(
    chosen: Choose, monkeypatch: pytest.MonkeyPatch, code: int, told: str
) -> None:
    answer = SimpleNamespace(status_code=code, headers={}, request=None)

    def refuse(*_: object, **__: object) -> None:
        raise HfHubHTTPError("refused\nby the hub", response=answer)

    monkeypatch.setattr(timm, "create_model", refuse)
    message = message_of(chosen(encoder="hf-hub:MahmoodLab/UNI2-h"))
    assert f"HTTP {code}" in message
    assert "https://huggingface.co/MahmoodLab/UNI2-h" in message
    assert told in message
    assert "--weights FILE (.safetensors or .pth), with timm:ARCHITECTURE" in message


def test_a_preset_without_a_network_says_where_its_weights_are(
    chosen: Choose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = message_of(chosen(encoder="dinobloom-s"))
    assert '"dinobloom-s" are not on this machine' in message
    assert "https://huggingface.co/1aurent/vit_small_patch14_224.dinobloom" in message
    assert "--weights FILE (.safetensors or .pth)" in message


def test_a_hub_name_needs_an_owner(chosen: Choose) -> None:
    assert "hf-hub:OWNER/NAME" in message_of(chosen(encoder="hf-hub:uni"))


def test_a_batch_that_does_not_fit_the_gpu_is_named_with_its_size() -> None:
    """The runtime stands for a GPU that holds four patches."""

    class Small:
        backend, precision, device, in_flight = "torch", "float32", torch.device("cuda"), 2

        def start(self, patches: np.ndarray) -> Callable[[], np.ndarray]:
            if len(patches) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
            return lambda: patches[:, 0, 0].astype(np.float32)

    encoder = Encoder("small", "digest", 3, 8, Small())
    batches = [np.full((size, 8, 8, 3), size, np.uint8) for size in (4, 3, 5)]
    stream = encoder.stream(batches)
    assert np.unique(next(stream)).tolist() == [4]
    with pytest.raises(EncoderError, match="of 5 patches; lower batch_size") as refusal:
        list(stream)
    assert len(str(refusal.value).splitlines()) == 1
