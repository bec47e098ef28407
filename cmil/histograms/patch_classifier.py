"""Tell a single instance's class, learnt from labels that instances inherit from their patient."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from cmil.histograms.instance_sample import blocks, weighted_moments


@dataclass(frozen=True)
class PatchClassifier:
    """Linear classifier of instances, on embeddings as they are.

    Attributes
    ----------
    weight, bias
        (C, D) and (C,) float32.
    """

    weight: Tensor
    bias: Tensor

    def likelihoods(self, instances: Tensor) -> NDArray[np.float32]:
        """Likelihood of each class for each instance.

        Parameters
        ----------
        instances
            (N, D) in any floating type.

        Returns
        -------
        (N, C), rows summing to 1.
        """
        parts = [
            torch.softmax(instances[part].float() @ self.weight.T + self.bias, dim=1)
            for part in blocks(len(instances))
        ]
        return torch.cat(parts).numpy()


def fit_patch_classifiers(
    instances: Tensor, truth: NDArray[np.int64], weights: NDArray[np.float32], penalty: float
) -> list[PatchClassifier]:
    """Fit softmax regressions that differ in how they weight the same instances.

    Each minimises sum_i w_i * cross-entropy_i + penalty * D / 2 * |u|^2, u being the weights for
    embeddings standardised as the w_i weight them; the intercept is free. With D in it, one
    penalty serves short and long embeddings: it bounds logits, not single weights. A weight of
    0 hides an instance altogether. All are solved together by L-BFGS, as reading the instances
    is what takes time: six cost hardly more than one.

    Parameters
    ----------
    instances
        (M, D) float32.
    truth
        (M,) inherited class of each, 0 .. C-1.
    weights
        (M, F), non-negative, one column for each classifier.

    Returns
    -------
    F classifiers, in the order of the columns.
    """
    fits, classes, width = weights.shape[1], int(truth.max()) + 1, instances.shape[1]
    w, ridge = torch.from_numpy(weights), penalty * width
    mean, spread = weighted_moments(instances, w)
    wanted = torch.nn.functional.one_hot(torch.from_numpy(truth), classes).float()

    def on_embeddings(parameters: Tensor) -> tuple[Tensor, Tensor]:
        """(F, C, D + 1) for standardised embeddings, to (F, C, D) and (F, C) for raw ones."""
        slope = parameters[..., :-1] / spread[:, None]
        return slope, parameters[..., -1] - (slope * mean[:, None]).sum(dim=-1)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        parameters = torch.from_numpy(flat).reshape(fits, classes, width + 1)
        slope, bias = on_embeddings(parameters)
        loss = ridge / 2 * float(parameters[..., :-1].square().sum())
        pull = torch.zeros(fits * classes, width)
        total = torch.zeros(fits, classes)
        matrix = slope.float().reshape(-1, width)
        for part in blocks(len(instances)):
            x = instances[part]
            logits = (x @ matrix.T).reshape(-1, fits, classes) + bias.float()
            logs = torch.log_softmax(logits, dim=-1)
            loss -= float((w[part, :, None] * wanted[part, None] * logs).sum(dtype=torch.double))
            surplus = w[part, :, None] * (logs.exp() - wanted[part, None])
            pull += surplus.reshape(len(x), -1).T @ x
            total += surplus.sum(dim=0)
        gradient = torch.empty_like(parameters)
        pulled = pull.reshape(fits, classes, width) - total[..., None] * mean[:, None]
        gradient[..., :-1] = pulled / spread[:, None] + ridge * parameters[..., :-1]
        gradient[..., -1] = total
        return loss, gradient.numpy().ravel()

    start = np.zeros(fits * classes * (width + 1))
    options = {"maxiter": 500, "ftol": 1e-7, "gtol": 1e-4}
    solved = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    slope, bias = on_embeddings(torch.from_numpy(solved).reshape(fits, classes, width + 1))
    return [PatchClassifier(slope[f].float(), bias[f].float()) for f in range(fits)]
