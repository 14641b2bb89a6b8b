"""Draws characters of scripts that do not exist: smooth strokes, written by many writers, anti-aliased.

A script is a style: how many strokes, how they bend, how straight, upright and wide its characters are. A character is
up to four strokes; each is a walk of control points whose heading turns steadily, which gives hooks, arcs, loops and
zigzags, and most strokes start on one that is already there. Every writer has a slant, pen and care, and every drawing
has control points and a pose of its own.

Ink is the line integral of a Gaussian pen along the strokes. A Gaussian factorises into rows and columns, so an image
is one matrix product [H, points] x [points, W] and needs no distance field. All in float64: results agree between
machines to far below one grey level, so the uint8 pixels are the same everywhere.

Shapes: G scripts, C characters, H writers, S strokes, K control points of a stroke, P points of all strokes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STROKES = 4
CONTROLS = 5
SAMPLES = 12
"""Points drawn between two control points."""
CHUNK = 32
"""Images drawn at a time: few enough to stay in the processor's cache; changes no pixel."""


@dataclass(frozen=True, kw_only=True)
class _Style:
    """What the characters of a script have in common; every array is [G]."""

    strokes: np.ndarray
    """Mean number of strokes."""
    bend: np.ndarray
    """Typical turn of the heading at a control point, in radians."""
    straight: np.ndarray
    """0: curves, 1: straight lines between control points."""
    grid: np.ndarray
    """How strongly headings keep to the horizontal, the vertical and the diagonals."""
    attach: np.ndarray
    """How likely a stroke starts on an earlier one."""
    aspect: np.ndarray
    """Width over height."""
    slant: np.ndarray
    """Shear of the whole script."""


