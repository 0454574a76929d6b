"""The training of the unfolding networks (`training`), its data (`examples`), and kernelnet's estimates (`estimated_kernels`)."""
