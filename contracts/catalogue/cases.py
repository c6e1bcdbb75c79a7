"""What is said of cases (督办): titles, one line an event, how they stand, with what they are closed."""

from .language import Language

CASE_SAID: dict[str, dict[Language, str]] = {
    "opened": {"zh": "生成", "en": "opened"},
    "joined": {"zh": "并入告警", "en": "joined by an alert"},
    "raised": {"zh": "级别上升", "en": "raised"},
    "left": {"zh": "告警撤回", "en": "an alert was withdrawn"},
    "noted": {"zh": "备注", "en": "noted"},
    "replied": {"zh": "已反馈", "en": "replied to"},
    "returned": {"zh": "反馈退回", "en": "reply returned"},
    "reply_overdue": {"zh": "反馈逾期", "en": "reply overdue"},
    "close_overdue": {"zh": "办结逾期", "en": "overdue"},
    "closed": {"zh": "办结", "en": "closed"},
    "reopened": {"zh": "重新办理", "en": "reopened"},
    "no_effect": {"zh": "操作未生效", "en": "an action had no effect"},
}
CASE_TITLE: dict[Language, str] = {"zh": "【{level}】督办{said}:{place}", "en": "[{level}] case {said}: {place}"}
CASES_TITLE: dict[Language, str] = {"zh": "【{level}】{n} 件督办{said}", "en": "[{level}] {n} cases {said}"}

CASE_LINE: dict[str, dict[Language, str]] = {
    "opened": {
        "zh": "督办 {id} 已生成:{about}{reply_due}{close_due}",
        "en": "case {id}: {about}{reply_due}{close_due}",
    },
    "joined": {"zh": "督办 {id} 并入告警:{about}", "en": "case {id}, one more alert: {about}"},
    "raised": {"zh": "督办 {id} 级别上升为{level}:{about}", "en": "case {id} is {level} now: {about}"},
    "left": {
        "zh": "督办 {id}({place})的一条告警已撤回,督办仍在办理",
        "en": "case {id} ({place}): an alert of it was withdrawn; the case stays",
    },
    "noted": {"zh": "督办 {id}({place})备注:{text}", "en": "case {id} ({place}), note: {text}"},
    "replied": {"zh": "督办 {id}({place})已反馈:{text}", "en": "case {id} ({place}), reply: {text}"},
    "returned": {
        "zh": "督办 {id}({place})反馈被退回:{text}{reply_due}",
        "en": "case {id} ({place}), reply returned: {text}{reply_due}",
    },
    "reply_overdue": {
        "zh": "督办 {id}({place})尚未收到反馈{reply_due}",
        "en": "case {id} ({place}): no reply has come{reply_due}",
    },
    "close_overdue": {
        "zh": "督办 {id}({place})尚未办结{close_due}",
        "en": "case {id} ({place}) is not closed{close_due}",
    },
    "closed": {
        "zh": "督办 {id}({place})已办结,结论:{conclusion};{text}",
        "en": "case {id} ({place}) closed, {conclusion}: {text}",
    },
    "reopened": {
        "zh": "督办 {id}({place})重新办理:{text}{reply_due}{close_due}",
        "en": "case {id} ({place}) reopened: {text}{reply_due}{close_due}",
    },
    "no_effect": {"zh": "督办 {id}({place})操作未生效:{text}", "en": "case {id} ({place}), without effect: {text}"},
}
# for a short message, whose end may be cut off
CASE_SHORT: dict[Language, str] = {
    "zh": "督办{said}({level}){place}{more}{reply_due}{close_due}",
    "en": "case {said} ({level}) {place}{more}{reply_due}{close_due}",
}
AND_N_CASES: dict[Language, str] = {"zh": "等 {n} 件", "en": " and {n} in all"}
REPLY_DUE: dict[Language, str] = {"zh": ",反馈时限 {at}", "en": ", reply due {at}"}
CLOSE_DUE: dict[Language, str] = {"zh": ",办结时限 {at}", "en": ", to be closed by {at}"}

CASE_STATE: dict[str, dict[Language, str]] = {
    "awaiting_reply": {"zh": "待反馈", "en": "awaiting a reply"},
    "replied": {"zh": "待审核", "en": "replied to"},
    "open": {"zh": "办理中", "en": "open"},
    "closed": {"zh": "已办结", "en": "closed"},
}
CONCLUSION: dict[str, dict[Language, str]] = {
    "remedied": {"zh": "已整改", "en": "remedied"},
    "handed_over": {"zh": "移交执法核查", "en": "handed over to enforcement"},
    "excused": {"zh": "按规定情形免于考核", "en": "excused as marks or approvals have it"},
    "instrument_fault": {"zh": "监测或传输设备故障", "en": "fault of the analyser or the transmission"},
    "not_confirmed": {"zh": "经核查未予确认", "en": "not confirmed on inspection"},
}
