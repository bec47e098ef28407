import pytest

from cohorts.errors import SettingsError
from cohorts.ray_cluster import places_for_workers


def node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "threads", "places", "claim"),
    [
        ([node(CPU=16)], 4, 4, {"num_cpus": 4}),
        ([node(CPU=16), node(CPU=7), node(CPU=3)], 4, 5, {"num_cpus": 4}),
        ([node(CPU=4), node(alive=False, CPU=64)], 4, 1, {"num_cpus": 4}),
        ([node(CPU=64), node(CPU=8, GPU=2), node(GPU=1)], 8, 3, {"num_gpus": 1, "num_cpus": 0}),
    ],
)
def test_room_for_workers(nodes, threads: int, places: int, claim: dict[str, int]) -> None:
    assert places_for_workers(nodes, threads) == (places, claim)


def test_a_cluster_without_room() -> None:
    with pytest.raises(SettingsError, match="choose --threads 8 or less"):
        places_for_workers([node(CPU=8), node(CPU=2)], 16)
    with pytest.raises(SettingsError, match="no machine of the cluster offers a processor"):
        places_for_workers([node(CPU=0), node(alive=False, CPU=64)], 1)
