"""MQTT topics and the journal's own topics, in one place.

A station publishes below `gi/<station>/`; the broker's ACL binds its user name to that branch.
"""

import re

STATION_JSON = "gi/{station}/json"
STATION_HJ212 = "gi/{station}/hj212"
CLOCK = "gi/clock/{collector}"  # published by a collector to itself, journalled as `$clock/<collector>`
SUBSCRIPTIONS = ("gi/+/json", "gi/+/hj212")

JOURNAL_CLOCK = "$clock/{collector}"
JOURNAL_OPERATOR = "$operator"
JOURNAL_SITE = "$site"

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # stations, collectors: safe in topics, paths and tags
STATION_TOPIC = re.compile(r"^gi/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/(json|hj212)$")
