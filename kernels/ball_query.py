"""Ball query: for each centre, the first `k` points within `radius`, in index order.

PointNet++ (Qi et al. 2017, section 3.3), with the published operator's rules: the distance test is strict, dx*dx +
dy*dy + dz*dz in float32, unfused, against the float32 square of the float32 radius; unused slots repeat the first hit,
and a centre without a hit gets the cloud's first point in every slot. With `repeat` off, unused slots are -1 (the rule
of facebookresearch/pytorch3d).

Shapes: T points and Q centres of B clouds, k slots; `offsets` and `centre_offsets` (B + 1,) int64 are the rows at which
    the clouds begin and end. Coordinates in metres, any frame.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange

_AT_ONCE = 2**22  # distances that the reference holds in memory at once
_CHUNK = 64  # centres per work item of a thread
_CELLS_PER_POINT = 8


def squared(radius: float) -> float:
    """Return the distance threshold: float32(radius) squared in float32."""
    return float(np.float32(radius) * np.float32(radius))


def reference(
    points: Tensor, offsets: Tensor, centres: Tensor, centre_offsets: Tensor, radius: float, k: int, repeat: bool
) -> Tensor:
    """Return int64 (Q, k), rows of `points` (T, 3) or -1, for `centres` (Q, 3), in plain PyTorch."""
    found = torch.empty(len(centres), k, dtype=torch.int64, device=points.device)
    rows, centre_rows = offsets.tolist(), centre_offsets.tolist()
    for cloud, begin in enumerate(rows[:-1]):
        x, y, z = points[begin : rows[cloud + 1]].unbind(1)
        count = len(x)
        own = slice(centre_rows[cloud], centre_rows[cloud + 1])
        chunk = max(1, _AT_ONCE // max(1, count))
        for centre, slots in zip(centres[own].split(chunk), found[own].split(chunk), strict=True):
            dx, dy, dz = x - centre[:, :1], y - centre[:, 1:2], z - centre[:, 2:]
            inside = dx * dx + dy * dy + dz * dz < squared(radius)
            hits = torch.where(inside, torch.arange(count, device=points.device), count)
            hits = F.pad(hits.topk(min(k, count), largest=False).values, (0, max(0, k - count)), value=count)
            first = torch.where(hits[:, :1] < count, hits[:, :1], 0)
            slots.copy_(torch.where(hits < count, begin + hits, begin + first if repeat else -1))
    return found


@kernel(parallel=True)
def cpu(
    points: np.ndarray,
    offsets: np.ndarray,
    centres: np.ndarray,
    centre_offsets: np.ndarray,
    radius: np.float32,
    repeat: bool,
    found: np.ndarray,
) -> None:
    """Fill `found` (Q, k); points and centres are finite.

    The points are sorted into cells in parallel over clouds, and searched in parallel over chunks of centres.
    """
    clouds = len(offsets) - 1
    grids, shapes, first_cells = np.empty((clouds, 4)), np.empty((clouds, 3), np.int64), np.empty(clouds + 1, np.int64)
    for cloud in prange(clouds):
        _measure(points[offsets[cloud] : offsets[cloud + 1]], radius, grids[cloud], shapes[cloud])
    starts = _no_starts(shapes, first_cells)
    ordered, rows = np.empty(points.shape, np.float32), np.empty(len(points), np.int32)
    for cloud in prange(clouds):
        begin, end = offsets[cloud], offsets[cloud + 1]
        own_starts = starts[first_cells[cloud] : first_cells[cloud + 1]]
        _sort(points[begin:end], grids[cloud], shapes[cloud], own_starts, ordered[begin:end], rows[begin:end])
    for cloud in range(clouds):
        begin, end, own_starts = offsets[cloud], offsets[cloud + 1], starts[first_cells[cloud] : first_cells[cloud + 1]]
        own, own_ordered, own_rows, grid, shape = (
            points[begin:end],
            ordered[begin:end],
            rows[begin:end],
            grids[cloud],
            shapes[cloud],
        )
        for chunk in prange((centre_offsets[cloud + 1] - centre_offsets[cloud] + _CHUNK - 1) // _CHUNK):
            first = centre_offsets[cloud] + chunk * _CHUNK
            for q in range(first, min(first + _CHUNK, centre_offsets[cloud + 1])):
                hits = _search(own, grid, shape, own_starts, own_ordered, own_rows, centres[q], radius, found[q])
                _finish(found[q], hits, begin, repeat)


@part()
def _no_starts(shapes: np.ndarray, first_cells: np.ndarray) -> np.ndarray:
    """Return zeros for the cells of all clouds plus one per cloud, and fill `first_cells` with each cloud's start."""
    first_cells[0] = 0
    for cloud in range(len(shapes)):
        first_cells[cloud + 1] = first_cells[cloud] + shapes[cloud, 0] * shapes[cloud, 1] * shapes[cloud, 2] + 1
    return np.zeros(first_cells[-1], np.int32)


@part()
def _finish(slots: np.ndarray, hits: int, begin: int, repeat: bool) -> None:
    """Convert indices in a cloud to rows and fill the unused slots."""
    for slot in range(hits):
        slots[slot] += begin
    filler = -1
    if repeat:
        filler = slots[0] if hits else begin
    for slot in range(hits, len(slots)):
        slots[slot] = filler


