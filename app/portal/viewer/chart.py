"""What every chart of a panel has: civil time along it, the theme's colours, words where the pointer is. Pure."""

from typing import Any

from .look import THEMES
from .series import Look

TICKS = {
    "year": "{yyyy}",
    "month": "{MM}-{dd}",
    "day": "{MM}-{dd}",
    "hour": "{HH}:{mm}",
    "minute": "{HH}:{mm}",
    "second": "{HH}:{mm}:{ss}",
}


def chart(look: Look, *, top: int, bottom: int, tip: dict[str, Any]) -> dict[str, Any]:
    """An ECharts option without its series. top, bottom: px around it; tip: what sets it off and says its words."""
    colours = THEMES[look.theme]
    return {
        "animation": False,
        "useUTC": True,  # instants are shifted to the site's civil time
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 8, "right": 14, "top": top, "bottom": bottom, "containLabel": True},
        "xAxis": {
            "type": "time",
            "min": look.ms(look.from_at),
            "max": look.ms(look.to_at),
            "axisLine": {"lineStyle": {"color": colours.line}},
            "axisTick": {"show": False},
            "axisLabel": {"color": colours.faint, "fontSize": 11, "hideOverlap": True, "formatter": TICKS},
            "splitLine": {"show": False},
        },
        "tooltip": {
            "confine": True,
            "backgroundColor": colours.tip,
            "borderColor": colours.line,
            "textStyle": {"color": colours.text, "fontSize": 12},
            **tip,
        },
    }
