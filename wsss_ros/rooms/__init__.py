"""The procedural generator of furnished rooms, and of close-ups of the objects in them."""
