"""Find a user's own aggregator, and try it before anything is trained."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from cmil.aggregators import Aggregation, Aggregator, Standardiser
from cohorts.errors import SettingsError

Build = Callable[[int, int], Aggregator]

_DIMENSION = 16
_LONGEST = 3


def users_aggregator(name: str) -> Build:
    """Find a class by `module:Class`, in the current folder too, and try it on two small bags.

    Returns
    -------
    The class, which takes the length of embeddings and the number of outputs.

    Raises
    ------
    SettingsError
        If the module cannot be imported, or the class does not do what an aggregator has to.
    """
    module_name, _, class_name = name.partition(":")
    found = _class_of(name, module_name, class_name)
    what = f'class "{class_name}" of {_file_of(found)}'
    _require_arguments(what, found)
    build: Build = found
    with torch.random.fork_rng(devices=[]):
        _try(what, build)
    return build


def _class_of(name: str, module_name: str, class_name: str) -> type[Aggregator]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise SettingsError(
            f'"{name}": module "{module_name}" cannot be imported from {here} ({_said(error)}); '
            "mend the module or its name"
        ) from error
    finally:
        sys.path.remove(here)
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Aggregator)):
        raise SettingsError(
            f'"{name}": {module_name} has no class "{class_name}" derived from '
            "cmil.aggregators.Aggregator"
        )
    return found


def _file_of(found: type[Aggregator]) -> str:
    return getattr(sys.modules[found.__module__], "__file__", None) or found.__module__


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _try(what: str, build: Build) -> None:
    """Do once, on two bags, all that training and scoring do."""
    with _named(f"{what}: __init__({_DIMENSION}, 1) fails"):
        model = build(_DIMENSION, 1)
    if not isinstance(getattr(model, "standardise", None), Standardiser):
        _refuse(
            f"{what} has no `standardise`; set self.standardise = Standardiser(dimension) in "
            "__init__, from cmil.aggregators"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        _refuse(f"{what} has no parameters to train; give it a layer, such as torch.nn.Linear")
    instances = torch.randn(2, _LONGEST, _DIMENSION)
    mask = torch.tensor([[True] * _LONGEST, [True] + [False] * (_LONGEST - 1)])
    with _named(f"{what}: `standardise` does not fit embeddings of length {_DIMENSION}"):
        model.standardise.fit(list(instances))
    with _named(f"{what}: forward fails on instances {tuple(instances.shape)} and their mask"):
        result = model.train()(instances, mask)
    _require_logits(what, result, len(instances))
    with _named(f"{what}: its loss cannot be trained on"):
        _loss(result).backward()
    with _named(f"{what}: score fails on instances {tuple(instances[0].shape)}"):
        score = model.score(instances[0])
    if score.logits.shape != (1,):
        _refuse(f"{what}: score gives logits of shape {score.logits.shape}; they have to be (1,)")


def _require_arguments(what: str, found: type[Aggregator]) -> None:
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        _refuse(f"{what} is abstract; define {', '.join(missing)} in it")
    signature = inspect.signature(found)
    try:
        signature.bind(_DIMENSION, 1)
    except TypeError:
        _refuse(
            f"{what} is made with {signature}, but is given the length of embeddings and the "
            "number of outputs; write def __init__(self, dimension, outputs)"
        )


def _require_logits(what: str, result: object, bags: int) -> None:
    if not isinstance(result, Aggregation):
        _refuse(
            f"{what}: forward returns {type(result).__name__}; return a "
            "cmil.aggregators.Aggregation"
        )
    logits: object = result.logits
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        _refuse(f"{what}: forward gives logits that are no tensor of floating-point numbers")
    if logits.shape != (bags, 1):
        _refuse(
            f"{what}: forward gives logits of shape {tuple(logits.shape)} for {bags} bags and 1 "
            f"output; they have to be (B, K), here ({bags}, 1)"
        )


def _loss(result: Aggregation) -> Tensor:
    loss = result.logits.mean()
    if result.instance_loss is None:
        return loss
    return loss + result.instance_loss(torch.tensor([0, 1]))


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a user's class may raise anything
        raise SettingsError(f"{what} ({_said(error)}); mend it there") from error


def _refuse(what: str) -> NoReturn:
    raise SettingsError(what)
