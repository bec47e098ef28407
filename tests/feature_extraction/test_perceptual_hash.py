import cv2
import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from feature_extraction.perceptual_hash import best_correlation, close_pairs, looks_of


def picture(seed: int) -> np.ndarray:
    """A dark cell among paler ones."""
    random = np.random.default_rng(seed)
    image = np.full((256, 256, 3), 235, dtype=np.uint8)
    for _ in range(9):
        centre = [int(v) for v in random.integers(0, 256, 2)]
        cv2.circle(image, centre, int(random.integers(25, 40)), (190, 165, 205), -1, cv2.LINE_AA)
    centre = [int(v) for v in random.integers(90, 166, 2)]
    axes = [int(v) for v in random.integers(25, 60, 2)]
    cv2.ellipse(image, centre, axes, 30, 0, 360, (120, 60, 90), -1, cv2.LINE_AA)
    return image


def distance(first: int, second: int) -> int:
    return (first ^ second).bit_count()


def test_the_hash_has_the_bits_of_imagehash() -> None:
    """ImageHash deals the same 64 bits in another order: distances are its distances."""
    images = [np.random.default_rng(s).integers(0, 256, (32, 32)).astype(np.uint8) for s in (1, 2)]
    ours = [looks_of(np.repeat(image[..., None], 3, axis=2)).hash for image in images]
    theirs = [imagehash.phash(Image.fromarray(image)) for image in images]
    assert distance(*ours) == theirs[0] - theirs[1]
    assert ours[0].bit_count() == int(theirs[0].hash.sum())


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_saved_anew_keeps_its_looks_and_another_image_does_not(seed: int) -> None:
    image = picture(seed)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], 1)
    small = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    dark = (image * 0.9).astype(np.uint8)
    looks = looks_of(image)
    for copy in (jpeg, small, dark, image[3:-3, 3:-3]):
        seen = looks_of(copy)
        assert distance(looks.hash, seen.hash) <= 8
        assert best_correlation(looks.grey[None], seen.grey[None])[0] > 0.95
    other = looks_of(picture(seed + 100))
    assert distance(looks.hash, other.hash) > 8
    assert best_correlation(looks.grey[None], other.grey[None])[0] < 0.9


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_copy_has_the_same_second_hash(quarters: int, mirrored: bool) -> None:
    image = picture(3)
    turned = np.rot90(image[:, ::-1] if mirrored else image, quarters).copy()
    first, second = looks_of(image), looks_of(turned)
    assert distance(first.turned_hash, second.turned_hash) <= 1
    assert best_correlation(first.grey[None], second.grey[None])[0] > 0.999


def test_what_has_no_contrast_correlates_with_nothing() -> None:
    flat = np.full((1, 16, 16), 200, dtype=np.uint8)
    assert best_correlation(flat, flat)[0] == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 4, 8]))
def test_close_pairs_are_those_of_comparing_all(seed: int, radius: int) -> None:
    random = np.random.default_rng(seed)
    # Few distinct hashes, some the same, most a few bits from one another.
    roots = random.integers(0, 2**63, 5, dtype=np.uint64)
    hashes = random.choice(roots, 60)
    for _ in range(6):
        hashes = hashes ^ (np.uint64(1) << random.integers(0, 64, 60).astype(np.uint64))
    expected = {
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if int(hashes[i] ^ hashes[j]).bit_count() <= radius
    }
    found = [
        tuple(sorted(pair))
        for first, second in close_pairs(hashes, radius)
        for pair in zip(first.tolist(), second.tolist(), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_pairs_of_a_crowd_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_extraction.perceptual_hash._BLOCK", 100)
    same = np.full(50, 7, dtype=np.uint64)
    blocks = list(close_pairs(same, 0))
    assert sum(len(first) for first, _ in blocks) == 50 * 49 // 2
    assert max(len(first) for first, _ in blocks) <= 100


def test_no_hash_has_no_pair() -> None:
    assert list(close_pairs(np.empty(0, dtype=np.uint64), 8)) == []