def script_sizes(num_classes: int, num_scripts: int) -> np.ndarray:
    """[G] characters of each script, as equal as can be."""
    return np.full(num_scripts, num_classes // num_scripts) + (np.arange(num_scripts) < num_classes % num_scripts)


def draw_glyphs(*, num_classes: int, num_scripts: int, writers: int, image_size: int, seed: int) -> np.ndarray:
    """[C * H, 1, image_size, image_size] uint8 drawings, character by character; ink is 255, paper 0."""
    rng = np.random.default_rng([seed, num_classes, num_scripts, writers])
    script = np.repeat(np.arange(num_scripts), script_sizes(num_classes, num_scripts))
    controls, count, straight = _characters(rng, _styles(rng, num_scripts), script)
    controls, pen = _write(rng, controls, script, writers)
    count, straight = np.repeat(count, writers), np.repeat(straight, writers)
    pixels = np.empty((num_classes * writers, 1, image_size, image_size), np.uint8)
    for strokes in range(1, STROKES + 1):
        alike = np.flatnonzero(count == strokes)
        for part in (alike[i : i + CHUNK] for i in range(0, len(alike), CHUNK)):
            ink = _ink(_curves(controls[part, :strokes], straight[part]), pen[part], image_size)
            pixels[part, 0] = np.rint(ink * 255)
    return pixels


def _styles(rng: np.random.Generator, num_scripts: int) -> _Style:
    angular = rng.random(num_scripts) < 0.3
    return _Style(
        strokes=rng.uniform(1.7, 3.3, num_scripts),
        bend=np.where(angular, rng.uniform(0.9, 1.6, num_scripts), rng.uniform(0.3, 1.0, num_scripts)),
        straight=np.where(angular, rng.uniform(0.7, 1.0, num_scripts), rng.uniform(0.0, 0.3, num_scripts)),
        grid=np.where(angular, rng.uniform(0.6, 0.95, num_scripts), rng.uniform(0.0, 0.5, num_scripts)),
        attach=rng.uniform(0.4, 0.95, num_scripts),
        aspect=rng.uniform(0.7, 1.25, num_scripts),
        slant=rng.normal(0, 0.12, num_scripts),
    )


def _characters(rng: np.random.Generator, style: _Style, script: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ideal characters.

    Returns:
        controls: [C, S, K, 2] control points (x, y), each character filling about [-1, 1] x [-1, 1], y downwards.
        count: [C] strokes of each character: its first ones are drawn.
        straight: [C] how far its lines are straight.
    """
    num = len(script)
    count = np.clip(np.rint(style.strokes[script] + rng.normal(0, 0.7, num)), 1, STROKES).astype(int)

    # Down, right and the diagonal between are where a pen likes to go; y points down.
    liked = np.array([0.5, 0.0, 0.25, 0.75]) * np.pi
    heading = rng.choice(liked, (num, STROKES), p=[0.4, 0.3, 0.15, 0.15]) + rng.normal(0, 0.35, (num, STROKES))
    bend = style.bend[script][:, None] * rng.choice([-1, 1], (num, STROKES)) * rng.gamma(2.0, 0.5, (num, STROKES))
    wiggle = rng.random((num, STROKES)) < 0.2  # these turn to and fro instead of round
    signs = np.where(wiggle[..., None], (-1.0) ** np.arange(CONTROLS - 1), 1.0)
    turns = bend[..., None] * signs + rng.normal(0, 0.25, (num, STROKES, CONTROLS - 1))
    headings = heading[..., None] + np.cumsum(turns, -1) - turns[..., :1]
    eighth = np.rint(headings / (np.pi / 4)) * (np.pi / 4)
    headings += style.grid[script][:, None, None] * (eighth - headings)
    length = rng.uniform(0.55, 1.0, (num, STROKES, 1)) * rng.uniform(0.4, 1.0, (num, STROKES, CONTROLS - 1))
    steps = length[..., None] * np.stack([np.cos(headings), np.sin(headings)], -1)
    walks = np.concatenate([np.zeros((num, STROKES, 1, 2)), np.cumsum(steps, 2)], 2)
    walks -= walks.mean(2, keepdims=True)

    everyone = np.arange(num)
    for stroke in range(1, STROKES):
        onto = walks[everyone, rng.integers(0, stroke, num), rng.choice(CONTROLS, num, p=[0.3, 0.15, 0.1, 0.15, 0.3])]
        own = walks[everyone, stroke, rng.choice([0, 2, CONTROLS - 1], num, p=[0.65, 0.15, 0.2])]
        attached = (rng.random(num) < style.attach[script])[:, None]
        move = np.where(attached, onto - own, rng.uniform(-0.9, 0.9, (num, 2)))
        walks[:, stroke] += move[:, None]

    visible = (np.arange(STROKES) < count[:, None])[:, :, None, None]
    low = np.where(visible, walks, np.inf).min((1, 2))[:, None, None]
    high = np.where(visible, walks, -np.inf).max((1, 2))[:, None, None]
    centred = walks - (low + high) / 2
    largest = (high - low).max(-1, keepdims=True)
    fitted = centred * 2 / np.maximum(largest, 0.8)
    aspect = np.sqrt(style.aspect[script])[:, None, None]
    fitted[..., 0] = fitted[..., 0] * aspect - style.slant[script][:, None, None] * fitted[..., 1]
    fitted[..., 1] /= aspect
    return fitted, count, style.straight[script]


def _write(rng: np.random.Generator, controls: np.ndarray, script: np.ndarray, writers: int) -> tuple[np.ndarray, np.ndarray]:
    """Lets every writer write every character.

    Args:
        controls: [C, S, K, 2]; script: [C].

    Returns:
        controls: [C * H, S, K, 2] in units of the image's half side.
        pen: [C * H] standard deviation of the pen, in the same units.
    """
    num, num_scripts = len(controls), int(script.max()) + 1
    slant = rng.normal(0, 0.13, (num_scripts, writers))[script]
    pen = 0.053 * np.exp(rng.normal(0, 0.16, (num_scripts, writers))[script] + rng.normal(0, 0.06, (num, writers)))
    care = 0.07 * np.exp(rng.normal(0, 0.3, (num_scripts, writers))[script])

    points = np.repeat(controls[:, None], writers, axis=1)  # [C, H, S, K, 2]
    loose = care[..., None, None, None]
    points = points + 0.8 * loose * rng.normal(size=points.shape)
    points = points + 1.3 * loose * rng.normal(size=(num, writers, STROKES, 1, 2))  # a stroke moves as a whole, too
    angle = rng.normal(0, 0.15, (num, writers))
    scale = 0.7 * np.exp(rng.normal(0, 0.12, (num, writers, 1)) + rng.normal(0, 0.09, (num, writers, 2)))
    cos, sin, shear = np.cos(angle), np.sin(angle), slant + rng.normal(0, 0.09, (num, writers))
    pose = np.stack([np.stack([cos, -sin - shear * cos], -1), np.stack([sin, cos - shear * sin], -1)], -2)
    points = np.einsum("chij,chskj->chski", pose * scale[:, :, None], points)
    points = np.clip(points, -0.95, 0.95)
    reach = points.reshape(num, writers, -1, 2)
    room = np.maximum(0.0, 0.9 - np.abs(reach).max(2))
    points += (np.clip(rng.normal(0, 0.14, (num, writers, 2)), -room, room))[:, :, None, None]
    return points.reshape(num * writers, STROKES, CONTROLS, 2), pen.reshape(-1)


def _curves(controls: np.ndarray, straight: np.ndarray) -> np.ndarray:
    """Points along each stroke, [N, S, (K - 1) * SAMPLES + 1, 2]: between Catmull-Rom splines and straight lines."""
    first, last = 2 * controls[:, :, :1] - controls[:, :, 1:2], 2 * controls[:, :, -1:] - controls[:, :, -2:-1]
    padded = np.concatenate([first, controls, last], 2)
    before, start, end, after = (padded[:, :, i : i + CONTROLS - 1, None] for i in range(4))
    t = (np.arange(SAMPLES) / SAMPLES)[:, None]
    line = start + t * (end - start)
    spline = 0.5 * (
        2 * start
        + t * (end - before)
        + t**2 * (2 * before - 5 * start + 4 * end - after)
        + t**3 * (3 * start - 3 * end + after - before)
    )
    curve = spline + straight[:, None, None, None, None] * (line - spline)
    return np.concatenate([curve.reshape(*curve.shape[:2], -1, 2), controls[:, :, -1:]], 2)


def _ink(curves: np.ndarray, pen: np.ndarray, image_size: int) -> np.ndarray:
    """[N, image_size, image_size] ink in 0..1.

    Args:
        curves: [N, S, P / S, 2] points in -1..1; pen: [N].
    """
    num = len(curves)
    middles = ((curves[:, :, 1:] + curves[:, :, :-1]) / 2).reshape(num, -1, 2)
    lengths = np.linalg.norm(curves[:, :, 1:] - curves[:, :, :-1], axis=-1).reshape(num, 1, -1)
    centres = (2 * np.arange(image_size) + 1) / image_size - 1
    away = (centres[:, None] - middles.transpose(0, 2, 1)[:, :, None]) / pen[:, None, None, None]  # [N, 2, side, P]
    columns, rows = np.moveaxis(np.exp(-0.5 * away**2), 1, 0)
    # Along a straight line the integral is pen * sqrt(2 pi) on the line itself: dividing makes that 1.
    dose = (rows * lengths) @ columns.transpose(0, 2, 1) / (pen * np.sqrt(2 * np.pi))[:, None, None]
    ink: np.ndarray = np.clip((_sigmoid(9 * dose - 4.5) - _sigmoid(-4.5)) / (_sigmoid(4.0) - _sigmoid(-4.5)), 0, 1)
    return ink


def _sigmoid(x: np.ndarray | float) -> np.ndarray:
    value: np.ndarray = 1 / (1 + np.exp(-np.asarray(x)))
    return value
