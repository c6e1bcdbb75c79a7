"""The viewer's own words, Chinese and English; boards and alerts bring theirs."""

from dataclasses import dataclass, field
from typing import Any

from .boards import Language

WORDS: dict[str, tuple[str, str]] = {
    "viewer": ("查看器", "viewer"),
    "boards": ("看板", "Boards"),
    "alerts": ("告警", "Alerts"),
    "cases": ("督办", "Cases"),
    "case": ("督办", "Case"),
    "sign_in": ("登录", "Sign in"),
    "sign_out": ("退出", "Sign out"),
    "name": ("用户名", "Name"),
    "password": ("密码", "Password"),
    "decided_to": ("已判定至 {at}", "decided up to {at}"),
    "nothing_decided": ("尚未判定任何数据", "nothing is decided yet"),
    "as_of": ("(时钟滞后 {age})", "({age} behind)"),
    "open_red": ("红色未恢复", "red, open"),
    "open_orange": ("橙色未恢复", "orange, open"),
    "open_yellow": ("黄色未恢复", "yellow, open"),
    "all": ("全部", "All"),
    "n_chosen": ("已选 {n} 项", "{n} chosen"),
    "choose": ("请选择", "choose one"),
    "clear": ("全部(清除选择)", "All (clear)"),
    "search": ("搜索", "Search"),
    "more_type": ("另有 {n} 项,输入以缩小范围", "{n} more: type to narrow"),
    "nothing_matches": ("没有匹配项", "nothing matches"),
    "quick": ("快捷范围", "Quick ranges"),
    "latest": ("以最新判定时刻为止", "Up to what is decided"),
    "from": ("自", "From"),
    "to": ("至", "To"),
    "apply": ("应用", "Apply"),
    "time_hint": (
        "例如 now-6h、now/d、2026-03-01 08:00(站点时间)",
        "such as now-6h, now/d, 2026-03-01 08:00 (site's time)",
    ),
    "last": ("最近 {span}", "last {span}"),
    "source": ("数据来源", "Source"),
    "archive": ("存档", "Archive"),
    "influxdb": ("InfluxDB", "InfluxDB"),
    "dark": ("深色", "Dark"),
    "light": ("浅色", "Light"),
    "wall": ("大屏", "Wall"),
    "help": ("帮助", "Help"),
    "keys": ("键盘", "Keyboard"),
    "key_gb": ("看板列表", "boards"),
    "key_ga": ("告警列表", "alerts"),
    "key_gc": ("督办列表", "cases"),
    "key_t": ("时间范围", "time range"),
    "key_w": ("大屏模式开/关", "wall mode on and off"),
    "key_help": ("本帮助", "this help"),
    "key_esc": ("关闭", "close"),
    "about_viewer": (
        "绿岛自带查看器:与 Grafana 使用同一套看板文件,但不是 Grafana。数据来自存档与实时状态,或 InfluxDB。",
        "GreenIsland's own viewer. It draws the same dashboard files as Grafana; it is not Grafana."
        " Data come from the archive and the live state, or from InfluxDB.",
    ),
    "loading": ("读取中…", "reading ..."),
    "no_data": ("无数据", "No data"),
    "nothing_in_range": ("{from_at} 至 {to_at} 内没有数据。", "Nothing from {from_at} to {to_at}."),
    "only_decided_to": ("仅判定至 {at}。", "Decided only up to {at}."),
    "beyond_scope": (
        "此面板反映全站点,而您的管理范围只是其中一部分。",
        "This is about the whole site; your scope is a part of it.",
    ),
    "scope_is_empty": ("您的管理范围内没有任何站点。", "There is no point in your scope."),
    "influxdb_is_down": (
        "InfluxDB 无响应:{error}。可将数据来源切换为“存档”。",
        "InfluxDB does not answer: {error}. Switch the source to the archive.",
    ),
    "live_instead": ("InfluxDB 无响应,显示实时状态", "InfluxDB does not answer; this is the live state"),
    "pulse_is_of_now": (
        "心跳仅反映当前时刻;其历史只保存在 InfluxDB 中。",
        "The pulse is known of this moment alone; over time it is kept in InfluxDB only.",
    ),
    "pulse_has_none": (
        "只有 InfluxDB 写入进程知道,且需配置 InfluxDB。",
        "Known to the writer of InfluxDB alone, where the site has one.",
    ),
    "archive_is_damaged": ("存档文件 {part} 已损坏。", "{part} of the archive is damaged."),
    "not_readable": ("无法读取:{error}", "Cannot be read: {error}"),
    "unknown_value": (
        "{label}中没有“{value}”,或不在您的管理范围内。",
        "{label}: there is no '{value}', or it is not in your scope.",
    ),
    "choose_first": ("请先选择{label}。", "Choose one first: {label}."),
    "kind_is_unknown": ("查看器不支持此类面板:{kind}", "The viewer draws no panels of the kind {kind}."),
    "rows_cut": ("最严重的 {shown} 行,共 {all} 行", "the worst {shown} of {all} rows"),
    "series_cut": (
        "显示 {shown} / {all} 条曲线;请用变量缩小范围",
        "{shown} of {all} series; narrow it with the variables",
    ),
    "table_cut": ("显示 {shown} / {all} 行", "{shown} of {all} rows"),
    "series": ("曲线", "Series"),
    "newest": ("最新", "Last"),
    "highest": ("最大", "Max"),
    "new_alert": ("新告警", "New alert"),
    "unknown_board": ("没有此看板", "There is no such board"),
    "unknown_page": ("没有此页面", "There is no such page"),
    "unknown_alert": ("没有此告警,或不在您的管理范围内", "There is no such alert, or it is not in your scope"),
    "open_only": ("未恢复", "Open"),
    "every_state": ("全部状态", "All states"),
    "every_level": ("全部级别", "All levels"),
    "red": ("红", "red"),
    "orange": ("橙", "orange"),
    "yellow": ("黄", "yellow"),
    "no_alerts": ("没有符合条件的告警。", "No alert matches."),
    "load_more": ("更早的告警", "Older alerts"),
    "since": ("开始", "Since"),
    "level": ("级别", "Level"),
    "state": ("状态", "State"),
    "what": ("内容", "What"),
    "where": ("位置", "Where"),
    "acknowledge": ("确认", "Acknowledge"),
    "silence": ("静默", "Silence"),
    "comment": ("留言", "Comment"),
    "reason": ("原因", "Reason"),
    "your_comment": ("留言内容", "Your remark"),
    "for_how_long": ("时长", "For how long"),
    "hours": ("{n} 小时", "{n} h"),
    "cancel": ("取消", "Cancel"),
    "send": ("提交", "Send"),
    "sent": ("已提交,记入日志后生效", "Taken down; it counts as soon as it is journalled"),
    "refused": ("被拒绝", "Refused"),
    "may_not": ("{role}不能{action}", "The role '{role}' may not {action}"),
    "value": ("数值", "Value"),
    "limit": ("限值", "Limit"),
    "clause": ("依据", "Clause"),
    "valid": ("有效数据", "Valid data"),
    "rule": ("规则", "Rule"),
    "factor": ("因子", "Factor"),
    "period": ("周期", "Period"),
    "opened": ("发生", "Opened"),
    "peaked": ("最严重时刻", "Worst window"),
    "resolved": ("恢复", "Resolved"),
    "final_from": ("此前为初判", "Provisional until"),
    "history": ("经过", "History"),
    "actions": ("处置记录", "What people did"),
    "receipts": ("通知与回执", "Who was told"),
    "no_actions": ("尚无处置记录。", "Nobody has done anything about it yet."),
    "no_receipts": ("没有发出过通知。", "Nobody was told."),
    "explain": ("判定过程", "How it came about"),
    "explain_now": ("重算并说明", "Derive it again"),
    "explaining": ("正在由原始报文重新推导…", "Deriving it again from the messages ..."),
    "acknowledged_by": ("{name} 已确认", "acknowledged by {name}"),
    "assigned_to": ("已指派给 {name}", "assigned to {name}"),
    "station_board": ("站点看板", "Board of the station"),
    "firing": ("未恢复", "open"),
    "no_data_state": ("未恢复,数据中断", "open, data lost"),
    "pending": ("待确认", "pending"),
    "resolved_state": ("已恢复", "resolved"),
    "withdrawn": ("已撤回", "withdrawn"),
    "superseded": ("不再判定", "no longer judged"),
    "unknown_case": ("没有此督办,或不在您的管理范围内", "There is no such case, or it is not in your scope"),
    "no_cases": ("没有符合条件的督办。", "No case matches."),
    "not_closed": ("未办结", "Not closed"),
    "overdue": ("逾期", "Overdue"),
    "reply_due": ("反馈时限", "Reply due"),
    "close_due": ("办结时限", "To be closed by"),
    "replied_at": ("已反馈", "Replied"),
    "closed_at": ("办结", "Closed"),
    "conclusion": ("结论", "Conclusion"),
    "opened_by": ("发起人", "Opened by"),
    "terms": ("督办条款", "Terms"),
    "n_alerts": ("{n} 条告警", "{n} alerts"),
    "reply_case": ("反馈", "Reply"),
    "return_case": ("退回反馈", "Return the reply"),
    "close_case": ("办结", "Close"),
    "reopen_case": ("重新办理", "Reopen"),
    "note_case": ("备注", "Note"),
    "open_case": ("发起督办", "Open a case"),
    "lost": ("与服务器的连接中断,正在重连…", "The connection to the server is lost; trying again ..."),
    "back": ("返回", "Back"),
    "demo": ("演示:站点与数据均为模拟", "Demo: plants and data are simulated"),
}


@dataclass(frozen=True)
class Text:
    """Words that are chosen where they are shown."""

    key: str
    about: dict[str, Any] = field(default_factory=dict)

    def told(self, language: Language) -> str:
        return said(self.key, language, **self.about)


def text(key: str, **about: Any) -> Text:
    assert key in WORDS
    return Text(key, about)


def said(key: str, language: Language, **about: Any) -> str:
    zh, en = WORDS[key]
    return (zh if language == "zh" else en).format(**about)
