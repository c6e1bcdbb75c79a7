"""Every text people read, as reason code -> template, in Chinese and English. Parameters are named; nothing else is.

Which limit text holds follows `rules/library/judgement.csv`: only verified standard and permit rows may say 超标.
Never 违法, 造假, 偷排; never 正常 where data are absent.
"""

from .language import Language as Language
from .park import PARK_ALERT

# kind and basis of an alert -> what it says; {amount} {limit} {times} {valid_n} {since} ...
ALERT: dict[str, dict[Language, str]] = {
    "limit.exceedance": {
        "zh": "{place} {factor}{period}{amount},{sense}{basis}限值{limit},{times}有效{valid}",
        "en": "{place}: {factor} {period} {amount}, {sense} the {basis} limit of {limit}{times}, {valid} valid",
    },
    "limit.ultra_low": {
        "zh": "{place} {factor}{period}{amount},未达超低排放指标{limit},有效{valid}",
        "en": "{place}: {factor} {period} {amount}, ultra-low target of {limit} not met, {valid} valid",
    },
    "limit.notice": {
        "zh": "{place} {factor}{period}{amount},{sense}{basis}值{limit}(提示{doubt}),有效{valid}",
        "en": "{place}: {factor} {period} {amount}, {sense} the {basis} value of {limit} (notice{doubt}),"
        " {valid} valid",
    },
    "limit.near": {
        "zh": "{place} {factor}{period}{amount},接近{basis}限值{limit},预警",
        "en": "{place}: {factor} {period} {amount}, close to the {basis} limit of {limit}, early warning",
    },
    "limit.early": {
        "zh": "{place} {factor}{period}{amount}{tendency}({limit_period}限值{limit}),预警",
        "en": "{place}: {factor} {period} {amount} is {tendency} ({limit_period} limit {limit}), early warning",
    },
    "share.ultra_low": {
        "zh": "{place} {factor}当月{value}%的有效小时均值高于超低排放指标{of_limit}(允许{limit}%),未达超低排放指标,"
        "有效小时{valid_n}个",
        "en": "{place}: {factor}: {value} % of the month's valid hour means above the ultra-low value of {of_limit}"
        " (allowed {limit} %), ultra-low target not met, {valid_n} valid hours",
    },
    "share.notice": {
        "zh": "{place} {factor}当月{value}%的有效小时均值高于超低排放值{of_limit}(界限{limit}%,提示{doubt}),"
        "有效小时{valid_n}个",
        "en": "{place}: {factor}: {value} % of the month's valid hour means above the ultra-low value of {of_limit}"
        " (bound {limit} %, notice{doubt}), {valid_n} valid hours",
    },
    "river_class": {
        "zh": "{place} {period}水质类别为{water_class}类(单因子评价,仅自动监测项目,{valid_n}/{expected_n}项可评价),"
        "劣于目标{target_class}类",
        "en": "{place}: {period} is of class {water_class} (worst factor, automatically monitored items only,"
        " {valid_n} of {expected_n} rated), worse than the target class {target_class}",
    },
    "missing": {"zh": "{place} 无数据到达{advice}", "en": "{place}: no data arrive{advice}"},
    "flat_line": {
        "zh": "{place} {factor}整个时段数值未变化,待核实",
        "en": "{place}: {factor} has not moved for a whole window, to be verified",
    },
    "clipped": {
        "zh": "{place} {factor}{span}一直不低于{limit},停在仪器测量上限附近,实际值可能更高,待核实",
        "en": "{place}: {factor} stays at {limit} or more {span}, at the top of the instrument's range, and may be"
        " higher, to be verified",
    },
    "clock_skew": {
        "zh": "{place} 数据时间与接收时间相差{value}秒(界限{limit}秒),请核对数采仪时钟,待核实",
        "en": "{place}: data are received {value} s after the end of their period (bound {limit} s); check the"
        " logger's clock, to be verified",
    },
    "range": {
        "zh": "{place} {factor}{period}{amount},{sense}设定{bound}{limit},待核实",
        "en": "{place}: {factor} {period} {amount}, {sense} the {bound} of {limit}, to be verified",
    },
    "occurrences.count": {
        "zh": "{place} {factor}{part}{condition}的情况{span}累计{value}次,超过{limit}次,待核实",
        "en": "{place}: {factor} {part} {condition}: {value} times {span}, more than {limit}, to be verified",
    },
    "occurrences.share": {
        "zh": "{place} {factor}{part}{condition}的占比{span}为{value}%(界限{limit}%),待核实",
        "en": "{place}: {factor} {part} {condition}: {value} % of those judged {span} (bound {limit} %),"
        " to be verified",
    },
    "step": {
        "zh": "{place} {factor}{period}较{before}变化{value}%,超过{limit}%,待核实",
        "en": "{place}: {factor} {period} differs by {value} % from {before}, by more than {limit} %, to be verified",
    },
    "deviation.device": {
        "zh": "{place} {factor}设备上报的{period}与复算值相差{value}%,超过{limit}%,待核实",
        "en": "{place}: {factor} {period} as the device sends it differs by {value} % from the recomputed one,"
        " by more than {limit} %, to be verified",
    },
    "deviation": {
        "zh": "{place} {factor}{period}与{other}相差{value}%,超过{limit}%,待核实",
        "en": "{place}: {factor} {period} differs by {value} % from {other}, by more than {limit} %, to be verified",
    },
    "same.day_before": {
        "zh": "{place} {factor}当日有{value}个小时均值与前一日同一小时完全相同({limit}个起核查),待核实",
        "en": "{place}: {factor} shows in {value} hours of the day the very number of the same hour of the day before"
        " (looked at from {limit} hours on), to be verified",
    },
    "same.factor": {
        "zh": "{place} {factor}当日有{value}个小时均值与{other}同一小时完全相同({limit}个起核查),待核实",
        "en": "{place}: {factor} shows in {value} hours of the day the very number of {other} in the same hour"
        " (looked at from {limit} hours on), to be verified",
    },
    "together": {
        "zh": "{place} {factor}{period}不低于{high_from},而同期{other}低于{low_below},参数之间不匹配,待核实",
        "en": "{place}: {factor} {period} is {high_from} or more while {other} is below {low_below},"
        " which does not fit together, to be verified",
    },
    "over_range": {
        "zh": "{place} {factor}{span}有{value}个数据超出仪器测量上限,实际值可能更高,待核实",
        "en": "{place}: {value} values of {factor} {span} are over the instrument's range and may be higher,"
        " to be verified",
    },
    "invalid": {
        "zh": "{place} {factor}{span}有{value}个时段的数据无效或带标记,超过{limit}个,待核实",
        "en": "{place}: {factor}: {value} values or means {span} came and did not count, by mark or range,"
        " more than {limit}, to be verified",
    },
    "active_while_stopped": {
        "zh": "{place} 报停期间{factor}{period}{amount}(界限{limit}),待核实",
        "en": "{place}: {factor} {period} {amount} during an approved stop (bound {limit}), to be verified",
    },
    "expression": {
        "zh": "{place} {factor}核算指标({rule}){amount},{sense}设定{bound}{limit},待核实",
        "en": "{place}: {factor}: computed figure ({rule}) {amount}, {sense} the {bound} of {limit}, to be verified",
    },
    "treatment_off": {
        "zh": "{place} 生产设施运行而治理设施未运行({factor}),待核实",
        "en": "{place}: production runs while its treatment does not ({factor}), to be verified",
    },
    "rejects": {
        "zh": "{place} 每分钟拒收报文{value}条{advice}",
        "en": "{place}: {value} messages a minute rejected{advice}",
    },
    **PARK_ALERT,
}

