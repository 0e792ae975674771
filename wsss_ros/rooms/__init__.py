"""The procedural generator of furnished rooms and of close-ups of their things."""
