"""Make the coasts of the page's map from Natural Earth's land, as npm's package world-atlas carries it.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python recipes/coasts.py package/land-110m.json src/araclip/server/web/assets/coasts.svg

Natural Earth 1:110m is in the public domain, world-atlas is ISC. Lines are simplified to `--tolerance` degrees (Douglas
and Peucker 1973), islands of less than `--least` square degrees left out, coordinates rounded to tenths of a degree.
"""

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Point = tuple[float, float]  # longitude, latitude
UNIT = 10  # numbers a degree


def rings(topology: dict[str, Any]) -> Iterator[list[Point]]:
    """The rings of all land, from TopoJSON: arcs of differences, quantized."""
    (scale_x, scale_y), (from_x, from_y) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs: list[list[Point]] = []
    for differences in topology["arcs"]:
        x = y = 0
        arcs.append([])
        for dx, dy in differences:
            x, y = x + dx, y + dy
            arcs[-1].append((x * scale_x + from_x, y * scale_y + from_y))
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for ring in (ring for polygon in polygons for ring in polygon):
            points: list[Point] = []
            for index in ring:
                arc = arcs[index] if index >= 0 else arcs[~index][::-1]
                points += arc[1:] if points else arc
            yield points


def unwrapped(ring: list[Point]) -> Iterator[list[Point]]:
    """A ring that does not jump at 180°, once more at the other edge where it crosses it; Antarctica as it is."""
    if min(y for _, y in ring) <= -89:
        yield ring
        return
    out = [ring[0]]
    for x, y in ring[1:]:
        turns = round((out[-1][0] - x) / 360)
        out.append((x + 360 * turns, y))
    yield out
    for over, shift in ((min(x for x, _ in out) < -180.01, 360), (max(x for x, _ in out) > 180.01, -360)):
        if over:
            yield [(x + shift, y) for x, y in out]


def simplified(points: Sequence[Point], tolerance: float) -> list[Point]:
    """The line without the points that lie within `tolerance` of it."""
    if len(points) < 3:
        return [*points]
    (x1, y1), (x2, y2) = points[0], points[-1]
    dx, dy = x2 - x1, y2 - y1
    length = (dx * dx + dy * dy) ** 0.5
    far, at = 0.0, 0
    for i, (x, y) in enumerate(points[1:-1], 1):
        away = abs(dx * (y1 - y) - dy * (x1 - x)) / length if length > 1e-6 else ((x - x1) ** 2 + (y - y1) ** 2) ** 0.5
        if away > far:
            far, at = away, i
    if far <= tolerance:
        return [points[0], points[-1]]
    return simplified(points[: at + 1], tolerance)[:-1] + simplified(points[at:], tolerance)


def area(ring: Sequence[Point]) -> float:
    """In square degrees."""
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))) / 2


def path_of(ring: list[Point], tolerance: float) -> str:
    """An SVG path of a ring, relative; empty where fewer than three points are left."""
    half = len(ring) // 2
    kept = simplified(ring[: half + 1], tolerance)[:-1] + simplified(ring[half:], tolerance)
    points: list[tuple[int, int]] = []
    for x, y in kept:
        point = (round((x + 180) * UNIT), round((90 - y) * UNIT))
        if not points or points[-1] != point:
            points.append(point)
    if points[0] == points[-1]:
        points.pop()
    if len(points) < 3:
        return ""
    steps = [b[axis] - a[axis] for a, b in pairwise(points) for axis in (0, 1)]
    written = "".join(f" {step}" if step >= 0 else str(step) for step in steps).lstrip()
    return f"M{points[0][0]} {points[0][1]}l{written}z"


def main() -> None:
    """Write the SVG, and print how large it is."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("land", type=Path, help="land-110m.json")
    options.add_argument("out", type=Path)
    options.add_argument("--tolerance", type=float, default=0.3, help="degrees (0.3)")
    options.add_argument("--least", type=float, default=1.0, help="square degrees (1)")
    args = options.parse_args()
    topology = json.loads(args.land.read_text(encoding="utf-8"))
    whole = [part for ring in rings(topology) for part in unwrapped(ring) if area(part) >= args.least]
    path = "".join(path_of(ring, args.tolerance) for ring in whole)
    note = f"Coasts of Natural Earth 1:110m (public domain), simplified to {args.tolerance}\N{DEGREE SIGN};"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg">\n  <!-- {note} tenths of a degree from 180 W, 90 N. -->\n'
        f'  <symbol id="land" viewBox="0 0 3600 1800" preserveAspectRatio="none"><path d="{path}"/></symbol>\n</svg>\n'
    )
    args.out.write_text(svg, encoding="utf-8")
    print(f"{args.out}: {len(svg):,} bytes, {len(gzip.compress(svg.encode(), 9)):,} compressed")


if __name__ == "__main__":
    main()
