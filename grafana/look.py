"""What the boards look like: colours of levels and states, words for them, units. One table each.

Promises: a colour means the same on every board, and what is missing never has the colour of what is well.
"""

from collections.abc import Callable
from typing import Any, Literal

Language = Literal["zh", "en"]
Say = Callable[[str, str], str]
LANGUAGES: tuple[Language, ...] = ("zh", "en")

RED, ORANGE, YELLOW = "#E02F44", "#FF780A", "#F2CC0C"
WELL = "#3D71A5"  # a quiet blue: what is within its limits must not shine
UNKNOWN, ASIDE = "#8E8E8E", "#C7C7C7"  # no judgement; not applicable

# severity of a verdict or alert -> colour, words
SEVERITIES: dict[int, tuple[str, str, str]] = {
    3: (RED, "红", "red"),
    2: (ORANGE, "橙", "orange"),
    1: (YELLOW, "黄", "yellow"),
    0: (WELL, "未超限", "within"),
    -1: (UNKNOWN, "无法判定", "no judgement"),
    -2: (ASIDE, "不适用", "not applicable"),
}
LEVELS = {"red": SEVERITIES[3], "orange": SEVERITIES[2], "yellow": SEVERITIES[1]}

STATES: dict[str, tuple[str, str, str]] = {  # of alerts and marks
    "firing": (RED, "未恢复", "open"),
    "no_data": (UNKNOWN, "未恢复,数据中断", "open, data lost"),
    "pending": (YELLOW, "待确认", "pending"),
    "resolved": (WELL, "已恢复", "resolved"),
    "superseded": (ASIDE, "已不适用", "superseded"),
    "withdrawn": (ASIDE, "已撤回", "withdrawn"),
    "submitted": (YELLOW, "待审核", "under review"),
    "accepted": (WELL, "已通过", "accepted"),
    "returned": (ORANGE, "已退回", "returned"),
    "passed": (WELL, "合格", "passed"),
    "failed": (RED, "不合格", "failed"),
}

REASONS: dict[str, tuple[str, str, str]] = {  # why a window cannot be judged
    "": (WELL, "可判定", "can be judged"),
    "no_data": (RED, "无数据", "no data"),
    "too_few_valid": (ORANGE, "有效数据不足", "too few valid data"),
    "all_marked": (YELLOW, "全部被标记或超量程", "all marked or out of range"),
    "no_limit_configured": (ASIDE, "未配置限值", "no limit configured"),
    "o2_missing": (ORANGE, "缺少含氧量", "O2 missing"),
    "o2_near_21": (YELLOW, "含氧量接近21%", "O2 near 21 %"),
    "signal_missing": (ORANGE, "缺少相关参数", "a signal is missing"),
    "flow_missing": (ORANGE, "缺少流量", "flow missing"),
    "over_range": (ORANGE, "超出量程", "over range"),
    "members_missing": (ORANGE, "部分数据缺失", "parts are missing"),
    "no_discharge": (ASIDE, "未排放", "no discharge"),
}

# share of a limit: the levels' own factors
LIMIT_STEPS = ((None, WELL), (90, YELLOW), (100, ORANGE), (200, RED))
CAPTURE_STEPS = ((None, ORANGE), (75, YELLOW), (90, WELL))  # per cent of expected data that are valid
PLAIN_STEPS = ((None, WELL),)
SEVERITY_STEPS = ((None, ASIDE), (-1, UNKNOWN), (0, WELL), (1, YELLOW), (2, ORANGE), (3, RED))


def say_in(language: Language) -> Say:
    return (lambda zh, en: zh) if language == "zh" else (lambda zh, en: en)  # noqa: ARG005


def thresholds(steps: tuple[tuple[float | None, str], ...]) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}


def mapped(table: dict[Any, tuple[str, str, str]], say: Say) -> list[dict[str, Any]]:
    """Grafana's value mappings."""
    options = {
        str(value): {"text": say(zh, en), "color": colour, "index": n}
        for n, (value, (colour, zh, en)) in enumerate(table.items())
    }
    return [{"type": "value", "options": options}]
