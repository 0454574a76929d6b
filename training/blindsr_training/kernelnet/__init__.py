"""The training of kernelnet's network (`training`), its data (`crops`), and what its answers are worth (`calibrate`)."""
