"""The training of the unfolding networks (`training`), its data (`examples`), and estimated kernels (`estimates`)."""
