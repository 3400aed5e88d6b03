"""Operators compiled when first used, one file each; g3d/ops holds their faces."""
