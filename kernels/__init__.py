"""Kernels of the operators, one file each, compiled at first use; g3d/ops holds the operators' public functions."""
