"""Kernels of many photographs, and kernel files of other tools: pools, conversion, and what may be wrong with a kernel."""
