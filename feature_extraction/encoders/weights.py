"""Read a file of weights and fit it, strictly, to a network."""

import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cohorts.errors import EncoderError

# Where training scripts keep the network within what they save; the teacher of self-distillation
# is the network that is published.
_WRAPPERS = ("teacher", "state_dict", "model", "module", "backbone")
_PREFIXES = ("module.", "model.", "teacher.", "backbone.", "_orig_mod.")

StateDict = Mapping[str, Tensor]


def load_weights(
    file: Path,
    network: nn.Module,
    heads: Sequence[str],
    renamed: Callable[[StateDict], StateDict] = dict,
) -> None:
    """Load weights into a network; every tensor has to find its place.

    Parameters
    ----------
    file
        `.safetensors`, or `.pth`, `.pt` or `.bin` that holds tensors and nothing else.
    heads
        Prefixes of classifiers' names, which are left out.
    renamed
        Turns the names of the file into those of the network.

    Raises
    ------
    EncoderError
        If the file is missing, damaged, needs code to be run, holds NaN, or does not fit.
    """
    weights = renamed(_without_heads(_without_prefixes(_read(file)), heads))
    _refuse_what_is_not_finite(file, weights)
    if (embedding := weights.get("pos_embed")) is not None:
        _refuse_another_input_size(file, embedding, network)
    try:
        # load_state_dict copies into float32 parameters, whatever the precision of the file
        fit = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        wrong_shape = str(error).splitlines()[1].strip()
        raise EncoderError(f'weights "{file.name}" do not fit: {wrong_shape}') from error
    if fit.missing_keys or fit.unexpected_keys:
        raise EncoderError(
            f'weights "{file.name}" are of another architecture: '
            f"{_some('missing', fit.missing_keys)}, {_some('unexpected', fit.unexpected_keys)}"
        )


def _read(file: Path) -> StateDict:
    if not file.exists():
        raise EncoderError(f'weights "{file}" do not exist')
    if file.suffix in {".pth", ".pt", ".bin"}:
        return _read_torch(file)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise EncoderError(
            f'weights "{file.name}" are not a whole .safetensors file '
            f"({' '.join(str(error).split())})"
        ) from error


def _read_torch(file: Path) -> StateDict:
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(file):
            raise EncoderError(f'weights "{file.name}" are not a whole file of torch') from error
        raise EncoderError(
            f'weights "{file.name}" hold more than tensors and would run code when read; where '
            "the file is trusted, convert it: safetensors.torch.save_file(torch.load(FILE, "
            'weights_only=False)["state_dict"], "weights.safetensors")'
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise EncoderError(
            f'weights "{file.name}" are not a whole file of torch ({" ".join(str(error).split())})'
        ) from error
    return _tensors_within(file, saved)


def _tensors_within(file: Path, saved: Any) -> StateDict:
    while isinstance(saved, Mapping):
        if saved and all(isinstance(value, Tensor) for value in saved.values()):
            return {str(name): tensor for name, tensor in saved.items()}
        inner = [saved[name] for name in _WRAPPERS if isinstance(saved.get(name), Mapping)]
        if not inner:
            break
        saved = inner[0]
    raise EncoderError(
        f'weights "{file.name}" hold no table of tensors by name; save network.state_dict()'
    )


def _without_prefixes(weights: StateDict) -> StateDict:
    """Strip what wraps every name of a network; DINOv2 keeps its heads beside the backbone."""
    while True:
        inside = {k: v for k, v in weights.items() if not k.startswith(("dino_head", "ibot_head"))}
        prefix = next((p for p in _PREFIXES if all(k.startswith(p) for k in inside)), None)
        if prefix is None or not inside:
            return inside
        weights = {name.removeprefix(prefix): tensor for name, tensor in inside.items()}


def _without_heads(weights: StateDict, heads: Sequence[str]) -> StateDict:
    prefixes = tuple(f"{head}." for head in heads)
    return {name: tensor for name, tensor in weights.items() if not name.startswith(prefixes)}


def _refuse_what_is_not_finite(file: Path, weights: StateDict) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise EncoderError(
                f'weights "{file.name}" hold NaN or infinity in "{name}"; the file is damaged or '
                "training diverged: take another checkpoint"
            )


def _refuse_another_input_size(file: Path, embedding: Tensor, network: nn.Module) -> None:
    own = getattr(network, "pos_embed", None)
    if isinstance(own, Tensor) and own.shape != embedding.shape:
        raise EncoderError(
            f'weights "{file.name}" are for another input size: their position embedding '
            f"pos_embed is {'x'.join(map(str, embedding.shape))}, the encoder's is "
            f"{'x'.join(map(str, own.shape))}; take the checkpoint of the encoder's size"
        )


def _some(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}" + (f" (e.g. {names[0]})" if names else "")
