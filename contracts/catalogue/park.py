"""What alerts on treatment, parks and shared facilities say. {number_basis} tells what the number rests on."""

from .language import Language

PARK_ALERT: dict[str, dict[Language, str]] = {
    "treatment_low_load": {
        "zh": "{place} 生产设施运行而治理设施功率低于额定的{share}%({factor},{number_basis}),待核实",
        "en": "{place}: production runs while its treatment draws less than {share} % of its rated power"
        " ({factor}, {number_basis}), to be verified",
    },
    "treatment_order.start": {
        "zh": "{place} 生产开始前治理设施未提前{order_min}分钟运行({factor},先启后停为惯例要求),待核实",
        "en": "{place}: treatment did not run {order_min} min before production began ({factor}, practice),"
        " to be verified",
    },
    "treatment_order.stop": {
        "zh": "{place} 生产停止后治理设施未继续运行{order_min}分钟({factor},先启后停为惯例要求),待核实",
        "en": "{place}: treatment did not run on for {order_min} min after production ended ({factor}, practice),"
        " to be verified",
    },
    "synchronous_rate": {
        "zh": "{place} {factor}{span}治理设施同步运行率{value}%,低于{limit}%({number_basis}),"
        "有效{valid_n}/{expected_n}分钟",
        "en": "{place}: {factor}: treatment ran in {value} % of production's time {span}, below {limit} %"
        " ({number_basis}), {valid_n} of {expected_n} minutes valid",
    },
    "removal": {
        "zh": "{place} {factor}{span}去除率{value}%,低于{limit}%({number_basis})",
        "en": "{place}: {value} % of {factor} removed {span}, below {limit} % ({number_basis})",
    },
    "removal.exceedance": {
        "zh": "{place} {factor}{span}去除率{value}%,{sense}{basis}限值{limit}%,超标",
        "en": "{place}: {value} % of {factor} removed {span}, {sense} the {basis} limit of {limit} %: an exceedance",
    },
    "removal.notice": {
        "zh": "{place} {factor}{span}去除率{value}%,{sense}{basis}值{limit}%(提示{doubt})",
        "en": "{place}: {value} % of {factor} removed {span}, {sense} the {basis} value of {limit} % (notice{doubt})",
    },
    "collection": {
        "zh": "{place} {factor}{span}收集率{value}%,低于{limit}%({number_basis})",
        "en": "{place}: {value} % of {factor} collected {span}, below {limit} % ({number_basis})",
    },
    "park_total": {
        "zh": "{place} {factor}{span}排放速率合计{amount},{reach}园区阈值{limit}({number_basis}),"
        "计入{valid_n}/{expected_n}个站点",
        "en": "{place}: {factor} {amount} in total {span}, {reach} the park's threshold of {limit} ({number_basis}),"
        " {valid_n} of {expected_n} stations counted",
    },
    "facility_load": {
        "zh": "{place} {factor}{span}进口负荷{amount},{reach}设计能力{limit},计入{valid_n}/{expected_n}个站点",
        "en": "{place}: load of {factor} {amount} {span}, {reach} the capacity of {limit},"
        " {valid_n} of {expected_n} stations counted",
    },
    "member_contract": {
        "zh": "{place} 成员单位{member}{factor}{span}{amount},{reach}协议约定{limit}",
        "en": "{place}: member {member}: {factor} {amount} {span}, {reach} the contract's {limit}",
    },
    "shared_treatment_off": {
        "zh": "{place} 未运行,仍在生产的成员单位{count}家:{members},待核实",
        "en": "{place} does not run while {count} of its members produce: {members}, to be verified",
    },
    "fence_line": {
        "zh": "{place} {factor}{span}下风向最高值与上风向均值之差{amount},{reach}边界值{limit}({number_basis})",
        "en": "{place}: {factor} at the fence {span}: highest downwind less mean upwind {amount}, {reach} {limit}"
        " ({number_basis})",
    },
}

NUMBER_BASIS: dict[str, dict[Language, str]] = {
    "law": {"zh": "法定", "en": "law"},
    "practice": {"zh": "惯例值", "en": "practice"},
    "project_default": {"zh": "项目默认值", "en": "project default"},
    "park_plan": {"zh": "园区规划值", "en": "park plan"},
    "own": {"zh": "本站设定值", "en": "this site's own number"},
}

REACH: dict[str, dict[Language, str]] = {  # of a number of the registry: beyond it, or on the way
    "beyond": {"zh": "高于", "en": "above"},
    "near": {"zh": "接近", "en": "close to"},
}
AND_MORE: dict[Language, str] = {"zh": "等", "en": "and others"}
