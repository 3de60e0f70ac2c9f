"""The demo world: does the picture show what the target and the mask say?"""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapsight.data.rooms import ROOMS, drive
from shapsight.data.rooms.build import atlas_of, build
from shapsight.data.rooms.camera import Camera
from shapsight.data.rooms.catalogue import CATALOGUE
from shapsight.data.rooms.drive import LOOK_AHEAD, Pose, camera_at, target
from shapsight.data.rooms.render import render
from shapsight.data.rooms.surfaces import Surface, pack
from shapsight.data.rooms.track import HALF_WIDTH, track
from shapsight.data.rooms.worlds import WORLDS
from shapsight.errors import DataError

POSES = [
    Pose(float(position), offset, turned)
    for position, offset, turned in zip(
        np.linspace(0, 0.9, 7),
        [0, 0.1, -0.1, 0.05, 0, -0.13, 0.13],
        [0, 0.2, -0.2, 0.1, -0.3, 0, 0.05],
        strict=True,
    )
]


@pytest.fixture(scope="module")
def bare():
    """Every room without its furniture, and with coarse pictures on floor and walls, which are not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        for part in ("FLOOR", "WALL", "CEILING"):
            patch.setattr(f"shapsight.data.rooms.build.{part}_TEXEL", 0.03)
        return {name: build(dataclasses.replace(room, pieces=())) for name, room in CATALOGUE.items()}


def rotation(camera):
    """World to camera (right, down, forward), from elementary rotations."""
    c, s = np.cos(-camera.heading), np.sin(-camera.heading)
    level = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    swap = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    c, s = np.cos(camera.pitch), np.sin(camera.pitch)
    dip = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return dip @ swap @ level


def rays(camera):
    """The direction of every pixel's middle in the world, with depth 1."""
    middle = (np.arange(camera.size) + 0.5 - camera.size / 2) / camera.focal
    x, y = np.meshgrid(middle, middle)
    return np.stack([x, y, np.ones_like(x)], axis=-1) @ rotation(camera)


def on_floor(camera):
    """Where every pixel's ray meets the floor, NaN above the horizon, and how large a pixel is there."""
    direction = rays(camera)
    depth = np.where(direction[..., 2] < -1e-6, -camera.position[2] / direction[..., 2], np.nan)
    points = np.array(camera.position)[:2] + depth[..., None] * direction[..., :2]
    # One pixel down moves the point by depth² / (focal · height).
    return points, depth**2 / (camera.focal * camera.position[2])


def from_centre_line(points):
    line = track().points
    flat = points.reshape(-1, 2)
    distance = [
        np.sqrt(((part[:, None] - line[None]) ** 2).sum(-1).min(1)) for part in np.array_split(flat, 40)
    ]
    return np.concatenate(distance).reshape(points.shape[:-1])


def passes_through(piece, camera, direction, end):
    """Which rays meet the box around a piece of furniture before `end`: slab by slab."""
    turn = np.deg2rad(piece.turn)
    axes = np.array([[np.sin(turn), -np.cos(turn), 0], [np.cos(turn), np.sin(turn), 0], [0, 0, 1]])
    margin = np.array([0.5 * piece.size[0], 0.5 * piece.size[0], 0.02])
    start = axes @ (np.array(camera.position) - [*piece.at, piece.size[2] / 2])
    along = direction @ axes.T
    near, far = np.full(along.shape[:-1], 0.0), end.copy()
    for axis in range(3):
        half = piece.size[axis] / 2 + margin[axis]
        with np.errstate(divide="ignore"):
            sides = np.sort(
                [(-half - start[axis]) / along[..., axis], (half - start[axis]) / along[..., axis]], axis=0
            )
        near, far = np.maximum(near, sides[0]), np.minimum(far, sides[1])
    return near < far


