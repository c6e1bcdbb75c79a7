"""Results below a limit of quantification, as laboratories and analysers write them: `<0.05`, `0.05L`.

Promises: what is meant is the number's text; nothing else is taken for one. `ND` names no number, so it is none.
"""

import re

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
CENSORED = rf"^(?:[<＜] ?({_NUMBER})|({_NUMBER}) ?L)$"  # of two groups one is the limit
QUALITY = "censored"
SHARE = 0.5  # of the limit that stands for the value in means: HJ 91.1-2019, quoted from memory
_is_censored = re.compile(CENSORED).fullmatch


def is_censored(text: str) -> bool:
    return _is_censored(text) is not None
