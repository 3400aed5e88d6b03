"""Name the packages: all of g3d/, and kernels/ and presets/, which are installed as g3d.kernels and g3d.presets."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["g3d", "g3d.*"]), "g3d.kernels", "g3d.presets"],
    package_dir={"g3d.kernels": "kernels", "g3d.presets": "presets"},
)
