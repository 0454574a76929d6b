"""The training of SRMD's networks (`training`), and its random kernels (`kernels`)."""
