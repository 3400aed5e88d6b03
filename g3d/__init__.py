"""g3d: grounding language in 3D. Published systems from raw data to the published table."""

__version__ = "0.1.0"
