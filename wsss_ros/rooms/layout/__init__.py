"""Plans of rooms: the place of each piece of furniture.

A room is axis-aligned with one corner of its floor at the origin, x in 0..width, y in 0..depth, z up, metres. Pieces
are placed one after another, so that they do not collide: two pieces collide when both their rectangles on the floor
and their height ranges overlap. ``recipes.RECIPES`` lists the pieces of each kind of room; to add a kind, add a row
there and in the style's ``rooms``.
"""
