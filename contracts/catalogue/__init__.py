"""Every text people read, as reason code -> template, in Chinese and English. Parameters are named; nothing else is.

Which limit text holds follows `rules/library/judgement.csv`: only verified standard and permit rows may say 超标.
Never 违法, 造假, 偷排; never 正常 where data are absent.
"""

from typing import Literal

Language = Literal["zh", "en"]

# kind and basis of an alert -> what it says; {value} {unit} {limit} {times} {valid_n} {since} ...
ALERT: dict[str, dict[Language, str]] = {
    "limit.exceedance": {
        "zh": "{place} {factor}{period}{value} {unit},{sense}{basis}限值{limit},{times}有效{valid}",
        "en": "{place}: {factor} {period} {value} {unit}, {sense} the {basis} limit of {limit}{times}, {valid} valid",
    },
    "limit.ultra_low": {
        "zh": "{place} {factor}{period}{value} {unit},未达超低排放指标{limit},有效{valid}",
        "en": "{place}: {factor} {period} {value} {unit}, ultra-low target of {limit} not met, {valid} valid",
    },
    "limit.notice": {
        "zh": "{place} {factor}{period}{value} {unit},{sense}{basis}值{limit}(提示{doubt}),有效{valid}",
        "en": "{place}: {factor} {period} {value} {unit}, {sense} the {basis} value of {limit} (notice{doubt}),"
        " {valid} valid",
    },
    "limit.near": {
        "zh": "{place} {factor}{period}{value} {unit},接近{basis}限值{limit},预警",
        "en": "{place}: {factor} {period} {value} {unit}, close to the {basis} limit of {limit}, early warning",
    },
    "limit.early": {
        "zh": "{place} {factor}{period}{value} {unit}{tendency}({limit_period}限值{limit}),预警",
        "en": "{place}: {factor} {period} value {value} {unit} is {tendency} ({limit_period} limit {limit}),"
        " early warning",
    },
    "missing": {
        "zh": "{place} 无数据到达,请检查设备与网络",
        "en": "{place}: no data arrive; check instrument and network",
    },
    "flat_line": {
        "zh": "{place} {factor}整个时段数值未变化,待核实",
        "en": "{place}: {factor} has not moved for a whole window, to be verified",
    },
    "range": {
        "zh": "{place} {factor}{period}{value} {unit},{sense}合理范围界限{limit},待核实",
        "en": "{place}: {factor} {period} {value} {unit}, {sense} the plausible bound of {limit}, to be verified",
    },
    "occurrences": {
        "zh": "{place} {factor}在所查时段内出现次数或占比{value} {unit}(界限{limit}),待核实",
        "en": "{place}: {factor} met the condition in {value} {unit} of the windows (bound {limit}), to be verified",
    },
    "step": {
        "zh": "{place} {factor}较前一时段变化{value}%(界限{limit}%),待核实",
        "en": "{place}: {factor} changed by {value} % from one window to the next (bound {limit} %), to be verified",
    },
    "deviation": {
        "zh": "{place} {factor}与复算值相差{value}%(界限{limit}%),待核实",
        "en": "{place}: {factor} differs by {value} % from what it should be (bound {limit} %), to be verified",
    },
    "same": {
        "zh": "{place} {factor}有{value}个小时与对照小时数值完全相同,待核实",
        "en": "{place}: {factor} repeats the very same number in {value} hours of the day, to be verified",
    },
    "together": {
        "zh": "{place} {factor}与另一参数的工况不一致,待核实",
        "en": "{place}: {factor} does not agree with another signal of the station, to be verified",
    },
    "over_range": {
        "zh": "{place} {factor}有{value}个数据超测量上限,可能超过限值,待核实",
        "en": "{place}: {value} values of {factor} are over the instrument's range and may be anything, to be verified",
    },
    "invalid": {
        "zh": "{place} {factor}有{value}个时段的数据无效或带标记(界限{limit}),待核实",
        "en": "{place}: {value} windows of {factor} came and did not count (bound {limit}), to be verified",
    },
    "active_while_stopped": {
        "zh": "{place} 报停期间{factor}{period}{value} {unit}(界限{limit}),待核实",
        "en": "{place}: {factor} {period} {value} {unit} during an approved stop (bound {limit}), to be verified",
    },
    "expression": {
        "zh": "{place} {factor}计算指标{value} {unit},{sense}界限{limit},待核实",
        "en": "{place}: {factor}: computed figure {value} {unit}, {sense} the bound of {limit}, to be verified",
    },
    "treatment_off": {
        "zh": "{place} 生产设施运行而治理设施未运行({factor}),待核实",
        "en": "{place}: production runs while its treatment does not ({factor}), to be verified",
    },
    "rejects": {
        "zh": "{place} 每分钟拒收报文{value}条,请检查数采仪与协议",
        "en": "{place}: {value} messages a minute rejected; check logger and protocol",
    },
}

TRANSITION: dict[str, dict[Language, str]] = {
    "fired": {"zh": "自 {since} 起{provisional}", "en": "since {since}{provisional}"},
    "level_changed": {"zh": "级别变为{level},自 {since} 起", "en": "level is now {level}, since {since}"},
    "data_lost": {
        "zh": "数据中断,无法判断是否恢复,自 {since} 起",
        "en": "data lost, recovery cannot be judged, since {since}",
    },
    "data_back": {"zh": "数据恢复,仍在告警,自 {since} 起", "en": "data are back, still in alarm, since {since}"},
    "resolved": {"zh": "{since} 起的告警于 {until} 恢复", "en": "resolved at {until}, began {since}"},
    "withdrawn": {"zh": "据补传数据撤回 {since} 起的告警", "en": "withdrawn after late data, began {since}"},
    "amended": {"zh": "据补传数据修订 {since} 起的告警", "en": "amended after late data, began {since}"},
    "fired_in_retrospect": {
        "zh": "据补传数据追溯:{since} 至 {until}",
        "en": "found in retrospect from late data: {since} to {until}",
    },
    "reopened": {"zh": "据补传数据,{since} 起的告警尚未恢复", "en": "not over after late data, began {since}"},
}

PROVISIONAL: dict[Language, str] = {  # of verdicts on limits, until the marking deadline
    "zh": ";初判,请于次日12:00前核实标记",
    "en": "; provisional, to be checked and marked by 12:00 next day",
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

SENSE: dict[str, dict[Language, str]] = {
    "above": {"zh": "高于", "en": "above"},
    "below": {"zh": "低于", "en": "below"},
}

TENDENCY: dict[str, dict[Language, str]] = {
    "above": {"zh": "偏高", "en": "high"},
    "below": {"zh": "偏低", "en": "low"},
}

DOUBT: dict[Language, str] = {"zh": ",限值未经核实", "en": ", limit not verified"}  # its source was not read

TIMES: dict[Language, str] = {"zh": "超标{times}倍,", "en": " by {times} times"}  # (C - L) / L; never for pH
VALID: dict[Language, str] = {"zh": "{n}/{of}个数据", "en": "{n} of {of} values"}
