"""A rule test's park: one park with its shared facilities, members and thresholds, most of it by default."""

from contracts.site import Basis, Enterprise, Facility, FacilityKind, Identifier, Member, Park, ParkThreshold

PARK, ENTERPRISE = "PK", "E1"
CENTRE = (28.0, 107.0)  # latitude and longitude of the park


class FacilityRow(Facility):
    facility: Identifier = "F1"
    park: Identifier | None = PARK
    name_zh: str = "共享设施"
    name_en: str = "shared facility"
    kind: FacilityKind = "other"


class MemberRow(Member):
    member: Identifier = "M1"
    facility: Identifier = "F1"
    enterprise: Identifier = ENTERPRISE


class ThresholdRow(ParkThreshold):
    threshold: Identifier = "T1"
    park: Identifier = PARK
    basis: Basis = "park_plan"
    source: str = "test"


def park(wind_station: str | None) -> Park:
    latitude, longitude = CENTRE
    return Park(
        park=PARK,
        county="C1",
        name_zh="测试园区",
        name_en="test park",
        latitude=latitude,
        longitude=longitude,
        wind_station=wind_station,
    )


def enterprise(industry: str | None, *, has_park: bool) -> Enterprise:
    return Enterprise(
        enterprise=ENTERPRISE,
        county="C1",
        park=PARK if has_park else None,
        name_zh="成员企业",
        name_en="member enterprise",
        industry=industry or "coating",
    )
