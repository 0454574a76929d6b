"""Images and SR kernels: files, resizing, degrading, metrics."""
