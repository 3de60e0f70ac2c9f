"""The demo world: a car drives one track through several rendered rooms.

from shapsight.data.rooms import drive, write_world

for frame in drive("room_1", images=10):
    frame.image, frame.target, frame.roi
write_world(Path("world"), images_per_room=200, world="tape")
"""

from shapsight.data.rooms.drive import ROOMS, Frame, drive
from shapsight.data.rooms.world import write_world

__all__ = ["ROOMS", "Frame", "drive", "write_world"]
