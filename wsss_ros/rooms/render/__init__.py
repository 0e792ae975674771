"""Rendering of a furnished room: ray casting, textures, light, and the faults of a real RGB-D camera."""
