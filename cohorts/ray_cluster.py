"""A cluster of Ray: joined or started, and how many workers it has room for."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from cohorts.errors import SettingsError

# Little but tasks and results travels; unasked, Ray would reserve a third of the memory.
_OBJECT_STORE_BYTES = 100 << 20


@contextmanager
def cluster(address: str | None, processors: int) -> Iterator[ModuleType]:
    """Start a cluster, or connect to one; at the end stop it, or only leave it.

    Parameters
    ----------
    address
        HOST:PORT of a cluster, or "auto" for the one that this machine belongs to; without it, a
        cluster of this machine alone is started.
    processors
        Of a cluster that is started.

    Yields
    ------
    The module `ray`, connected.

    Raises
    ------
    SettingsError
        If Ray is not installed, or no cluster is at the address.
    """
    ray = _import_ray()
    if ray.is_initialized():  # by the program that called us, whose it stays
        yield ray
        return
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        start = {
            "address": "local",
            "num_cpus": processors,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    else:
        start = {"address": address}
    try:
        try:
            ray.init(**start, **quiet)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            where = "on this machine" if address is None else f'with "{address}"'
            said = " ".join(str(error).split())
            raise SettingsError(
                f"Ray does not start {where} ({said}); check --address, and `ray status` there"
            ) from error
        yield ray
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    # Read when Ray is imported. It is not to report to its makers what a hospital runs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            "--engine ray needs Ray; install it with pip install 'cmil[ray]'"
        ) from error
    return ray


def places_for_workers(
    nodes: Sequence[Mapping[str, Any]], threads: int
) -> tuple[int, Mapping[str, int]]:
    """Count the workers that a cluster has room for.

    Parameters
    ----------
    nodes
        As `ray.nodes()` tells of them.
    threads
        Of a worker.

    Returns
    -------
    places
        One for each GPU, or, on a cluster without, for each `threads` processors of a machine.
    claim
        What Ray is to set aside for each.

    Raises
    ------
    SettingsError
        If there is no place.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
    if gpus:
        return gpus, {"num_gpus": 1, "num_cpus": 0}
    places = sum(int(machine.get("CPU", 0)) // threads for machine in machines)
    largest = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
    if not largest:
        raise SettingsError(
            "no machine of the cluster offers a processor; start one of them with "
            "`ray start --num-cpus`"
        )
    if not places:
        raise SettingsError(
            f"a worker claims {threads} processors, one for each thread, but no machine of the "
            f"cluster has more than {largest}; choose --threads {largest} or less"
        )
    return places, {"num_cpus": threads}
