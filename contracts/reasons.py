"""One vocabulary of reasons, shared by frames, metrics, logs, texts and tests."""

from enum import StrEnum


class Reject(StrEnum):
    """Why a message, or one reading of it, did not become a reading."""

    EMPTY_PAYLOAD = "empty_payload"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"  # JSON, but not what the schema says
    VALUE_IS_TEXT = "value_is_text"
    VALUE_IS_BOOLEAN = "value_is_boolean"
    VALUE_MISSING = "value_missing"
    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    OUT_OF_NUMERIC_RANGE = "out_of_numeric_range"  # does not fit 64 bits at the factor's decimals
    BAD_TIME = "bad_time"
    TIME_IN_FUTURE = "time_in_future"
    TIME_TOO_OLD = "time_too_old"
    UNKNOWN_TOPIC = "unknown_topic"
    UNKNOWN_STATION = "unknown_station"
    STATION_TOPIC_MISMATCH = "station_topic_mismatch"
    UNKNOWN_FACTOR = "unknown_factor"
    UNKNOWN_UNIT = "unknown_unit"
    UNREADABLE_RECORD = "unreadable_record"  # an operator's record in the journal
    # HJ 212
    NO_FRAME = "no_frame"  # bytes that hold no frame
    BAD_LENGTH = "bad_length"
    CRC_MISMATCH = "crc_mismatch"
    CRC_MISSING = "crc_missing"
    CRC_VARIANT_REFUSED = "crc_variant_refused"  # policy strict
    TRUNCATED = "truncated"
    NO_DATA_AREA = "no_data_area"
    ENCRYPTED = "encrypted"


class Verdict(StrEnum):
    EXCEEDANCE = "exceedance"
    WITHIN = "within"
    NO_JUDGEMENT = "no_judgement"
    NOT_APPLICABLE = "not_applicable"


class NoJudgement(StrEnum):
    """Why a window cannot be judged."""

    NO_DATA = "no_data"
    TOO_FEW_VALID = "too_few_valid"
    ALL_MARKED = "all_marked"  # data are there, none is valid by its mark or range
    NO_LIMIT = "no_limit_configured"
    O2_MISSING = "o2_missing"  # conversion needs a valid O2 of the same window
    O2_NEAR_21 = "o2_near_21"  # conversion diverges
    SIGNAL_MISSING = "signal_missing"  # one of the signals it is made of is missing or invalid
    FLOW_MISSING = "flow_missing"  # a mass needs a valid flow of the same window
    OVER_RANGE = "over_range"  # what is missing for a judgement is over the instrument's range: to be verified
    CONDITION_UNKNOWN = "condition_unknown"  # the limit holds under a condition that was not measured
    MEMBERS_MISSING = "members_missing"  # of a sum some parts are missing, and the known ones do not decide it
    WIND_UNKNOWN = "wind_unknown"  # no valid or no steady wind in the window
    WIND_ELSEWHERE = "wind_elsewhere"  # no station lies downwind, or none upwind
    NOT_COMPUTABLE = "not_computable"  # a quotient that is no finite number
    # of "not applicable"
    NOT_APPLICABLE = "not_applicable"  # a condition of the rule or limit is not met
    EXCUSED_BY_MARK = "excused_by_mark"  # beyond the limit, marked with a reason that excuses it, reviewed or to be
    EXCUSED_BY_STOP = "excused_by_stop"  # beyond the limit during an approved stop
    NOT_STOPPED = "not_stopped"  # the rule is of approved stops, and none covers the whole window
    NO_DISCHARGE = "no_discharge"  # nothing was discharged in the whole window


class Substituted(StrEnum):
    """What stands in, in an hour without a valid mass; of accounts of mass alone."""

    MASS = "mass"
    CONCENTRATION = "concentration"
    FLOW = "flow"
    BOTH = "concentration_and_flow"


class Unsubstituted(StrEnum):
    """Why the mass of an hour stays unknown."""

    CAPTURE_TOO_LOW = "capture_too_low"  # the quarter has too few valid hours: its automatic data may not be used
    NOTHING_BEFORE = "nothing_before"  # no valid hour before the gap
    BY_THE_DAY = "by_the_day"  # the rule counts hours, and this analyser gives days


class Invalid(StrEnum):
    """Why a reading does not count."""

    MARKED = "marked"
    MARK_UNKNOWN = "mark_unknown"
    OUT_OF_RANGE = "out_of_range"


