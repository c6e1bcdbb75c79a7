"""InfluxDB 2.x: the five buckets and two tokens that may do no more than they must, through its management API.

Promises: what is there already is left, but for how long a bucket keeps; the same call again changes nothing.
Does not promise: to find a token's text again: 2.9 keeps only its hash, so the file it was written to must be kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from influxdb_client import Authorization, BucketRetentionRules, InfluxDBClient, Permission, PermissionResource
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from contracts.series import BUCKETS
from contracts.site import Influx

from .influx import SHARD_DAYS, database_of, kept, open_client, server_words

WRITE, READ = "influx-write.token", "influx-read.token"  # files of the tokens
_DAY_S = 86_400


class Refused(Exception):
    """The server does not do it; its words and what to look at."""


@dataclass
class Done:
    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # how long they keep
    left: list[str] = field(default_factory=list)


def prepare(influx: Influx, organisation: str, admin_token: str, write: Callable[[str, str], None], out: Path) -> Done:
    """Makes buckets and tokens. write(name, text): puts a token into a file only its owner may read.

    A token whose file is in `out` is taken to be there. Raises Refused; OSError of `write`.
    """
    client = open_client(influx, admin_token)
    try:
        return _prepare(client, influx, organisation, write, out)
    except ApiException as error:
        hint = (
            "; is this the operator's token, and the organisation's name right?" if error.status in (401, 403) else ""
        )
        raise Refused(f"{influx.url} answers {error.status}: {server_words(error)}{hint}") from error
    except HTTPError as error:
        raise Refused(f"{influx.url} does not answer: {error}") from error
    finally:
        client.close()


def _prepare(
    client: InfluxDBClient, influx: Influx, organisation: str, write: Callable[[str, str], None], out: Path
) -> Done:
    found = client.organizations_api().find_organizations(org=organisation)
    if not found:
        raise Refused(f"{influx.url} has no organisation {organisation!r}")
    done, org_id, ids = Done(), found[0].id, []
    for bucket in BUCKETS:
        name, bound = database_of(influx, bucket), kept(influx, bucket)
        rule = BucketRetentionRules(
            type="expire",
            every_seconds=0 if bound is None else int(bound.total_seconds()),
            shard_group_duration_seconds=SHARD_DAYS[bucket] * _DAY_S,
        )
        there = client.buckets_api().find_bucket_by_name(name)
        if there is None:
            there = client.buckets_api().create_bucket(bucket_name=name, retention_rules=rule, org=org_id)
            done.made.append(f"bucket {name}")
        elif _every_s(there) != rule.every_seconds:
            there.retention_rules = [rule]
            client.buckets_api().update_bucket(there)
            done.changed.append(f"bucket {name}")
        else:
            done.left.append(f"bucket {name}")
        ids.append(there.id)
    for name, actions in ((WRITE, ("read", "write")), (READ, ("read",))):
        if (out / name).exists():
            done.left.append(name)
            continue
        permissions = [
            Permission(action=action, resource=PermissionResource(type="buckets", id=id_, org_id=org_id))
            for id_ in ids
            for action in actions
        ]
        asked = Authorization(org_id=org_id, permissions=permissions, description=f"GreenIsland {name}")
        made = client.authorizations_api().create_authorization(authorization=asked)
        write(name, made.token)
        done.made.append(name)
    return done


def _every_s(bucket) -> int:  # the client's own class is generated
    return next((rule.every_seconds for rule in bucket.retention_rules or () if rule.type == "expire"), 0)
