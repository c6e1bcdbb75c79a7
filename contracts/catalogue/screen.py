"""What a screen says around the alerts: headings, media, kinds of incident, marks of the levels."""

from . import Language

WORDS: dict[str, dict[Language, str]] = {
    "simulated_time": {"zh": "模拟时间", "en": "simulated time"},
    "faster": {"zh": "{speed:g} 倍速", "en": "{speed:g} x real time"},
    "live_for": {"zh": "实时运行 {elapsed}", "en": "live for {elapsed}"},
    "live_of": {"zh": "实时运行 {elapsed} / {whole}", "en": "live for {elapsed} of {whole}"},
    "messages_s": {"zh": "{n:.0f} 报文/秒", "en": "{n:.0f} messages/s"},
    "readings_s": {"zh": "{n:.0f} 读数/秒", "en": "{n:.0f} readings/s"},
    "rejected": {"zh": "拒收 {n}", "en": "{n} rejected"},
    "decided_to": {"zh": "已判至 {at}", "en": "decided up to {at}"},
    "station": {"zh": "站点", "en": "station"},
    "medium": {"zh": "介质", "en": "medium"},
    "age": {"zh": "数据时延", "en": "data age"},
    "worst": {"zh": "最高值占限值", "en": "worst, % of limit"},
    "state": {"zh": "状态", "en": "state"},
    "no_data": {"zh": "无数据", "en": "no data"},
    "no_alert": {"zh": "无告警", "en": "no alert"},
    "more_stations": {"zh": "另有 {n} 个站点", "en": "and {n} more stations"},
    "exceedances": {"zh": "未恢复的超限告警", "en": "Open exceedances"},
    "no_exceedances": {"zh": "当前没有未恢复的超限告警", "en": "none open"},
    "more": {"zh": "另有 {n} 条", "en": "and {n} more"},
    "alerts": {"zh": "最近告警", "en": "Last alerts"},
    "none_yet": {"zh": "暂无", "en": "none yet"},
    "limit": {"zh": "限值 {limit}", "en": "limit {limit}"},
    "since": {"zh": "自 {at} 起", "en": "since {at}"},
    "peak": {"zh": "最高 {value} {unit}", "en": "peak {value} {unit}"},
    "plain": {
        "zh": "模拟时间 {at}:{messages:.0f} 报文/秒,{readings:.0f} 读数/秒,未恢复告警 {alerts} 条,"
        "无数据站点 {silent} 个",
        "en": "simulated time {at}: {messages:.0f} messages/s, {readings:.0f} readings/s, {alerts} alerts open,"
        " {silent} stations without data",
    },
    "quit": {"zh": "Ctrl-C 结束;站点与数据均为模拟", "en": "Ctrl-C ends it. Plants and data are simulated."},
    "viewer": {
        "zh": "浏览器看板 {url}  用户名 {name}  密码 {password}(仅本次运行有效)",
        "en": "In a browser: {url}  name {name}  password {password}  (made for this run)",
    },
    "viewer_ended": {"zh": "浏览器看板已停止:{why}", "en": "The pages in the browser have ended: {why}"},
    "history": {"zh": "判定 24 小时历史数据", "en": "24 h of history"},
    "site": {"zh": "站点目录", "en": "site"},
    "stopped_early": {
        "zh": "在历史数据判定完成之前停止",
        "en": "Stopped before the history was worked off",
    },
    "summary_history": {
        "zh": "历史:{messages} 条报文、{readings} 个读数,{seconds:.1f} 秒判定完毕",
        "en": "History: {messages} messages, {readings} readings, decided in {seconds:.1f} s",
    },
    "summary_live": {
        "zh": "实时:{seconds:.1f} 秒(模拟时间 {from_at} 至 {to_at})",
        "en": "Live: {seconds:.1f} s, simulated time {from_at} to {to_at}",
    },
    "summary_counts": {
        "zh": "发出 {published} 条报文,判定 {messages} 条,共 {readings} 个读数:"
        "每秒 {messages_s:.1f} 条报文、{readings_s:.1f} 个读数",
        "en": "{published} messages published, {messages} decided with {readings} readings:"
        " {messages_s:.1f} messages/s, {readings_s:.1f} readings/s",
    },
    "summary_rejects": {"zh": "拒收:{reasons}", "en": "Rejected: {reasons}"},
    "none": {"zh": "无", "en": "none"},
    "summary_alerts": {"zh": "实时阶段的告警", "en": "Alerts while live"},
    "raised": {"zh": "发生", "en": "raised"},
    "resolved": {"zh": "恢复", "en": "resolved"},
    "withdrawn": {"zh": "撤回", "en": "withdrawn"},
    "kept": {"zh": "日志与判定结果保存在 {path}", "en": "Journal and decisions are kept in {path}"},
}

