"""In which direction one place lies from another. Parks are small: the earth is flat across one of them."""

from math import atan2, cos, degrees, radians


def bearing(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Degrees clockwise from north, in [0, 360)."""
    north = to_latitude - latitude
    east = (to_longitude - longitude) * cos(radians(latitude))
    return degrees(atan2(east, north)) % 360.0
