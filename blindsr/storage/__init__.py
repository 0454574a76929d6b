"""The output folder: finished steps, results, images, and what keeps them whole."""