MEDIUM: dict[str, dict[Language, str]] = {
    "flue_gas": {"zh": "烟气", "en": "flue gas"},
    "voc_stack": {"zh": "VOCs 排气", "en": "VOC stack"},
    "waste_water": {"zh": "废水", "en": "waste water"},
    "surface_water": {"zh": "地表水", "en": "river"},
    "ambient_air": {"zh": "环境空气", "en": "air"},
    "power": {"zh": "用电", "en": "power"},
    "energy": {"zh": "电能", "en": "energy"},
}

INCIDENT: dict[str, dict[Language, str]] = {
    "exceedance": {"zh": "超过限值", "en": "limit exceeded"},
    "early_warning": {"zh": "预警(接近或短时高于限值)", "en": "early warning (near or briefly above a limit)"},
    "stuck": {"zh": "分析仪数值不变", "en": "analyser stuck"},
    "dropout": {"zh": "站点无数据,之后补传", "en": "station silent, data sent again later"},
    "malformed": {"zh": "报文无法解析", "en": "malformed messages"},
    "treatment_off": {"zh": "生产时治理设施未运行", "en": "treatment off while producing"},
    # of other kinds of rules, by their names
    "active_while_stopped": {"zh": "停运期间仍有活动", "en": "activity during an approved stop"},
    "clipped": {"zh": "数值停在量程端点", "en": "values clipped at the range"},
    "clock_skew": {"zh": "数采仪时钟偏差", "en": "logger's clock off"},
    "range": {"zh": "数值超出合理范围", "en": "values out of the plausible range"},
    "occurrences": {"zh": "超限次数偏多", "en": "too many windows beyond a number"},
    "step": {"zh": "数值突变", "en": "sudden step"},
    "deviation": {"zh": "应一致的数值不一致", "en": "values that should agree do not"},
    "same": {"zh": "数值与前一日或另一因子完全相同", "en": "the very numbers of another day or factor"},
    "together": {"zh": "两项信号相互矛盾", "en": "signals that contradict each other"},
    "over_range": {"zh": "超过量程", "en": "over the range"},
    "invalid": {"zh": "有效数据不足", "en": "too few valid data"},
    "treatment_low_load": {"zh": "治理设施低负荷", "en": "treatment at low load"},
    "treatment_order": {"zh": "治理设施启停顺序不当", "en": "treatment started late or stopped early"},
    "synchronous_rate": {"zh": "同步运行率偏低", "en": "low rate of synchronous operation"},
    "removal": {"zh": "去除率偏低", "en": "low removal"},
    "collection": {"zh": "收集率偏低", "en": "low collection"},
    "park_total": {"zh": "园区总量超过阈值", "en": "park above its total"},
    "facility_load": {"zh": "共享设施负荷超过能力", "en": "shared facility above its capacity"},
    "member_contract": {"zh": "成员排放超过协议", "en": "member beyond its contract"},
    "shared_treatment_off": {"zh": "成员生产时共享设施未运行", "en": "shared treatment off while members produce"},
    "fence_line": {"zh": "园区边界浓度增量超阈值", "en": "rise across the fence line"},
    "river_class": {"zh": "断面水质类别不达标", "en": "river section worse than its class"},
    "expression": {"zh": "其他规则", "en": "other rule"},
}

# A grade is read from its mark and its word; the colour only repeats it.
MARK = {"red": "!!!", "orange": "!!", "yellow": "!"}
