"""The keys of flows: made when a flow is first laid, and the same when its stages are deployed again."""

from __future__ import annotations

import threading

from edgeray.dataplane.security import FlowSecurity, new_flow_security
from edgeray.scheduler.effects import StagePlan
from policies.model import FlowId, JobId


class Keys:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[JobId, dict[FlowId, FlowSecurity]] = {}

    def of(self, stage: StagePlan) -> dict[FlowId, FlowSecurity]:
        """Each flow's own keys; a producer gets no server secret, a consumer no client secret."""
        with self._lock:
            keys = self._keys.setdefault(stage.job, {})
            for flow in (*(f.flow for f in stage.inflows), *(f.flow for f in stage.outflows)):
                if flow not in keys:
                    keys[flow] = new_flow_security()
            ingoing = {f.flow: keys[f.flow].for_receiver() for f in stage.inflows}
            outgoing = {f.flow: keys[f.flow].for_sender() for f in stage.outflows}
        return {**ingoing, **outgoing}
