"""Photographs: read and written with all that belongs to them, and upscaled with settings that suit them."""