# What became known comes first where it is more than "it is so": whoever reads only a beginning must not take an end,
# or a correction, for another alert. Late data and marks alike change what was told before.
TRANSITION: dict[str, dict[Language, str]] = {
    "fired": {"zh": "{alert},自 {since} 起{provisional}", "en": "{alert}, since {since}{provisional}"},
    "level_changed": {
        "zh": "级别变为{level}:{alert},告警自 {since} 起{provisional}",
        "en": "level is now {level}: {alert}, in alarm since {since}{provisional}",
    },
    "data_lost": {
        "zh": "数据中断,无法判断是否恢复:{alert},告警自 {since} 起{provisional}",
        "en": "data lost, recovery cannot be judged: {alert}, in alarm since {since}{provisional}",
    },
    "data_back": {
        "zh": "数据恢复,仍在告警:{alert},告警自 {since} 起{provisional}",
        "en": "data are back, still in alarm: {alert}, in alarm since {since}{provisional}",
    },
    "resolved": {
        "zh": "告警已恢复({since} 至 {until}):{alert}{provisional}",
        "en": "over ({since} to {until}): {alert}{provisional}",
    },
    "withdrawn": {
        "zh": "更正:据补传数据或数据标记,撤回 {since} 起的告警;原报内容不再作数:{alert}",
        "en": "correction: withdrawn after late data or marks, the alert since {since}; what it said no longer holds:"
        " {alert}",
    },
    "amended": {
        "zh": "据补传数据或数据标记修订:{alert},告警自 {since} 起{provisional}",
        "en": "amended after late data or marks: {alert}, in alarm since {since}{provisional}",
    },
    "fired_in_retrospect": {
        "zh": "据补传数据或数据标记追溯({since} 至 {until}):{alert}{provisional}",
        "en": "found in retrospect from late data or marks ({since} to {until}): {alert}{provisional}",
    },
    "reopened": {
        "zh": "据补传数据或数据标记,告警尚未恢复:{alert},告警自 {since} 起{provisional}",
        "en": "not over, after late data or marks: {alert}, in alarm since {since}{provisional}",
    },
    "superseded": {
        "zh": "不再判定,不表示恢复(规则、限值或站点配置已变更):{alert},告警自 {since} 起",
        "en": "no longer judged, which is no all-clear (its rule, limit or point was changed): {alert}, in alarm since"
        " {since}",
    },
}

