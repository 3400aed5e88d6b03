"""Formats of scans that g3d does not read, with a way to convert each."""

from __future__ import annotations

from pathlib import Path

_BLENDER = "in Blender, import it and export glTF 2.0 (.glb)"
_CLOUDCOMPARE = "in CloudCompare, open it and save it as PLY or LAS"
_ADVICE = {
    ".fbx": _BLENDER,
    ".dae": _BLENDER,
    ".3ds": _BLENDER,
    ".x3d": _BLENDER,
    ".wrl": _BLENDER,
    ".abc": _BLENDER,
    ".usd": _BLENDER,
    ".usda": _BLENDER,
    ".usdc": _BLENDER,
    ".usdz": _BLENDER,
    ".blend": "in Blender, open it and export glTF 2.0 (.glb)",
    ".3mf": "in a slicer or in Blender, export it as STL or OBJ",
    ".dxf": "in Blender or FreeCAD, export its surfaces as OBJ",
    ".dwg": "in a CAD program, export its surfaces as OBJ or STL",
    ".step": "in FreeCAD, export it as OBJ or STL",
    ".stp": "in FreeCAD, export it as OBJ or STL",
    ".iges": "in FreeCAD, export it as OBJ or STL",
    ".skp": "in SketchUp, export it as OBJ or glTF (.glb)",
    ".max": "in 3ds Max, export it as OBJ",
    ".ifc": "run IfcConvert (IfcOpenShell): IfcConvert model.ifc model.glb",
    ".e57": "in CloudCompare, open it and save it as PLY or LAS (or use pye57 in Python)",
    ".pcd": "run pcl_pcd2ply, or in CloudCompare, open it and save it as PLY",
    ".ptx": _CLOUDCOMPARE,
    ".pts": _CLOUDCOMPARE,
    ".asc": "rename it to .xyz if its columns are x y z",
    ".csv": "rename it to .xyz if its columns are x y z",
    ".pcg": _CLOUDCOMPARE,
    ".fls": "in FARO SCENE, export it as E57, then convert this in CloudCompare to PLY or LAS",
    ".rcp": "in Autodesk ReCap, export it as E57, then convert this in CloudCompare to PLY or LAS",
    ".rcs": "in Autodesk ReCap, export it as E57, then convert this in CloudCompare to PLY or LAS",
    ".vtk": "in ParaView, save its surface as PLY",
    ".vtp": "in ParaView, save its surface as PLY",
    ".splat": "a splat has no surface: export a mesh (PLY, OBJ or GLB) from the program that made it",
    ".bin": "save its points as NPZ: np.savez('scan.npz', points=xyz, colors=rgb)",
    ".pth": "save its points as NPZ: np.savez('scan.npz', points=xyz, colors=rgb)",
    ".h5": "save its points as NPZ: np.savez('scan.npz', points=xyz, colors=rgb)",
    ".sens": "g3d reads meshes and clouds, not recordings: reconstruct a mesh first (BundleFusion, Open3D)",
    ".zip": "unpack it",
    ".gz": "unpack it",
}
"""Advice by the suffix of a file."""


def how_to_convert(path: Path) -> str | None:
    """Return advice how to convert a file into a format that g3d reads; None for an unknown suffix."""
    suffix = path.suffix.lower()
    return f"to convert a {suffix} file: {_ADVICE[suffix]}" if suffix in _ADVICE else None
