"""What is said around an alert's own line: titles, groups, storms, repeats, steps, flapping."""

from .language import Language

# what a transition is called where there is no room for its sentence
SAID: dict[str, dict[Language, str]] = {
    "fired": {"zh": "发生", "en": "fired"},
    "level_changed": {"zh": "级别变化", "en": "level changed"},
    "data_lost": {"zh": "数据中断", "en": "data lost"},
    "data_back": {"zh": "数据恢复", "en": "data back"},
    "resolved": {"zh": "恢复", "en": "resolved"},
    "withdrawn": {"zh": "撤回", "en": "withdrawn"},
    "amended": {"zh": "修订", "en": "amended"},
    "fired_in_retrospect": {"zh": "追溯", "en": "found in retrospect"},
    "reopened": {"zh": "尚未恢复", "en": "not over"},
    "superseded": {"zh": "不再判定", "en": "no longer judged"},
    "flapping": {"zh": "频繁变化", "en": "coming and going"},
}

TITLE: dict[str, dict[Language, str]] = {
    "change": {"zh": "【{level}】{said}:{place}{what}", "en": "[{level}] {said}: {place}{what}"},
    "group": {"zh": "【{level}】{n} 条告警有变化", "en": "[{level}] {n} alerts changed"},
    "storm": {"zh": "【{level}】同类告警 {n} 条", "en": "[{level}] {n} alerts of one kind"},
    "flapping": {"zh": "【{level}】{place} 频繁变化", "en": "[{level}] {place}: coming and going"},
    "repeat": {"zh": "【{level}】提醒:{n} 条告警未确认", "en": "[{level}] reminder: {n} not acknowledged"},
    "escalation": {"zh": "【{level}】升级:{n} 条告警未确认", "en": "[{level}] escalated: {n} not acknowledged"},
    "missed": {"zh": "【{level}】静默期间 {n} 条告警已结束", "en": "[{level}] {n} alerts came and went while silenced"},
}

ABOUT: dict[str, dict[Language, str]] = {  # what a title names, of alerts that are of no factor
    "missing": {"zh": "无数据到达", "en": "no data arrive"},
    "rejects": {"zh": "报文被拒收", "en": "messages rejected"},
    "clock_skew": {"zh": "数采仪时钟偏差", "en": "logger's clock is off"},
    "river_class": {"zh": "水质类别", "en": "water class"},
}

# A short message: what must not be cut off comes first. No brackets that are a signature's.
SHORT: dict[Language, str] = {
    "zh": "{said}({level}{sure}){at}{alert}",
    "en": "{said} ({level}{sure}) {at} {alert}",
}
SHORT_AT: dict[Language, str] = {"zh": "%d日%H:%M", "en": "%m-%d %H:%M"}
SHORT_HEAD: dict[Language, str] = {"zh": "({level}){text}", "en": "({level}) {text}"}  # of several alerts
SURE: dict[str, dict[Language, str]] = {
    "provisional": {"zh": ",初判", "en": ", provisional"},
    "final": {"zh": ",终判", "en": ", final"},
}

HEAD: dict[str, dict[Language, str]] = {
    "group": {"zh": "{n} 条告警有变化({counts}):", "en": "{n} alerts changed ({counts}):"},
    "storm": {
        "zh": "规则 {rule} 短时间内有 {n} 条告警({counts}),涉及 {stations} 个站点:{places}",
        "en": "{n} alerts of rule {rule} within a short time ({counts}), of {stations} stations: {places}",
    },
    "storm.missing": {
        "zh": "短时间内 {stations} 个站点的数据到达情况有变化({counts}),请先检查网络与平台:{places}",
        "en": "data of {stations} stations stopped or came back within a short time ({counts});"
        " check network and platform first: {places}",
    },
    "repeat": {"zh": "第 {step} 次提醒,{n} 条告警尚未确认:", "en": "Reminder {step}, {n} alerts not acknowledged:"},
    "escalation": {
        "zh": "通知后{after}无人确认,升级至第 {step} 级,共 {n} 条:",
        "en": "Not acknowledged {after} after people were told, step {step}, {n} alerts:",
    },
    "missed": {"zh": "静默期间发生并已结束的告警 {n} 条:", "en": "{n} alerts came and went while they were silenced:"},
    "flapping": {
        "zh": "{text};{within}内变化 {changes} 次,平稳之前不再逐次通知",
        "en": "{text}; changed {changes} times within {within}; not told again before it is steady",
    },
}

DURATION: dict[Language, tuple[str, str, str, str]] = {  # days, hours, minutes, seconds
    "zh": ("天", "小时", "分钟", "秒"),
    "en": (" d", " h", " min", " s"),
}
COUNT: dict[Language, str] = {"zh": "{said} {n}", "en": "{n} {said}"}
AND_N_MORE: dict[Language, str] = {"zh": "等,另有 {n} 个", "en": " and {n} more"}
AND_N_LINES: dict[Language, str] = {"zh": "另有 {n} 条,见系统", "en": "and {n} more, see the system"}
