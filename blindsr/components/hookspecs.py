"""The hooks. A plugin's module implements some of them, each marked with `hookimpl` of `blindsr.api`."""

from collections.abc import Iterable

import pluggy

from blindsr.components.interfaces import Degradation, KernelEstimator, NonBlindSR

hookspec = pluggy.HookspecMarker("blindsr")
hookimpl = pluggy.HookimplMarker("blindsr")
"""Marks a function of a plugin module as one of the hooks: ``blindsr_kernel_estimators`` and its like."""


@hookspec
def blindsr_degradations() -> Iterable[type[Degradation]]:
    """The degradations that the plugin adds."""
    return ()


@hookspec
def blindsr_kernel_estimators() -> Iterable[type[KernelEstimator]]:
    """The kernel estimators that the plugin adds."""
    return ()


@hookspec
def blindsr_nonblind_sr() -> Iterable[type[NonBlindSR]]:
    """The non-blind SR methods that the plugin adds."""
    return ()