@part()
def _measure(points: np.ndarray, radius: np.float32, grid: np.ndarray, shape: np.ndarray) -> None:
    """Choose the cell grid of a cloud: fill `grid` with its origin x, y, z and the cells per metre, `shape` with its
    size. A cell is a cube with the radius as its edge, or larger if there would be many more cells than points."""
    shape[:] = 1
    grid[:] = 0
    if len(points) == 0:
        return
    extents = np.empty(3)
    for axis in range(3):
        low, high = points[0, axis], points[0, axis]
        for i in range(len(points)):
            low, high = min(low, points[i, axis]), max(high, points[i, axis])
        grid[axis], extents[axis] = low, np.float64(high) - low
    size = max(np.float64(radius), extents.max() / 1e6, 1e-30)
    most = min(_CELLS_PER_POINT * len(points) + 64, 2**30)
    while (extents[0] / size + 1) * (extents[1] / size + 1) * (extents[2] / size + 1) > most:
        size *= 1.25
    grid[3] = 1 / size
    for axis in range(3):
        shape[axis] = np.int64(extents[axis] * grid[3]) + 1


@part()
def _cell(point: np.ndarray, grid: np.ndarray, shape: np.ndarray) -> int:
    x, y, z = (point[0] - grid[0]) * grid[3], (point[1] - grid[1]) * grid[3], (point[2] - grid[2]) * grid[3]
    return (np.int64(x) * shape[1] + np.int64(y)) * shape[2] + np.int64(z)


@part()
def _sort(
    points: np.ndarray, grid: np.ndarray, shape: np.ndarray, starts: np.ndarray, ordered: np.ndarray, rows: np.ndarray
) -> None:
    """Sort the points by cell: ordered[starts[c]:starts[c + 1]] are the points of cell c, in index order, and `rows`
    holds their indices."""
    cells = np.empty(len(points), np.int32)
    for i in range(len(points)):
        cells[i] = _cell(points[i], grid, shape)
        starts[cells[i]] += 1
    total = 0
    for cell in range(len(starts)):
        total += starts[cell]
        starts[cell] = total
    for i in range(len(points) - 1, -1, -1):
        slot = starts[cells[i]] - 1
        starts[cells[i]], rows[slot] = slot, i
        for axis in range(3):
            ordered[slot, axis] = points[i, axis]


@part()
def _search(
    points: np.ndarray,
    grid: np.ndarray,
    shape: np.ndarray,
    starts: np.ndarray,
    ordered: np.ndarray,
    rows: np.ndarray,
    centre: np.ndarray,
    radius: np.float32,
    slots: np.ndarray,
) -> int:
    """Write the first hits to `slots`, ascending, and return their number.

    The search by cells tests all of their points and finds hits out of order. The scan in index order stops when the
    slots are full, which is soon if the ball contains much of the cloud. The cheaper of the two is used.
    """
    x0, x1 = _span(centre, 0, radius, grid, shape)
    y0, y1 = _span(centre, 1, radius, grid, shape)
    z0, z1 = _span(centre, 2, radius, grid, shape)
    candidates = 0
    for x in range(x0, x1):
        for y in range(y0, y1):
            line = (x * shape[1] + y) * shape[2]
            candidates += starts[line + z1] - starts[line + z0]
    if 0.3 * candidates * candidates > len(points) * len(slots):  # about a third of the candidates are hits
        return _scan(points, centre, radius, slots)
    hits = 0
    for x in range(x0, x1):
        for y in range(y0, y1):
            line = (x * shape[1] + y) * shape[2]
            for i in range(starts[line + z0], starts[line + z1]):
                if _inside(ordered[i], centre, radius):
                    hits = _insert(slots, hits, rows[i])
    return hits


@part()
def _span(centre: np.ndarray, axis: int, radius: np.float32, grid: np.ndarray, shape: np.ndarray) -> tuple[int, int]:
    """Return first and end of the cells first..end - 1 of an axis that can contain hits: those of the ball, with a
    margin above the rounding error of the radius."""
    middle, reach = np.float64(centre[axis]) - grid[axis], radius * 1.000001 + 1e-18
    first = np.int64(min(max((middle - reach) * grid[3], 0.0), shape[axis]))
    end = np.int64(min((middle + reach) * grid[3], shape[axis] - 1.0)) + 1 if middle + reach >= 0 else 0
    return first, max(first, end)


@part()
def _scan(points: np.ndarray, centre: np.ndarray, radius: np.float32, slots: np.ndarray) -> int:
    hits = 0
    for i in range(len(points)):
        if _inside(points[i], centre, radius):
            slots[hits] = i
            hits += 1
            if hits == len(slots):
                break
    return hits


@part()
def _inside(point: np.ndarray, centre: np.ndarray, radius: np.float32) -> bool:
    dx, dy, dz = point[0] - centre[0], point[1] - centre[1], point[2] - centre[2]
    return dx * dx + dy * dy + dz * dz < radius * radius


@part()
def _insert(slots: np.ndarray, hits: int, row: int) -> int:
    """Insert a row into the ascending slots[:hits], dropping the last if they are full; return the new number of
    hits."""
    if hits == len(slots):
        if row > slots[hits - 1]:
            return hits
        hits -= 1
    place = hits
    while place > 0 and slots[place - 1] > row:
        slots[place] = slots[place - 1]
        place -= 1
    slots[place] = row
    return hits + 1