FINALITY: dict[
    str, dict[Language, str]
] = {  # of verdicts on limits, by the marking deadline of the window's last instant
    "by_day": {
        "zh": ";初判,请于次日{at}前核实标记",
        "en": "; provisional, to be checked and marked by {at} next day",
    },
    "by_hour": {
        "zh": ";初判,请于 {at} 前核实标记",
        "en": "; provisional, to be checked and marked by {at}",
    },
    "final": {"zh": ";终判,标记期限已过", "en": "; final, the marking deadline is over"},
}

LEVEL: dict[str, dict[Language, str]] = {
    "yellow": {"zh": "黄", "en": "yellow"},
    "orange": {"zh": "橙", "en": "orange"},
    "red": {"zh": "红", "en": "red"},
}

PERIOD: dict[str, dict[Language, str]] = {
    "instant": {"zh": "瞬时值", "en": "instant value"},
    "minute": {"zh": "分钟均值", "en": "minute mean"},
    "five_minute": {"zh": "5分钟均值", "en": "5-minute mean"},
    "hour": {"zh": "小时均值", "en": "hour mean"},
    "day": {"zh": "日均值", "en": "day mean"},
    "month": {"zh": "月均值", "en": "month mean"},
    "year": {"zh": "年均值", "en": "year mean"},
}

CONVERTED: dict[Language, str] = {"zh": "(折算)", "en": " (converted)"}
WINDOW_AT: dict[Language, str] = {"zh": "({at})", "en": " ({at})"}  # whose value it is, where that is not the beginning
CONVERTED_AT: dict[Language, str] = {"zh": "(折算,{at})", "en": " (converted, {at})"}

LIMIT_PERIOD: dict[str, dict[Language, str]] = {
    "instant": {"zh": "瞬时", "en": "instantaneous"},
    "minute": {"zh": "分钟", "en": "minute"},
    "five_minute": {"zh": "5分钟", "en": "5-minute"},
    "hour": {"zh": "小时", "en": "hourly"},
    "day": {"zh": "日均", "en": "daily"},
    "month": {"zh": "月均", "en": "monthly"},
    "year": {"zh": "年均", "en": "yearly"},
}

BASIS: dict[str, dict[Language, str]] = {
    "standard": {"zh": "排放标准", "en": "emission standard"},
    "quality": {"zh": "环境质量标准", "en": "quality standard"},  # a standard of rivers and air limits no emission
    "permit": {"zh": "许可", "en": "permit"},
    "ultra_low": {"zh": "超低排放", "en": "ultra-low"},
    "agreement": {"zh": "协议", "en": "agreement"},
    "internal": {"zh": "内控", "en": "internal"},
}