@given(
    heading=st.floats(-4, 4),
    pitch=st.floats(-0.5, 0.5),
    x=st.floats(-1, 1),
    y=st.floats(-1, 1),
    depth=st.floats(0.1, 9),
)
@settings(max_examples=50, deadline=None)
def test_a_point_on_a_ray_projects_to_the_pixel_of_the_ray(heading, pitch, x, y, depth):
    camera = Camera((0.3, -0.2, 0.2), heading, pitch, 64)
    seen = np.array([x, y, 1.0]) * depth
    point = np.array(camera.position) + rotation(camera).T @ seen
    np.testing.assert_allclose(camera.project(point), 32 + camera.focal * np.array([x, y]), atol=1e-6)


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(Camera((0, 0, 0.2), 0.0, 0.0, 64).project(np.array([-1.0, 0.0, 0.2]))).all()


def test_a_point_mirrored_at_the_cameras_middle_has_the_mirrored_x():
    camera = Camera((0.0, 0.0, 0.2), 0.0, 0.1, 96)
    left, right = camera.project(np.array([[1.0, 0.3, 0.1], [1.0, -0.3, 0.1]]))
    np.testing.assert_allclose([right[0], right[1]], [96 - left[0], left[1]])
    np.testing.assert_allclose(camera.slopes(2), -camera.slopes(2)[::-1])


@pytest.mark.parametrize("pose", POSES)
def test_the_target_is_the_point_half_a_metre_ahead_on_the_centre_line(pose):
    camera = camera_at(pose, 128, 0.2, 0.1)
    line = track().points
    foot = np.array(camera.position[:2])
    start = round(pose.position * len(line))
    assert np.linalg.norm(foot - line[start % len(line)]) == pytest.approx(abs(pose.offset), abs=0.01)
    around = line[(start + np.arange(400)) % len(line)]
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(around, axis=0), axis=1))])
    ahead = around[np.searchsorted(travelled, LOOK_AHEAD)]
    seen = rotation(camera) @ (np.array([*ahead, 0.0]) - camera.position)
    expected = 64 + camera.focal * seen[:2] / seen[2]
    np.testing.assert_allclose(target(camera, pose), expected, atol=1.0)


@pytest.mark.parametrize("pose", POSES)
def test_driven_the_other_way_the_target_lies_half_a_metre_back_along_the_line(pose):
    other = pose._replace(way=-1)
    camera = camera_at(other, 128, 0.2, 0.1)
    line = track().points[::-1]
    start = len(line) - 1 - round(pose.position * len(line))
    around = line[(start + np.arange(400)) % len(line)]
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(around, axis=0), axis=1))])
    ahead = around[np.searchsorted(travelled, LOOK_AHEAD)]
    seen = rotation(camera) @ (np.array([*ahead, 0.0]) - camera.position)
    expected = 64 + camera.focal * seen[:2] / seen[2]
    np.testing.assert_allclose(target(camera, other), expected, atol=1.0)
    # The car is on its own left of the line.
    left = np.array([-np.sin(camera.heading), np.cos(camera.heading)])
    beside = np.dot(np.array(camera.position[:2]) - around[0], left)
    assert beside == pytest.approx(pose.offset * np.cos(pose.heading_error), abs=0.02)


def test_in_the_tape_world_the_first_room_is_driven_one_way_and_the_others_both_ways():
    for room, ways in zip(ROOMS, ({1}, {-1, 1}, {-1, 1}), strict=True):
        poses = [frame.pose for frame in drive(room, 20, size=32, world="tape")]
        assert {pose.way for pose in poses} == ways
        assert np.abs([pose.offset for pose in poses]).max() <= 0.04
    assert {frame.pose.way for frame in drive("room_2", 20, size=32)} == {1}


def test_in_the_tape_world_the_track_hardly_stands_out_from_the_floor():
    def contrast(world, room):
        """How far the brightness varies over the lower part of the pictures, which is track and floor."""
        frames = drive(room, 8, size=64, world=world)
        return np.mean([frame.image[44:].mean(axis=2).std() for frame in frames])

    for room in ROOMS:
        assert contrast("tape", room) < 0.6 * contrast("road", room)


def test_the_target_of_every_frame_lies_on_visible_track_inside_the_image():
    for world, room in itertools.product(WORLDS, ROOMS):
        for frame in drive(room, 40, size=64, world=world):
            x, y = frame.target
            assert 1 <= x <= 63 and 1 <= y <= 63
            assert frame.roi[int(y), int(x)]


