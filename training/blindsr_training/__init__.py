"""Trainings of the networks that blindsr's plugins ship. Neither blindsr nor the plugins import this package.

Each training is a command: ``python -m blindsr_training.srmd --help``. What they share: `photographs` (images in memory, random
patches, the choice of held-out images), `kernels` (random SR kernels, and LR images made with them), `optimizer` (Muon),
and `resumable` (a training's state on disk, its log).
"""
