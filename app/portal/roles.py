"""Who may do what: one table, roles x permissions, and the scopes each role may be given.

Promises: whatever is not in the table is refused. Knows no person, no request and no data.
"""

from dataclasses import dataclass

# One line a permission; a cross: the role has it. Whatever it is used on must lie in the person's scope as well.
_TABLE = """
                     viewer duty reviewer rule_engineer administrator enterprise operation_maintenance enforcement
own.account             x    x      x           x             x            x               x                x
alerts.read             x    x      x           x             x            x               x                x
alerts.acknowledge      -    x      -           -             -            -               -                -
alerts.assign           -    x      -           -             -            -               -                -
alerts.comment          -    x      x           -             -            x               x                -
cases.read              x    x      x           x             x            x               x                x
cases.open              -    x      x           -             -            -               -                x
cases.note              -    x      x           -             -            -               x                x
cases.reply             -    -      -           -             -            x               -                -
cases.decide            -    -      x           -             -            -               -                x
silences.read           x    x      x           x             x            -               -                x
silences.write          -    x      -           -             -            -               -                -
data.read               x    x      x           x             x            x               x                x
explain.read            x    x      x           x             x            x               x                x
evidence.read           -    x      x           -             x            -               -                x
marks.read              x    x      x           x             x            x               x                x
marks.write             -    -      -           -             -            x               x                -
marks.review            -    -      x           -             -            -               -                -
checks.write            -    -      -           -             -            -               x                -
proposals.read          -    -      -           x             x            -               -                -
proposals.write         -    -      -           x             -            -               -                -
proposals.decide        -    -      -           x             x            -               -                -
status.read             -    x      -           x             x            -               -                -
users.read              -    -      -           -             x            -               -                -
"""

# What each permission lets a person do, for refusals: "... may not <this>".
ACTIONS = {
    "own.account": ("管理自己的账户", "manage the own account"),
    "alerts.read": ("查看告警", "read alerts"),
    "alerts.acknowledge": ("确认告警", "acknowledge alerts"),
    "alerts.assign": ("指派告警", "assign alerts"),
    "alerts.comment": ("在告警上留言", "comment on alerts"),
    "cases.read": ("查看督办", "read cases"),
    "cases.open": ("发起督办", "open cases"),
    "cases.note": ("在督办上备注", "put notes into cases"),
    "cases.reply": ("反馈督办", "reply to cases"),
    "cases.decide": ("退回反馈、办结或重新办理督办", "return replies, close or reopen cases"),
    "silences.read": ("查看静默", "read silences"),
    "silences.write": ("设置或结束静默", "make or end silences"),
    "data.read": ("查看数据", "read data"),
    "explain.read": ("查看判定过程", "read how a verdict came about"),
    "evidence.read": ("查看通知及回执", "read who was told, and their receipts"),
    "marks.read": ("查看标记", "read marks"),
    "marks.write": ("标记数据", "mark data"),
    "marks.review": ("审核标记", "review marks"),
    "checks.write": ("录入质控结果", "enter checks of analysers"),
    "proposals.read": ("查看变更申请", "read proposed changes"),
    "proposals.write": ("提出变更申请", "propose a change of limits, ranges, permits or rules"),
    "proposals.decide": ("审批变更申请", "decide on a proposed change"),
    "status.read": ("查看运行状态", "read how the centre stands"),
    "users.read": ("查看用户及登录记录", "read users and their log-ins"),
}

SCOPES = ("city", "county", "park", "enterprise", "stations")  # city: everything; the others name what they hold


@dataclass(frozen=True)
class Role:
    zh: str
    en: str
    scopes: tuple[str, ...]


ROLES = {
    "viewer": Role("查看人员", "viewer", SCOPES),
    "duty": Role("值班人员", "duty officer", ("city", "county", "park", "stations")),
    "reviewer": Role("审核人员", "reviewer", ("city", "county", "park", "stations")),
    "rule_engineer": Role("规则工程师", "rule engineer", ("city",)),
    "administrator": Role("系统管理员", "administrator", ("city",)),
    "enterprise": Role("排污单位", "enterprise", ("enterprise",)),
    "operation_maintenance": Role("运维单位", "operation and maintenance unit", ("stations",)),
    "enforcement": Role("执法人员", "enforcement officer", ("city", "county", "park")),
}


def _parsed() -> dict[str, frozenset[str]]:
    head, *lines = (line.split() for line in _TABLE.strip().splitlines())
    return {
        permission: frozenset(role for role, cross in zip(head, crosses, strict=True) if cross == "x")
        for permission, *crosses in lines
    }


MAY = _parsed()  # permission -> the roles that have it


def has(role: str, permission: str) -> bool:
    """Raises KeyError for a permission that is not in the table."""
    return role in MAY[permission]
