# ruff: noqa
# fmt: off
# mypy: ignore-errors
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MetricKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_KIND_UNSPECIFIED: _ClassVar[MetricKind]
    METRIC_KIND_OBSERVABLE: _ClassVar[MetricKind]
    METRIC_KIND_TARGET: _ClassVar[MetricKind]

class Provenance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVENANCE_UNSPECIFIED: _ClassVar[Provenance]
    PROVENANCE_MEASURED: _ClassVar[Provenance]
    PROVENANCE_ESTIMATED: _ClassVar[Provenance]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_PROMOTION: _ClassVar[Mode]
    MODE_EXPLORATION: _ClassVar[Mode]
    MODE_REPAIR: _ClassVar[Mode]

class PromotionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMOTION_STATE_UNSPECIFIED: _ClassVar[PromotionState]
    PROMOTION_STATE_PLANNED: _ClassVar[PromotionState]
    PROMOTION_STATE_GATED: _ClassVar[PromotionState]
    PROMOTION_STATE_REFUSED: _ClassVar[PromotionState]
    PROMOTION_STATE_APPLYING: _ClassVar[PromotionState]
    PROMOTION_STATE_UNKNOWN: _ClassVar[PromotionState]
    PROMOTION_STATE_WATCHING: _ClassVar[PromotionState]
    PROMOTION_STATE_CONFIRMED: _ClassVar[PromotionState]
    PROMOTION_STATE_ROLLING_BACK: _ClassVar[PromotionState]
    PROMOTION_STATE_ROLLED_BACK: _ClassVar[PromotionState]
    PROMOTION_STATE_CONFLICT: _ClassVar[PromotionState]

class RollbackCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLBACK_CAUSE_UNSPECIFIED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_NONE: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_LEASE_EXPIRED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_DEADLINE_PASSED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_SPECIFICATION_FAILED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_INCONCLUSIVE: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_CANCELLED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_KILL_SWITCH: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_AGENT_RESTARTED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_APPLY_FAILED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_TESTBED_CHANGED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_TRIAL_OVER: _ClassVar[RollbackCause]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_PASS: _ClassVar[Verdict]
    VERDICT_FAIL: _ClassVar[Verdict]
    VERDICT_INCONCLUSIVE: _ClassVar[Verdict]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_VIEWER: _ClassVar[Role]
    ROLE_OPERATOR: _ClassVar[Role]

class ReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_CODE_UNSPECIFIED: _ClassVar[ReasonCode]
    REASON_CODE_CERTIFICATE_MISSING: _ClassVar[ReasonCode]
    REASON_CODE_CERTIFICATE_FORGED: _ClassVar[ReasonCode]
    REASON_CODE_CERTIFICATE_UNTRUSTED_KEY: _ClassVar[ReasonCode]
    REASON_CODE_CERTIFICATE_EXPIRED: _ClassVar[ReasonCode]
    REASON_CODE_CERTIFICATE_NOT_YET_VALID: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_SPECIFICATION: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_SCENARIO: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_TESTBED: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_STACK: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_RADIO_MODE: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_CALIBRATION: _ClassVar[ReasonCode]
    REASON_CODE_OTHER_WINDOW: _ClassVar[ReasonCode]
    REASON_CODE_BOUND_BELOW_ALPHA: _ClassVar[ReasonCode]
    REASON_CODE_UNCERTIFIED_CONTROL: _ClassVar[ReasonCode]
    REASON_CODE_UNCERTIFIED_TARGET: _ClassVar[ReasonCode]
    REASON_CODE_UNKNOWN_CONTROL: _ClassVar[ReasonCode]
    REASON_CODE_NOT_LIVE: _ClassVar[ReasonCode]
    REASON_CODE_NO_CHANGE: _ClassVar[ReasonCode]
    REASON_CODE_OUT_OF_BOUNDS: _ClassVar[ReasonCode]
    REASON_CODE_OFF_RESOLUTION: _ClassVar[ReasonCode]
    REASON_CODE_STEP_TOO_LARGE: _ClassVar[ReasonCode]
    REASON_CODE_TOO_MANY_GNBS: _ClassVar[ReasonCode]
    REASON_CODE_LAST_HEALTHY_CELL: _ClassVar[ReasonCode]
    REASON_CODE_TOO_SOON: _ClassVar[ReasonCode]
    REASON_CODE_DRIFT: _ClassVar[ReasonCode]
    REASON_CODE_DRIFT_UNKNOWN: _ClassVar[ReasonCode]
    REASON_CODE_METRIC_MISSING: _ClassVar[ReasonCode]
    REASON_CODE_METRIC_ESTIMATED: _ClassVar[ReasonCode]
    REASON_CODE_SPECIFICATION_FAILS_NOW: _ClassVar[ReasonCode]
    REASON_CODE_SPECIFICATION_INCONCLUSIVE_NOW: _ClassVar[ReasonCode]
    REASON_CODE_TRIAL_IN_FLIGHT: _ClassVar[ReasonCode]
    REASON_CODE_PLAN_STALE: _ClassVar[ReasonCode]
    REASON_CODE_PLAN_EXPIRED: _ClassVar[ReasonCode]
    REASON_CODE_CONFLICT: _ClassVar[ReasonCode]
    REASON_CODE_EXPLORATION_OFF: _ClassVar[ReasonCode]
    REASON_CODE_OUTSIDE_EXPLORATION_BOX: _ClassVar[ReasonCode]
    REASON_CODE_BACKEND_UNREACHABLE: _ClassVar[ReasonCode]
    REASON_CODE_JOURNAL_FULL: _ClassVar[ReasonCode]
    REASON_CODE_JOURNAL_DAMAGED: _ClassVar[ReasonCode]
    REASON_CODE_REPAIR_NEEDS_REASON: _ClassVar[ReasonCode]
    REASON_CODE_TESTBED_REFUSED: _ClassVar[ReasonCode]