WATER_CLASS: dict[str, dict[Language, str]] = {  # GB 3838-2002; 6: worse than V
    "1": {"zh": "Ⅰ", "en": "I"},
    "2": {"zh": "Ⅱ", "en": "II"},
    "3": {"zh": "Ⅲ", "en": "III"},
    "4": {"zh": "Ⅳ", "en": "IV"},
    "5": {"zh": "Ⅴ", "en": "V"},
    "6": {"zh": "劣Ⅴ", "en": "worse than V"},
}

SENSE: dict[str, dict[Language, str]] = {
    "above": {"zh": "高于", "en": "above"},
    "below": {"zh": "低于", "en": "below"},
}

BOUND: dict[str, dict[Language, str]] = {  # a rule's own number, by the side a value is beyond it
    "above": {"zh": "上限", "en": "upper bound"},
    "below": {"zh": "下限", "en": "lower bound"},
}

CONDITION: dict[str, dict[Language, str]] = {  # of windows that are counted
    "below": {"zh": "低于{low}", "en": "below {low}"},
    "above": {"zh": "高于{high}", "en": "above {high}"},
    "beyond": {"zh": "低于{low}或高于{high}", "en": "below {low} or above {high}"},
    "between": {"zh": "介于{low}至{high}", "en": "from {low} to {high}"},
    "unknown": {"zh": "符合所查条件", "en": "that meet the condition"},
}

SPAN: dict[str, dict[Language, str]] = {  # of event time in which something was counted
    "minute": {"zh": "该分钟内", "en": "in the minute"},
    "five_minute": {"zh": "该5分钟内", "en": "in the five minutes"},
    "hour": {"zh": "该小时内", "en": "in the hour"},
    "day": {"zh": "当日", "en": "in the day"},
    "days": {"zh": "近{n}日", "en": "in the last {n} days"},
    "month": {"zh": "当月", "en": "in the month"},
    "year": {"zh": "当年", "en": "in the year"},
}

BEFORE: dict[str, dict[Language, str]] = {
    "minute": {"zh": "前一分钟", "en": "the minute before"},
    "five_minute": {"zh": "前一个5分钟", "en": "the five minutes before"},
    "hour": {"zh": "前一小时", "en": "the hour before"},
    "day": {"zh": "前一日", "en": "the day before"},
}

ROLLING: dict[str, dict[Language, str]] = {  # the mean of several windows together
    "minute": {"zh": "{n}分钟滑动均值", "en": "{n}-minute rolling mean"},
    "hour": {"zh": "{n}小时滑动均值", "en": "{n}-hour rolling mean"},
    "day": {"zh": "{n}日滑动均值", "en": "{n}-day rolling mean"},
    "month": {"zh": "{n}个月滑动均值", "en": "{n}-month rolling mean"},
}

OTHER: dict[Language, str] = {"zh": "另一参数", "en": "another signal"}  # where it is not on record which
UNIT: dict[str, dict[Language, str]] = {  # the others are written as they are
    "degC": {"zh": "℃", "en": "°C"},
    "mg/m3": {"zh": "mg/m³", "en": "mg/m³"},
    "ug/m3": {"zh": "µg/m³", "en": "µg/m³"},
    "ng/m3": {"zh": "ng/m³", "en": "ng/m³"},
    "m3/h": {"zh": "m³/h", "en": "m³/h"},
    "m3/s": {"zh": "m³/s", "en": "m³/s"},
}

TENDENCY: dict[str, dict[Language, str]] = {
    "above": {"zh": "偏高", "en": "high"},
    "below": {"zh": "偏低", "en": "low"},
}

DOUBT: dict[Language, str] = {"zh": ",限值未经核实", "en": ", limit not verified"}  # its source was not read

TIMES: dict[Language, str] = {"zh": "超标{times}倍,", "en": " by {times} times"}  # (C - L) / L; never for pH
VALID: dict[Language, str] = {"zh": "{n}/{of}个数据", "en": "{n} of {of} values"}
VALID_MINUTES: dict[Language, str] = {"zh": "{n}分钟", "en": "{n} minutes"}  # of an hour with a value a minute

ADVICE: dict[str, dict[Language, str]] = {  # while it lasts
    "missing": {"zh": ",请检查设备与网络", "en": "; check instrument and network"},
    "rejects": {"zh": ",请检查数采仪与协议", "en": "; check logger and protocol"},
}