class Alert(StrEnum):
    """States of an alert episode."""

    PENDING = "pending"
    FIRING = "firing"
    NO_DATA = "no_data"  # firing, and the latest windows cannot be judged: cannot resolve
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"  # nothing judges it any more: its rule, limit or point was changed


OVER = (Alert.RESOLVED, Alert.SUPERSEDED)  # states that end an episode


class Transition(StrEnum):
    """What happened to an episode at a decision tick. Append-only history."""

    FIRED = "fired"
    LEVEL_CHANGED = "level_changed"
    DATA_LOST = "data_lost"
    DATA_BACK = "data_back"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"  # late data: the latest verdicts no longer hold the episode
    AMENDED = "amended"  # late data: the episode's times or peak changed
    FIRED_IN_RETROSPECT = "fired_in_retrospect"  # late data: an episode that is over already
    REOPENED = "reopened"  # late data: an episode counted as over is not
    SUPERSEDED = "superseded"  # the site was changed: what judged it is no more, and it is no all-clear


class Telling(StrEnum):
    """What a notification is: why people are told now."""

    CHANGE = "change"  # one alert changed
    GROUP = "group"  # several alerts that belong together changed
    STORM = "storm"  # many alerts of one rule at once
    FLAPPING = "flapping"  # an alert comes and goes; it is told again when it is quiet
    REPEAT = "repeat"  # still open, and nobody has acknowledged it
    ESCALATION = "escalation"  # nobody has acknowledged it for so long
    MISSED = "missed"  # it came and went while it was silenced; told once the silence is over
    CASE = "case"  # something happened to cases, not to alerts


class CaseEvent(StrEnum):
    """What happened to a case (督办). Append-only history."""

    OPENED = "opened"
    JOINED = "joined"  # one more alert belongs to it
    RAISED = "raised"  # one of its alerts has reached a higher level than any before
    LEFT = "left"  # an alert of it was withdrawn; the case stays
    NOTED = "noted"
    REPLIED = "replied"  # by the enterprise
    RETURNED = "returned"  # the reply does not do; another one is due
    REPLY_OVERDUE = "reply_overdue"
    CLOSE_OVERDUE = "close_overdue"
    CLOSED = "closed"  # by a person, never by its alerts
    REOPENED = "reopened"
    NO_EFFECT = "no_effect"  # somebody's action that did not fit how the case stood by then


class CaseState(StrEnum):
    AWAITING_REPLY = "awaiting_reply"
    REPLIED = "replied"  # the centre is to look at the reply
    OPEN = "open"  # no reply is asked for, and none came
    CLOSED = "closed"


class Conclusion(StrEnum):
    """With what a case is closed."""

    REMEDIED = "remedied"
    HANDED_OVER = "handed_over"  # to enforcement
    EXCUSED = "excused"  # start-up, shut-down, approved stop, maintenance: as marks and approvals have it
    INSTRUMENT_FAULT = "instrument_fault"  # of the analyser, or of the transmission
    NOT_CONFIRMED = "not_confirmed"


class HeldBack(StrEnum):
    """Why a change of an alert, a repeat or a step was not told when it was due."""

    SILENCED = "silenced"
    INHIBITED = "inhibited"  # by another alert
    AT_REST = "at_rest"  # approved stop or maintenance
    GROUPED = "grouped"  # waits for what belongs to it
    STORM = "storm"  # of a rule that has just told of many
    FLAPPING = "flapping"
    QUIET_HOURS = "quiet_hours"
    REVISION = "revision"  # corrects history, and waits for its time of the day
    ACKNOWLEDGED = "acknowledged"  # repeats and steps end
    OVERTAKEN = "overtaken"  # it changed again, or ended, before it was told
    NOT_TOLD_BEFORE = "not_told_before"  # a correction of what nobody had been told
    NO_ROUTE = "no_route"  # no route matches it
    NO_CHANNEL = "no_channel"  # none of its route's channels takes its level


class Receipt(StrEnum):
    """What became of one attempt to notify."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # the receiver said no; not retried
    FAILED = "failed"  # to be retried
    GAVE_UP = "gave_up"
    SENT_AGAIN = "sent_again"  # somebody had it sent once more after it was refused or given up


LEVELS = ("yellow", "orange", "red")  # ascending
