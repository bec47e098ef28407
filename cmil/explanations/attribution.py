"""Attribution by leaving instances out: a map for every model, whatever its inside."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsqr

from cmil.explanations.subset_logits import Subset

# Up to here each instance is left out on its own.
_SMALL = 64
# Larger bags: times that each instance is seen, and the parts that are scored at most.
_ROUNDS = 8
_MOST_PARTS = 2000
_SMALLEST_PART = 16
_DAMPING = 0.1

Said = Callable[[Sequence[Subset]], NDArray[np.float64]]
"""What is attributed: one number, (S,), of each of S parts of a bag, say its logit."""


def attribute(said: Said, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Attribute what is said of a patient to its instances, by asking it of parts of the bag.

    The unit is that of contributions: how far an instance moved the logit. For a model whose logit
    is a mean over instances, both agree but for a constant.

    Up to 64 instances: "combined" of Early et al. 2022 (ICLR, arXiv 2201.11701), section 3.1, the
    mean of what the logit loses without the instance and of what the instance gives alone, here
    less the mean over instances and divided by their number, to be of the same unit. Alone, either
    fails where instances repeat each other or need each other.

    More: the bag is shuffled and cut into parts of equal size, 8 times; the logit of a part is
    regressed on who is in it. These are the random masks of RISE (Petsiuk et al. 2018, arXiv
    1806.07421), balanced, with a ridge regression in place of the mean over masks, and small, since
    small coalitions tell most about a bag (MILLI, Early et al. 2022, section 3.3). A part has at
    least 16 instances, and there are about 2,000 parts at most.

    Parameters
    ----------
    said
        Says the logit, or what patients are ranked by, of parts.
    size
        N, the instances of the bag.
    rng
        Of the parts; a small bag needs none.

    Returns
    -------
    (N,) signed; 0 for a single instance.
    """
    if size == 1:
        return np.zeros(1, dtype=np.float32)
    shares = _one_by_one(said, size) if size <= _SMALL else _by_parts(said, size, rng)
    return shares.astype(np.float32)


def _one_by_one(said: Said, size: int) -> NDArray[np.float64]:
    everyone = np.arange(size)
    without = said([np.delete(everyone, i) for i in everyone])
    alone = said([everyone[i : i + 1] for i in everyone])
    lost = said([everyone]) - without
    return np.asarray((lost + (alone - alone.mean()) / size) / 2, dtype=np.float64)


def _by_parts(said: Said, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    parts_a_round = min(-(-size // _SMALLEST_PART), _MOST_PARTS // _ROUNDS)
    parts = [
        part
        for _ in range(_ROUNDS)
        for part in np.array_split(rng.permutation(size), parts_a_round)
    ]
    of_parts = said(parts)
    lengths = np.array([len(part) for part in parts])
    # A part's logit is taken for the mean of what its instances say.
    member = csr_array(
        (np.repeat(1 / lengths, lengths), np.concatenate(parts), np.cumsum([0, *lengths])),
        shape=(len(parts), size),
    )
    evidence = lsqr(member, of_parts - of_parts.mean(), damp=_DAMPING)[0]
    return np.asarray(evidence / size, dtype=np.float64)
