"""The broker's users that are no stations', and its ACL: what each of them may do.

Promises: an ACL as shipped, with a block for each collector of the site; reads back what any ACL file grants.
Does not promise: what a running broker does; it reads the file when it starts or is told to.
"""

from collections.abc import Sequence
from pathlib import Path

from paho.mqtt.client import topic_matches_sub

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto"
COLLECTOR_USER = "collector-{name}"
SENDERS_USER = "senders"  # of channels that use the site's broker
ACCESSES = ("read", "write", "readwrite", "deny")


def acl(collectors: Sequence[str]) -> str:
    """The shipped ACL, its collector's block repeated for each collector of the site."""
    text = (SHIPPED / "acl").read_text(encoding="utf-8")
    begins, ends = text.index("user collector-main"), text.index("\n\n", text.index("user collector-main"))
    block = text[begins:ends]
    blocks = [
        block.replace("collector-main", f"collector-{name}").replace("clock/main", f"clock/{name}")
        for name in collectors
    ]
    return text[:begins] + "\n\n".join(blocks) + text[ends:]


def own_users(collectors: Sequence[str]) -> tuple[str, ...]:
    """Users of the broker that are no stations'."""
    return (*(COLLECTOR_USER.format(name=name) for name in collectors), SENDERS_USER)


def is_own(user: str) -> bool:
    """A collector's user, or the senders': no station may be called so."""
    return user == SENDERS_USER or user.startswith(COLLECTOR_USER.format(name=""))


def acl_blocks(text: str) -> dict[str, list[tuple[str, str]]]:
    """User -> (access, topic) of each line of its blocks, as Mosquitto reads them; patterns are nobody's."""
    blocks: dict[str, list[tuple[str, str]]] = {}
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "user":
            lines = blocks.setdefault(rest.strip(), [])
        elif word == "topic":
            access, _, topic = rest.strip().partition(" ")
            lines.append((access, topic.strip()) if access in ACCESSES else ("readwrite", rest.strip()))
    return blocks


def may_publish(blocks: dict[str, list[tuple[str, str]]], user: str | None, topic: str) -> bool:
    said = [access for access, granted in blocks.get(user or "", ()) if topic_matches_sub(granted, topic)]
    return "deny" not in said and bool({"write", "readwrite"} & set(said))
