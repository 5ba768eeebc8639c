"""Jobs that watch cameras through any order of events, and nodes that do late what they are told: what must hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from camera_cases import EDGES, EVERYONE, HUB, YARD, Chosen, watch_workload
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, DeployStage, MapStreams, StartStage, StopStage
from edgeray.scheduler.jobs import Attendance, JobRecord, Phase, flow_rules
from edgeray.scheduler.loops import RESTARTS
from edgeray.scheduler.ports import PortPool
from edgeray.scheduler.state import SchedulerState
from policies.model import CameraId, DeviceId, JobId, Mapped
from policies.streams.mapping import StreamMapping

NAMES = ("w", "v")
TIMES = st.floats(0, 50)
JOBS = st.sampled_from([JobId(name) for name in NAMES])
ON = st.sampled_from(EVERYONE)
VERSIONS = st.integers(1, 15)
PEOPLE = st.sampled_from([0.0, 0.1, 8.0])

SUBMITTED = st.builds(
    lambda at_s, job: ev.JobSubmitted(
        at_s=at_s,
        job=job,
        workload=watch_workload(job, settle_s=0.0),
        policy="load-aware",
        needs_profile=False,
        lease_s=45,
    ),
    TIMES,
    JOBS,
)
MEASURED = st.builds(
    lambda at_s, job, c1, c2: ev.StreamsMeasured(
        at_s=at_s, job=job, calls_per_frame={CameraId("c1"): c1, CameraId("c2"): c2}
    ),
    TIMES,
    JOBS,
    PEOPLE,
    PEOPLE,
)
LOST = st.builds(ev.DeviceLost, at_s=TIMES, device=ON, reason=st.just("gone"))
BACK = st.builds(
    lambda at_s, device, moved: ev.DeviceJoined(at_s=at_s, device=device, address=f"ip-{device}{moved}"),
    TIMES,
    ON,
    st.sampled_from(["", "", "-new"]),
)
DEPLOYED = st.builds(ev.StageDeployed, at_s=TIMES, job=JOBS, device=st.sampled_from(EDGES))
ENDED = st.builds(
    ev.StageEnded,
    at_s=TIMES,
    job=JOBS,
    device=st.sampled_from(EDGES),
    error=st.sampled_from([None, "broke"]),
)
DIED = st.builds(
    ev.StageEnded,
    at_s=TIMES,
    job=JOBS,
    device=st.sampled_from(EDGES),
    error=st.just("killed"),
    died=st.just(True),
)
EVENTS = st.one_of(
    *(SUBMITTED, MEASURED, LOST, BACK, BACK, DIED) * 2,
    DEPLOYED,
    ENDED,
    st.builds(ev.NetworkApplied, at_s=TIMES, device=ON, version=VERSIONS),
    st.builds(ev.NetworkRefused, at_s=TIMES, device=ON, version=VERSIONS, reason=st.just("no")),
    st.builds(
        ev.LinkChanged,
        at_s=TIMES,
        link=st.sampled_from(sorted(YARD.links)),
        capacity_bps=st.sampled_from([0.0, 1e5, 1e8]),
    ),
    st.builds(ev.StopRequested, at_s=TIMES, job=JOBS, reason=st.just("stop")),
)


OBEYING = st.sets(ON) | st.just(frozenset(EVERYONE))
"""Devices whose nodes have done all that they were told so far."""
STEPS = st.tuples(EVENTS, OBEYING)


class Watched:
    """The state, with what must hold after every event."""

    def __init__(self) -> None:
        self.state = SchedulerState(YARD, lambda name: StreamMapping(name, Chosen()))
        self._versions = dict.fromkeys(EVERYONE, 0)
        self._deploys: Counter[tuple[JobId, DeviceId]] = Counter()
        self._told: dict[tuple[JobId, DeviceId], Mapped | None] = {}
        self._begun: set[tuple[JobId, DeviceId]] = set()
        for device in EVERYONE:
            self.handle(ev.DeviceJoined(at_s=0, device=device, address=f"ip-{device}"))

    def handle(self, event: ev.Event) -> None:
        for effect in self.state.handle(event):
            match effect:
                case ApplyNetwork():
                    assert effect.device in self.state.devices
                    assert effect.version > self._versions[effect.device]
                    self._versions[effect.device] = effect.version
                case DeployStage():
                    assert effect.device in self.state.devices
                    key = effect.stage.job, effect.device
                    self._deploys[key] += 1
                    self._told[key] = effect.stage.mapped
                    self._begun.discard(key)
                case StartStage():
                    key = effect.job, effect.device
                    assert self.state.jobs[effect.job].stages[effect.device], "only what stands is started"
                    assert key not in self._begun, "nothing is started twice"
                    self._begun.add(key)
                case MapStreams():
                    assert self.state.jobs[effect.job].stages[effect.device], "only what stands is told"
                    self._told[effect.job, effect.device] = effect.mapped
                case StopStage():
                    assert effect.device in self.state.jobs[effect.job].stages
        if isinstance(event, ev.DeviceLost):
            for name in NAMES:
                self._deploys[JobId(name), event.device] = 0
        self._check()

    def obey(self, devices: Iterable[DeviceId], at_s: float) -> None:
        for device in sorted(devices):
            self.handle(ev.NetworkApplied(at_s=at_s, device=device, version=self._versions[device]))
            for job, record in tuple(self.state.jobs.items()):
                if device in record.stages:
                    self.handle(ev.StageDeployed(at_s=at_s, job=job, device=device))
        if {*devices} >= {*EVERYONE}:
            for record in self.state.jobs.values():
                assert record.phase is not Phase.DEPLOYING, "nobody waits for what is done"
                assert record.phase is not Phase.RUNNING or not record.attendance.entering

    def _check(self) -> None:
        ports = [port for record in self.state.jobs.values() for port in record.ports.values()]
        assert len(ports) == len(set(ports))
        for record in self.state.jobs.values():
            if record.phase.ended:
                assert not (record.stages or record.ports or record.network)
                assert record.attendance == Attendance()
            if record.phase is Phase.RUNNING:
                self._check_running(record)
        assert all(times <= 1 + RESTARTS for times in self._deploys.values())

    def _check_running(self, record: JobRecord) -> None:
        attendance, plan = record.attendance, record.plan
        assert plan is not None and plan.mapped is not None
        assert HUB in record.stages, "a job that runs has its head"
        assert all(device in self.state.devices for device in record.stages)
        assert not attendance.absent & record.stages.keys()
        for device, stands in record.stages.items():
            if stands and device not in attendance.entering:
                assert (record.id, device) in self._begun
                assert self._told[record.id, device] == plan.mapped, "no edge goes by an older mapping"
        enforced = {r.port for rules in self.state._rules._rules.values() for r in rules.get(record.id, ())}
        wanted = flow_rules(record, attendance.addresses)
        assert enforced == {rule.port for rule in wanted}
        assert plan.routes.keys() == record.ports.keys(), "no flow without a port"
        present = 3 - len(attendance.absent)
        assert len(wanted) == present * (present - 1)
        live = self.state._cluster.live
        if len(live.devices) == len(EVERYONE) and all(link.capacity_bps > 0 for link in live.links.values()):
            assert len(plan.mapped.streams) == 2, "all cameras are watched while everybody is here"

    def tear_down(self) -> None:
        """Every stage leaves; then nobody holds anything, and every device's rules are empty."""
        for job, record in tuple(self.state.jobs.items()):
            self.handle(ev.StopRequested(at_s=99, job=job, reason="end"))
            for device in tuple(record.stages):
                self.handle(ev.StageEnded(at_s=99, job=job, device=device, error=None))
        assert all(record.phase.ended for record in self.state.jobs.values())
        assert self.state._ports.free == PortPool().free
        assert not self.state._roster.alive and not self.state._roster.placed
        for device in self.state.devices:
            assert self.state._rules._sent.get(device, ()) == ()


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=30), st.booleans())
def test_any_order_of_events_leaves_a_sound_state(
    steps: list[tuple[ev.Event, Collection[DeviceId]]], runs: bool
) -> None:
    """runs: a job does so as it begins."""
    watched = Watched()
    workload, job = watch_workload("w", settle_s=0.0), JobId("w")
    watched.handle(
        ev.JobSubmitted(
            at_s=1, job=job, workload=workload, policy="load-aware", needs_profile=False, lease_s=None
        )
    )
    if runs:
        watched.obey(EVERYONE, 1)
        assert watched.state.jobs[job].phase is Phase.RUNNING
    for event, obeying in steps:
        watched.handle(event)
        watched.obey(obeying, event.at_s)
    watched.tear_down()