METRIC_KIND_UNSPECIFIED: MetricKind
METRIC_KIND_OBSERVABLE: MetricKind
METRIC_KIND_TARGET: MetricKind
PROVENANCE_UNSPECIFIED: Provenance
PROVENANCE_MEASURED: Provenance
PROVENANCE_ESTIMATED: Provenance
MODE_UNSPECIFIED: Mode
MODE_PROMOTION: Mode
MODE_EXPLORATION: Mode
MODE_REPAIR: Mode
PROMOTION_STATE_UNSPECIFIED: PromotionState
PROMOTION_STATE_PLANNED: PromotionState
PROMOTION_STATE_GATED: PromotionState
PROMOTION_STATE_REFUSED: PromotionState
PROMOTION_STATE_APPLYING: PromotionState
PROMOTION_STATE_UNKNOWN: PromotionState
PROMOTION_STATE_WATCHING: PromotionState
PROMOTION_STATE_CONFIRMED: PromotionState
PROMOTION_STATE_ROLLING_BACK: PromotionState
PROMOTION_STATE_ROLLED_BACK: PromotionState
PROMOTION_STATE_CONFLICT: PromotionState
ROLLBACK_CAUSE_UNSPECIFIED: RollbackCause
ROLLBACK_CAUSE_NONE: RollbackCause
ROLLBACK_CAUSE_LEASE_EXPIRED: RollbackCause
ROLLBACK_CAUSE_DEADLINE_PASSED: RollbackCause
ROLLBACK_CAUSE_SPECIFICATION_FAILED: RollbackCause
ROLLBACK_CAUSE_INCONCLUSIVE: RollbackCause
ROLLBACK_CAUSE_CANCELLED: RollbackCause
ROLLBACK_CAUSE_KILL_SWITCH: RollbackCause
ROLLBACK_CAUSE_AGENT_RESTARTED: RollbackCause
ROLLBACK_CAUSE_APPLY_FAILED: RollbackCause
ROLLBACK_CAUSE_TESTBED_CHANGED: RollbackCause
ROLLBACK_CAUSE_TRIAL_OVER: RollbackCause
VERDICT_UNSPECIFIED: Verdict
VERDICT_PASS: Verdict
VERDICT_FAIL: Verdict
VERDICT_INCONCLUSIVE: Verdict
ROLE_UNSPECIFIED: Role
ROLE_VIEWER: Role
ROLE_OPERATOR: Role
REASON_CODE_UNSPECIFIED: ReasonCode
REASON_CODE_CERTIFICATE_MISSING: ReasonCode
REASON_CODE_CERTIFICATE_FORGED: ReasonCode
REASON_CODE_CERTIFICATE_UNTRUSTED_KEY: ReasonCode
REASON_CODE_CERTIFICATE_EXPIRED: ReasonCode
REASON_CODE_CERTIFICATE_NOT_YET_VALID: ReasonCode
REASON_CODE_OTHER_SPECIFICATION: ReasonCode
REASON_CODE_OTHER_SCENARIO: ReasonCode
REASON_CODE_OTHER_TESTBED: ReasonCode
REASON_CODE_OTHER_STACK: ReasonCode
REASON_CODE_OTHER_RADIO_MODE: ReasonCode
REASON_CODE_OTHER_CALIBRATION: ReasonCode
REASON_CODE_OTHER_WINDOW: ReasonCode
REASON_CODE_BOUND_BELOW_ALPHA: ReasonCode
REASON_CODE_UNCERTIFIED_CONTROL: ReasonCode
REASON_CODE_UNCERTIFIED_TARGET: ReasonCode
REASON_CODE_UNKNOWN_CONTROL: ReasonCode
REASON_CODE_NOT_LIVE: ReasonCode
REASON_CODE_NO_CHANGE: ReasonCode
REASON_CODE_OUT_OF_BOUNDS: ReasonCode
REASON_CODE_OFF_RESOLUTION: ReasonCode
REASON_CODE_STEP_TOO_LARGE: ReasonCode
REASON_CODE_TOO_MANY_GNBS: ReasonCode
REASON_CODE_LAST_HEALTHY_CELL: ReasonCode
REASON_CODE_TOO_SOON: ReasonCode
REASON_CODE_DRIFT: ReasonCode
REASON_CODE_DRIFT_UNKNOWN: ReasonCode
REASON_CODE_METRIC_MISSING: ReasonCode
REASON_CODE_METRIC_ESTIMATED: ReasonCode
REASON_CODE_SPECIFICATION_FAILS_NOW: ReasonCode
REASON_CODE_SPECIFICATION_INCONCLUSIVE_NOW: ReasonCode
REASON_CODE_TRIAL_IN_FLIGHT: ReasonCode
REASON_CODE_PLAN_STALE: ReasonCode
REASON_CODE_PLAN_EXPIRED: ReasonCode
REASON_CODE_CONFLICT: ReasonCode
REASON_CODE_EXPLORATION_OFF: ReasonCode
REASON_CODE_OUTSIDE_EXPLORATION_BOX: ReasonCode
REASON_CODE_BACKEND_UNREACHABLE: ReasonCode
REASON_CODE_JOURNAL_FULL: ReasonCode
REASON_CODE_JOURNAL_DAMAGED: ReasonCode
REASON_CODE_REPAIR_NEEDS_REASON: ReasonCode
REASON_CODE_TESTBED_REFUSED: ReasonCode

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: TestbedStatus
    def __init__(self, status: _Optional[_Union[TestbedStatus, _Mapping]] = ...) -> None: ...

