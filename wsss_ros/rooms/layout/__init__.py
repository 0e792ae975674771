"""Plans of rooms: where each piece of furniture is.

A room is axis-aligned with one corner of its floor at the origin, x in 0..width, y in 0..depth, z up, metres. Pieces
are placed one after another and keep clear of each other: two pieces collide when their rectangles on the floor overlap
and their height ranges do, too. ``recipes.RECIPES`` lists what each kind of room holds; a further kind is a further row
there and in the style's ``rooms``.
"""