@pytest.mark.parametrize("pose", POSES)
def test_the_mask_is_the_floor_within_the_tracks_width_where_nothing_stands_before_it(bare, pose):
    camera = camera_at(pose, 96)
    points, pixel = on_floor(camera)
    distance = from_centre_line(points)
    with np.errstate(invalid="ignore"):
        is_near = pixel < 0.25
        is_track = is_near & (distance < HALF_WIDTH - pixel)
        is_beside = ~np.isfinite(distance) | (is_near & (distance > HALF_WIDTH + pixel))
    assert is_track.sum() > 800 and is_beside.sum() > 800
    for atlas in bare.values():
        roi = render(atlas, camera).track >= 0.5
        assert roi[is_track].all()
        assert not roi[is_beside].any()


@pytest.mark.parametrize("pose", POSES)
def test_rooms_share_the_track_and_only_furniture_hides_parts_of_it(bare, pose):
    camera = camera_at(pose, 96)
    shares = [render(atlas, camera).track for atlas in bare.values()]
    for share in shares[1:]:
        np.testing.assert_array_equal(share, shares[0])
    direction = rays(camera)
    with np.errstate(divide="ignore", invalid="ignore"):
        end = np.where(direction[..., 2] < 0, -camera.position[2] / direction[..., 2], np.inf)
    for name in ROOMS:
        seen = render(atlas_of(name), camera).track
        assert (seen <= shares[0]).all()
        behind = np.zeros(seen.shape, bool)
        for piece in CATALOGUE[name].pieces:
            behind |= passes_through(piece, camera, direction, end)
        assert behind[seen < shares[0]].all()


def test_furniture_hides_some_of_the_track_in_every_room(bare):
    for name in ROOMS:
        views = [camera_at(Pose(position, 0, 0), 64) for position in np.linspace(0, 1, 12, endpoint=False)]
        hidden = [render(bare[name], view).track - render(atlas_of(name), view).track for view in views]
        assert np.max([part.sum() for part in hidden]) > 3


def test_rooms_look_different_from_the_same_place():
    camera = camera_at(POSES[0], 64)
    views = [render(atlas_of(name), camera) for name in ROOMS]
    for other in views[1:]:
        differs = np.abs(other.colour - views[0].colour).mean(axis=-1)
        assert np.median(differs[views[0].track < 0.5]) > 10


def test_every_ray_meets_something():
    for name in ROOMS:
        for position in np.linspace(0, 1, 20, endpoint=False):
            assert render(atlas_of(name), camera_at(Pose(position, 0.1, 0.2), 48)).track.min() >= 0