class WatchWindowsRequest(_message.Message):
    __slots__ = ("since_sequence", "heartbeat_interval")
    SINCE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    since_sequence: int
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, since_sequence: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchWindowsResponse(_message.Message):
    __slots__ = ("windows", "heartbeat")
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    windows: Windows
    heartbeat: Heartbeat
    def __init__(self, windows: _Optional[_Union[Windows, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sent_at",)
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    sent_at: _timestamp_pb2.Timestamp
    def __init__(self, sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListWindowsRequest(_message.Message):
    __slots__ = ("since_sequence", "page_size")
    SINCE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    since_sequence: int
    page_size: int
    def __init__(self, since_sequence: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListWindowsResponse(_message.Message):
    __slots__ = ("windows", "next_since_sequence")
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_SINCE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    windows: Windows
    next_since_sequence: int
    def __init__(self, windows: _Optional[_Union[Windows, _Mapping]] = ..., next_since_sequence: _Optional[int] = ...) -> None: ...

class PlanPromotionRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: PromotionRequest
    def __init__(self, request: _Optional[_Union[PromotionRequest, _Mapping]] = ...) -> None: ...

class PlanPromotionResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ...) -> None: ...

class ApplyPromotionRequest(_message.Message):
    __slots__ = ("promotion_id", "plan_digest")
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    plan_digest: str
    def __init__(self, promotion_id: _Optional[str] = ..., plan_digest: _Optional[str] = ...) -> None: ...

class ApplyPromotionResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class ConfirmPromotionRequest(_message.Message):
    __slots__ = ("promotion_id",)
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    def __init__(self, promotion_id: _Optional[str] = ...) -> None: ...

class ConfirmPromotionResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class CancelPromotionRequest(_message.Message):
    __slots__ = ("promotion_id", "why")
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    why: str
    def __init__(self, promotion_id: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class CancelPromotionResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class ExtendTrialRequest(_message.Message):
    __slots__ = ("promotion_id", "trial_timeout")
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    TRIAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    trial_timeout: _duration_pb2.Duration
    def __init__(self, promotion_id: _Optional[str] = ..., trial_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExtendTrialResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("promotion_id",)
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    def __init__(self, promotion_id: _Optional[str] = ...) -> None: ...

class RenewLeaseResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class GetPromotionRequest(_message.Message):
    __slots__ = ("promotion_id",)
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    def __init__(self, promotion_id: _Optional[str] = ...) -> None: ...

class GetPromotionResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ...) -> None: ...

class WatchPromotionRequest(_message.Message):
    __slots__ = ("promotion_id", "heartbeat_interval")
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, promotion_id: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchPromotionResponse(_message.Message):
    __slots__ = ("promotion", "heartbeat")
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    promotion: Promotion
    heartbeat: Heartbeat
    def __init__(self, promotion: _Optional[_Union[Promotion, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class ListJournalRequest(_message.Message):
    __slots__ = ("since_number", "page_size", "promotion_id")
    SINCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    since_number: int
    page_size: int
    promotion_id: str
    def __init__(self, since_number: _Optional[int] = ..., page_size: _Optional[int] = ..., promotion_id: _Optional[str] = ...) -> None: ...

class ListJournalResponse(_message.Message):
    __slots__ = ("entries", "next_since_number")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_SINCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[JournalEntry]
    next_since_number: int
    def __init__(self, entries: _Optional[_Iterable[_Union[JournalEntry, _Mapping]]] = ..., next_since_number: _Optional[int] = ...) -> None: ...

class RollBackEverythingRequest(_message.Message):
    __slots__ = ("why",)
    WHY_FIELD_NUMBER: _ClassVar[int]
    why: str
    def __init__(self, why: _Optional[str] = ...) -> None: ...

class RollBackEverythingResponse(_message.Message):
    __slots__ = ("promotions",)
    PROMOTIONS_FIELD_NUMBER: _ClassVar[int]
    promotions: _containers.RepeatedCompositeFieldContainer[Promotion]
    def __init__(self, promotions: _Optional[_Iterable[_Union[Promotion, _Mapping]]] = ...) -> None: ...

class Control(_message.Message):
    __slots__ = ("name", "unit", "lower", "upper", "resolution", "reference", "live", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    lower: float
    upper: float
    resolution: float
    reference: float
    live: bool
    description: str
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., resolution: _Optional[float] = ..., reference: _Optional[float] = ..., live: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "unit", "kind", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    kind: MetricKind
    description: str
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., kind: _Optional[_Union[MetricKind, str]] = ..., description: _Optional[str] = ...) -> None: ...

class PlantDescription(_message.Message):
    __slots__ = ("plant_id", "controls", "metrics", "window_length", "wall_window_length", "emulated", "notes")
    PLANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_LENGTH_FIELD_NUMBER: _ClassVar[int]
    WALL_WINDOW_LENGTH_FIELD_NUMBER: _ClassVar[int]
    EMULATED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    plant_id: str
    controls: _containers.RepeatedCompositeFieldContainer[Control]
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    window_length: _duration_pb2.Duration
    wall_window_length: _duration_pb2.Duration
    emulated: bool
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plant_id: _Optional[str] = ..., controls: _Optional[_Iterable[_Union[Control, _Mapping]]] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., window_length: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wall_window_length: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., emulated: _Optional[bool] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Gnb(_message.Message):
    __slots__ = ("name", "control_names", "health_metric_names")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTROL_NAMES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_METRIC_NAMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    control_names: _containers.RepeatedScalarFieldContainer[str]
    health_metric_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., control_names: _Optional[_Iterable[str]] = ..., health_metric_names: _Optional[_Iterable[str]] = ...) -> None: ...

class BackendDescription(_message.Message):
    __slots__ = ("plant", "stack", "radio_mode", "gnbs", "estimated_metric_names")
    PLANT_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    RADIO_MODE_FIELD_NUMBER: _ClassVar[int]
    GNBS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_METRIC_NAMES_FIELD_NUMBER: _ClassVar[int]
    plant: PlantDescription
    stack: str
    radio_mode: str
    gnbs: _containers.RepeatedCompositeFieldContainer[Gnb]
    estimated_metric_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plant: _Optional[_Union[PlantDescription, _Mapping]] = ..., stack: _Optional[str] = ..., radio_mode: _Optional[str] = ..., gnbs: _Optional[_Iterable[_Union[Gnb, _Mapping]]] = ..., estimated_metric_names: _Optional[_Iterable[str]] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("controls", "testbed_time_s", "next_sequence", "automation")
    class ControlsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    TESTBED_TIME_S_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AUTOMATION_FIELD_NUMBER: _ClassVar[int]
    controls: _containers.ScalarMap[str, float]
    testbed_time_s: float
    next_sequence: int
    automation: bool
    def __init__(self, controls: _Optional[_Mapping[str, float]] = ..., testbed_time_s: _Optional[float] = ..., next_sequence: _Optional[int] = ..., automation: _Optional[bool] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "values", "provenance")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    provenance: Provenance
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., provenance: _Optional[_Union[Provenance, str]] = ...) -> None: ...

class Windows(_message.Message):
    __slots__ = ("sequences", "starts_s", "ends_s", "runs", "controls", "metrics")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    STARTS_S_FIELD_NUMBER: _ClassVar[int]
    ENDS_S_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedScalarFieldContainer[int]
    starts_s: _containers.RepeatedScalarFieldContainer[float]
    ends_s: _containers.RepeatedScalarFieldContainer[float]
    runs: _containers.RepeatedScalarFieldContainer[int]
    controls: _containers.RepeatedCompositeFieldContainer[Column]
    metrics: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, sequences: _Optional[_Iterable[int]] = ..., starts_s: _Optional[_Iterable[float]] = ..., ends_s: _Optional[_Iterable[float]] = ..., runs: _Optional[_Iterable[int]] = ..., controls: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., metrics: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class TestbedStatus(_message.Message):
    __slots__ = ("backend", "reading", "confirmed", "specification", "alpha", "active", "exploration_enabled", "journal_entries", "drift", "agent_version", "problems")
    class ConfirmedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    backend: BackendDescription
    reading: Reading
    confirmed: _containers.ScalarMap[str, float]
    specification: str
    alpha: float
    active: Promotion
    exploration_enabled: bool
    journal_entries: int
    drift: float
    agent_version: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, backend: _Optional[_Union[BackendDescription, _Mapping]] = ..., reading: _Optional[_Union[Reading, _Mapping]] = ..., confirmed: _Optional[_Mapping[str, float]] = ..., specification: _Optional[str] = ..., alpha: _Optional[float] = ..., active: _Optional[_Union[Promotion, _Mapping]] = ..., exploration_enabled: _Optional[bool] = ..., journal_entries: _Optional[int] = ..., drift: _Optional[float] = ..., agent_version: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class SignedCertificate(_message.Message):
    __slots__ = ("payload", "signature")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    signature: bytes
    def __init__(self, payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class PromotionRequest(_message.Message):
    __slots__ = ("promotion_id", "target", "certificate", "mode", "why", "watched_windows", "lease_ttl", "trial_timeout", "auto_confirm", "validate_only")
    class TargetEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    WATCHED_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_FIELD_NUMBER: _ClassVar[int]
    TRIAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    AUTO_CONFIRM_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    target: _containers.ScalarMap[str, float]
    certificate: SignedCertificate
    mode: Mode
    why: str
    watched_windows: int
    lease_ttl: _duration_pb2.Duration
    trial_timeout: _duration_pb2.Duration
    auto_confirm: bool
    validate_only: bool
    def __init__(self, promotion_id: _Optional[str] = ..., target: _Optional[_Mapping[str, float]] = ..., certificate: _Optional[_Union[SignedCertificate, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., why: _Optional[str] = ..., watched_windows: _Optional[int] = ..., lease_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., trial_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., auto_confirm: _Optional[bool] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("control_name", "before", "after", "unit")
    CONTROL_NAME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    control_name: str
    before: float
    after: float
    unit: str
    def __init__(self, control_name: _Optional[str] = ..., before: _Optional[float] = ..., after: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("request", "before", "after", "changes", "digest", "reasons", "drift", "expires_in", "notes")
    class BeforeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class AfterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    request: PromotionRequest
    before: _containers.ScalarMap[str, float]
    after: _containers.ScalarMap[str, float]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    digest: str
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    drift: float
    expires_in: _duration_pb2.Duration
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request: _Optional[_Union[PromotionRequest, _Mapping]] = ..., before: _Optional[_Mapping[str, float]] = ..., after: _Optional[_Mapping[str, float]] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., digest: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., drift: _Optional[float] = ..., expires_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("name", "role", "proof")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: Role
    proof: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., proof: _Optional[str] = ...) -> None: ...

class WatchedWindow(_message.Message):
    __slots__ = ("sequence", "robustness_low", "robustness_high", "missing_metric_names")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROBUSTNESS_LOW_FIELD_NUMBER: _ClassVar[int]
    ROBUSTNESS_HIGH_FIELD_NUMBER: _ClassVar[int]
    MISSING_METRIC_NAMES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    robustness_low: float
    robustness_high: float
    missing_metric_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sequence: _Optional[int] = ..., robustness_low: _Optional[float] = ..., robustness_high: _Optional[float] = ..., missing_metric_names: _Optional[_Iterable[str]] = ...) -> None: ...

class Conflict(_message.Message):
    __slots__ = ("control_name", "set_value", "found_value")
    CONTROL_NAME_FIELD_NUMBER: _ClassVar[int]
    SET_VALUE_FIELD_NUMBER: _ClassVar[int]
    FOUND_VALUE_FIELD_NUMBER: _ClassVar[int]
    control_name: str
    set_value: float
    found_value: float
    def __init__(self, control_name: _Optional[str] = ..., set_value: _Optional[float] = ..., found_value: _Optional[float] = ...) -> None: ...

class Promotion(_message.Message):
    __slots__ = ("promotion_id", "plan", "state", "who", "version", "created_at", "reasons", "verdict", "robustness", "windows", "windows_needed", "first_sequence", "lease_remaining", "deadline_remaining", "auto_confirm", "cause", "cause_text", "conflicts", "read_back")
    class ReadBackEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ROBUSTNESS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_NEEDED_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_REMAINING_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_REMAINING_FIELD_NUMBER: _ClassVar[int]
    AUTO_CONFIRM_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    READ_BACK_FIELD_NUMBER: _ClassVar[int]
    promotion_id: str
    plan: Plan
    state: PromotionState
    who: Identity
    version: int
    created_at: _timestamp_pb2.Timestamp
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    verdict: Verdict
    robustness: float
    windows: _containers.RepeatedCompositeFieldContainer[WatchedWindow]
    windows_needed: int
    first_sequence: int
    lease_remaining: _duration_pb2.Duration
    deadline_remaining: _duration_pb2.Duration
    auto_confirm: bool
    cause: RollbackCause
    cause_text: str
    conflicts: _containers.RepeatedCompositeFieldContainer[Conflict]
    read_back: _containers.ScalarMap[str, float]
    def __init__(self, promotion_id: _Optional[str] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., state: _Optional[_Union[PromotionState, str]] = ..., who: _Optional[_Union[Identity, _Mapping]] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., robustness: _Optional[float] = ..., windows: _Optional[_Iterable[_Union[WatchedWindow, _Mapping]]] = ..., windows_needed: _Optional[int] = ..., first_sequence: _Optional[int] = ..., lease_remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., deadline_remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., auto_confirm: _Optional[bool] = ..., cause: _Optional[_Union[RollbackCause, str]] = ..., cause_text: _Optional[str] = ..., conflicts: _Optional[_Iterable[_Union[Conflict, _Mapping]]] = ..., read_back: _Optional[_Mapping[str, float]] = ...) -> None: ...

class JournalEntry(_message.Message):
    __slots__ = ("number", "written_at", "monotonic_s", "promotion_id", "who", "actor", "kind", "state_before", "state_after", "details_json", "previous_hash", "hash")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_AT_FIELD_NUMBER: _ClassVar[int]
    MONOTONIC_S_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_ID_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    STATE_AFTER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_HASH_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    number: int
    written_at: _timestamp_pb2.Timestamp
    monotonic_s: float
    promotion_id: str
    who: str
    actor: str
    kind: str
    state_before: str
    state_after: str
    details_json: str
    previous_hash: str
    hash: str
    def __init__(self, number: _Optional[int] = ..., written_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., monotonic_s: _Optional[float] = ..., promotion_id: _Optional[str] = ..., who: _Optional[str] = ..., actor: _Optional[str] = ..., kind: _Optional[str] = ..., state_before: _Optional[str] = ..., state_after: _Optional[str] = ..., details_json: _Optional[str] = ..., previous_hash: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "text", "facts")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    code: ReasonCode
    text: str
    facts: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[_Union[ReasonCode, str]] = ..., text: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RefusalDetail(_message.Message):
    __slots__ = ("reasons",)
    REASONS_FIELD_NUMBER: _ClassVar[int]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    def __init__(self, reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ...) -> None: ...
