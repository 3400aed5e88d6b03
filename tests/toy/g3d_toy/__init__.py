"""A toy system for g3d: it finds the points of a scene that have the colour which a sentence names."""