def test_furniture_stands_inside_the_room_and_off_the_track():
    for name, room in CATALOGUE.items():
        for piece in room.pieces:
            turn = np.deg2rad(piece.turn)
            front = np.array([np.cos(turn), np.sin(turn)])
            right = np.array([front[1], -front[0]])
            across, along = (np.linspace(-side / 2, side / 2, 9) for side in piece.size[:2])
            footprint = np.array([piece.at + a * right + b * front for a in across for b in along])
            assert from_centre_line(footprint).min() > HALF_WIDTH + 0.04, (name, piece)
            assert (np.abs(footprint) <= np.array(room.size[:2]) / 2 + 0.03).all(), (name, piece)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first, again = ([*drive("room_1", 4, size=48, seed=7)] for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.roi.tobytes() == other.roi.tobytes()
        assert (one.target, one.pose) == (other.target, other.pose)
    for one, other in zip(first, drive("room_1", 4, size=48, seed=8), strict=True):
        assert one.pose != other.pose and one.image.tobytes() != other.image.tobytes()


def test_frames_are_spread_over_the_whole_lap():
    positions = np.sort([frame.pose.position for frame in drive("room_2", 40, size=32)])
    assert (np.floor(positions * 40) == np.arange(40)).all()


def test_left_and_right_bends_are_both_well_represented():
    x = np.array([frame.target[0] / 32 for frame in drive("room_1", 300, size=32)])
    assert (x < 0.42).mean() > 0.2 and (x > 0.58).mean() > 0.2


@pytest.mark.parametrize("size", [32, 45, 224])
def test_frames_have_the_size_asked_for(size):
    frame = next(drive("room_3", 1, size=size))
    assert frame.image.shape == (size, size, 3) and frame.image.dtype == np.uint8
    assert frame.roi.shape == (size, size) and frame.roi.dtype == bool


def coloured(corner, across, down, colour, **options):
    picture = np.broadcast_to(np.array(colour, np.uint8), (8, 8, 3)).copy()
    return Surface(
        np.array(corner, float), np.array(across, float), np.array(down, float), picture, **options
    )


def test_rendering_agrees_with_casting_every_ray_by_hand():
    surfaces = [
        coloured((-9, 9, 0), (18, 0, 0), (0, -18, 0), (40, 80, 120)),
        coloured((5, 9, 4), (0, -18, 0), (0, 0, -4.5), (200, 100, 50)),
        coloured((2, 0.8, 1), (0.6, -1.1, 0), (0, 0, -1), (10, 220, 30), is_two_sided=True),
        coloured((0.5, 0.3, 0.001), (1.5, -0.4, 0), (-0.12, -0.45, 0), (90, 90, 90), is_track=True),
    ]
    camera = Camera((0.0, 0.0, 0.25), 0.05, 0.1, 40)
    view = render(pack(surfaces), camera)
    middle = ((np.arange(80) + 0.5) / 2 - 20) / camera.focal
    colour, share = np.zeros((80, 80, 3)), np.zeros((80, 80))
    for i, y in enumerate(middle):
        for j, x in enumerate(middle):
            ray, best = rotation(camera).T @ np.array([x, y, 1.0]), np.inf
            for surface in surfaces:
                # position + depth · ray = corner + a · across + b · down
                system = np.stack([ray, -surface.across, -surface.down], axis=1)
                depth, a, b = np.linalg.solve(system, surface.corner - camera.position)
                if 0.02 < depth < best and 0 <= a < 1 and 0 <= b < 1:
                    best, colour[i, j], share[i, j] = depth, surface.picture[0, 0], surface.is_track
    mean = colour.reshape(40, 2, 40, 2, 3).mean((1, 3))
    # Pixels above the wall meet nothing, which real rooms exclude.
    known = (colour.sum(-1) > 0).reshape(40, 2, 40, 2).all((1, 3))
    assert known.mean() > 0.8
    wrong = known & (
        (np.abs(view.colour - mean) > 0.5).any(-1) | (view.track != share.reshape(40, 2, 40, 2).mean((1, 3)))
    )
    assert wrong.sum() <= 2


def test_smaller_copies_of_a_picture_are_its_block_means():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (37, 21, 3), dtype=np.uint8)
    filler = coloured((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 2, 3))
    surface = dataclasses.replace(filler, picture=picture)
    atlas = pack([filler, surface])
    for level in range(4):
        step = 2**level
        for row in range(0, 37, step):
            for column in range(0, 21, step):
                index = ((atlas.last_row[1] - row) >> level) * atlas.stride[1] + (column >> level)
                texel = int(atlas.texels[atlas.start[1] + index])
                found = [texel >> shift & 255 for shift in (0, 8, 16)]
                block = picture[row : row + step, column : column + step].mean((0, 1))
                np.testing.assert_allclose(found, block, atol=1.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"room": "romo_2"}, "no room 'romo_2'; did you mean 'room_2'"),
        ({"room": "kitchen"}, "'room_1' or 'room_2' or 'room_3'"),
        ({"images": 0}, "images=0"),
        ({"size": 31}, "size=31"),
        ({"seed": -1}, "seed=-1"),
        ({"world": "mars"}, "no world 'mars': there are 'road' and 'tape'"),
    ],
)
def test_what_cannot_be_driven_is_refused_before_the_first_frame(arguments, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        drive(**{"room": "room_1", "images": 1, **arguments})
