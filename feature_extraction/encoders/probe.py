"""How far a faster runtime moves embeddings: a few drawn images, and what their vectors lose."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Absorbance in red, green and blue light of a purple, an eosin and a blue dye.
_DYES = ((0.58, 1.0, 0.2), (0.32, 0.88, 0.74), (1.0, 0.75, 0.12))


def draw_probe(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw patches that differ as those of smears do: in cells, stain, light, focus and noise.

    Parameters
    ----------
    side
        Of a patch, in pixels.

    Returns
    -------
    (count, side, side, 3) RGB, the same for the same arguments
    """
    random = np.random.default_rng(seed)
    return np.stack([_draw_patch(random, side) for _ in range(count)])


def _draw_patch(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    dyes = np.zeros((side, side, 3), dtype=np.float32)
    for _ in range(int(random.integers(2, 40))):
        centre = [int(c) for c in random.integers(0, side, 2)]
        axes = [max(1, int(a)) for a in side * random.uniform(0.02, 0.14, 2)]
        turn, depth = float(random.uniform(0, 180)), random.uniform(0.1, 1.1)
        shades = [float(d) for d in depth * random.dirichlet((0.6, 0.6, 0.3))]
        cv2.ellipse(dyes, centre, axes, turn, 0, 360, shades, -1, cv2.LINE_AA)
    dyes *= random.normal(1, 0.15, dyes.shape[:2])[..., None]  # chromatin
    blurred = cv2.GaussianBlur(dyes, (0, 0), side / 224 * random.uniform(0.5, 3))
    light = random.uniform(215, 255, 3) * 10 ** -(
        blurred @ (random.uniform(0.7, 1.2) * np.array(_DYES))
    )
    noisy = light + random.normal(0, random.uniform(0.5, 4), light.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def lowest_cosine(exact: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    """Compare vectors with exact ones of the same images, less the mean of the exact ones.

    What vectors of all images share dominates a plain cosine and hides what tells images apart.

    Parameters
    ----------
    exact, vectors
        (N, D)

    Returns
    -------
    The lowest cosine of the N pairs, -1 to 1; 0 where a vector is not finite
    """
    centre = exact.mean(axis=0, dtype=np.float64)
    one, other = exact - centre, vectors - centre
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    if not np.isfinite(lengths).all():
        return 0.0
    products = (one * other).sum(axis=1)
    same = np.array_equal(exact, vectors)  # also where an encoder gives all images one vector
    cosines = np.divide(products, lengths, out=np.full(len(exact), float(same)), where=lengths > 0)
    return float(np.clip(cosines, -1, 1).min())


def cosine_to_expect(exact: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    """Lowest cosine that other images have to expect: above `lowest_cosine` only by chance.

    A few drawn images do not hold the least lucky one. So the largest of their moves is taken to
    befall the embedding nearest to the mean, at the worst angle: sin(angle) = move / length.

    Parameters
    ----------
    exact, vectors
        (N, D)

    Returns
    -------
    0 to 1; 0 where a vector is not finite
    """
    lengths = np.linalg.norm(exact - exact.mean(axis=0, dtype=np.float64), axis=1)
    moves = np.linalg.norm(vectors.astype(np.float64) - exact, axis=1)
    if not np.isfinite(moves).all():
        return 0.0
    if not moves.any():
        return 1.0
    sine = moves.max() / lengths.min() if lengths.min() > 0 else np.inf
    return float(np.sqrt(max(0.0, 1 - sine**2)))


def share_moved(exact: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    """Size of the moves over the spread of the exact vectors, both as root mean squares.

    Scores move in proportion to it (`docs/benchmarks.md`, "Threads and backends").

    Parameters
    ----------
    exact, vectors
        (N, D)

    Returns
    -------
    0 or more; infinite where a vector is not finite
    """
    moves = vectors.astype(np.float64) - exact
    if not np.isfinite(moves).all():
        return float("inf")
    if not moves.any():
        return 0.0
    spread = exact.std(axis=0, dtype=np.float64)
    return float(np.sqrt((moves**2).mean()) / max(np.sqrt((spread**2).mean()), 1e-300))
