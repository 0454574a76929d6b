"""A run context for estimators that are to warn of nothing."""

import numpy as np
import torch


class Run:
    """A run context that records curves and progress, and fails at a warning."""

    device = "cpu"

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.done, self.curves = [], {}

    def progress(self, done, total):
        self.done.append((done, total))

    def log(self, name, step, value):
        self.curves.setdefault(name, []).append((step, value))

    def warn(self, text):
        raise AssertionError(text)
