"""Jobs of all modes through any order of events: loss, duplicates, reordering; what must hold throughout."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_cases import AB, AC, DEVICES, E1, L12, L23, NETWORK, POLICIES, ROUTES, Rote, workload

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, DeployStage, StartStage, StartTransfer
from edgeray.scheduler.jobs import Attendance, JobRecord, Phase, flow_rules
from edgeray.scheduler.loops import RESTARTS
from edgeray.scheduler.ports import PortPool
from edgeray.scheduler.state import SchedulerState
from policies.model import DeviceId, FlowId, JobId, Mode, link_id

MODES: dict[str, Mode] = {
    "s": "stream",
    "t": "stream",
    "j": "once",
    "k": "once",
    "l": "loop",
    "m": "loop",
}
TIMES = st.floats(0, 50)
JOBS = st.sampled_from([JobId(name) for name in MODES])
ON = st.sampled_from(DEVICES)
FLOWS = st.sampled_from([AB, AC])
VERSIONS = st.integers(1, 15)

SUBMITTED = st.builds(
    lambda at_s, job: ev.JobSubmitted(
        at_s=at_s,
        job=job,
        workload=workload(job, MODES[job]),
        policy=POLICIES[MODES[job]],
        needs_profile=False,
        lease_s=45,
    ),
    TIMES,
    JOBS,
)
READY = st.builds(ev.TransferReady, at_s=TIMES, job=JOBS, flow=FLOWS)
EVENTS = st.one_of(
    *(SUBMITTED, READY) * 3,  # more often than what ends jobs, or few would ever send
    st.builds(ev.StageDeployed, at_s=TIMES, job=JOBS, device=ON),
    st.builds(ev.StageEnded, at_s=TIMES, job=JOBS, device=ON, error=st.sampled_from([None, "broke"])),
    st.builds(ev.StageEnded, at_s=TIMES, job=JOBS, device=ON, error=st.just("killed"), died=st.just(True)),
    st.builds(ev.TransferDone, at_s=TIMES, job=JOBS, flow=FLOWS),
    st.builds(ev.NetworkApplied, at_s=TIMES, device=ON, version=VERSIONS),
    st.builds(ev.NetworkRefused, at_s=TIMES, device=ON, version=VERSIONS, reason=st.just("no")),
    st.builds(
        ev.LinkChanged,
        at_s=TIMES,
        link=st.sampled_from([L12, L23]),
        capacity_bps=st.sampled_from([0.0, 4, 9]),
    ),
    st.builds(ev.DeviceLost, at_s=TIMES, device=ON, reason=st.just("gone")),
    st.builds(ev.DeviceJoined, at_s=TIMES, device=ON, address=st.sampled_from(["ip1", "ip2"])),
    st.builds(ev.StopRequested, at_s=TIMES, job=JOBS, reason=st.just("stop")),
    st.builds(ev.Ticked, at_s=TIMES),
)


class Watched:
    """The state, with what must hold after every event. obedient: nodes do at once what they are told."""

    def __init__(self, *, obedient: bool) -> None:
        self.state = SchedulerState(NETWORK, {name: Rote(name) for name in POLICIES.values()}.__getitem__)
        self._obedient = obedient
        self._versions = dict.fromkeys(DEVICES, 0)
        self._deploys: Counter[tuple[JobId, DeviceId]] = Counter()
        self._new: set[tuple[JobId, DeviceId]] = set()
        for device in DEVICES:
            self.handle(ev.DeviceJoined(at_s=0, device=device, address=f"ip-{device}"))

    def handle(self, event: ev.Event) -> None:
        for effect in self.state.handle(event):
            if isinstance(effect, ApplyNetwork):
                assert effect.device in self.state.devices
                assert effect.version > self._versions[effect.device]
                self._versions[effect.device] = effect.version
            if isinstance(effect, DeployStage):
                assert effect.device in self.state.devices
                self._deploys[effect.stage.job, effect.device] += 1
                self._new.add((effect.stage.job, effect.device))
            if isinstance(effect, StartStage):
                record = self.state.jobs[effect.job]
                assert record.phase is Phase.RUNNING
                assert record.stages[effect.device], "only what stands is started"
                self._new.remove((effect.job, effect.device))  # nothing is started twice
            if isinstance(effect, StartTransfer):
                assert self.state.jobs[effect.job].phase is Phase.RUNNING
                assert effect.job in ("j", "k")
        if isinstance(event, ev.DeviceLost):
            for job in MODES:
                self._deploys[JobId(job), event.device] = 0
        self._check()
        if self._obedient:
            self._obey(event.at_s)

    def _obey(self, at_s: float) -> None:
        self._obedient = False
        for device, version in self._versions.items():
            self.handle(ev.NetworkApplied(at_s=at_s, device=device, version=version))
        for job in tuple(self.state.jobs):
            for device in tuple(self.state.jobs[job].stages):
                self.handle(ev.StageDeployed(at_s=at_s, job=job, device=device))
        self._obedient = True

    def _check(self) -> None:
        sending = list(self.state._lanes.sending)
        links = [link for _, flow in sending for link in _links(flow)]
        assert len(links) == len(set(links)), "a link carries one transfer at a time"
        assert all(self.state.jobs[job].phase is Phase.RUNNING for job, _ in sending)
        ports = [port for record in self.state.jobs.values() for port in record.ports.values()]
        assert len(ports) == len(set(ports))
        for record in self.state.jobs.values():
            if record.phase.ended:
                assert not (record.stages or record.ports or record.network)
                assert record.attendance == Attendance()
            if record.phase is Phase.STOPPING:
                assert record.stages
            if record.mode == "loop" and record.phase is Phase.RUNNING:
                self._check_loop(record)
        assert all(times <= 1 + RESTARTS for times in self._deploys.values())

    def _check_loop(self, record: JobRecord) -> None:
        attendance = record.attendance
        assert E1 in record.stages, "a loop that runs has its server"
        assert len(attendance.absent) < 2, "and a client, unless that ended well"
        assert not attendance.lost & attendance.given_up
        assert not attendance.absent & record.stages.keys()
        assert attendance.entering.keys() <= record.stages.keys()
        assert all(device in self.state.devices for device in record.stages)
        assert {
            device for device, stands in record.stages.items() if not stands
        } <= attendance.entering.keys()
        enforced = {
            rule.port for rules in self.state._rules._rules.values() for rule in rules.get(record.id, ())
        }
        wanted = {rule.port for rule in flow_rules(record, attendance.addresses)}
        assert enforced == wanted
        assert len(wanted) == 4 - 2 * len(attendance.absent), "both flows of each client that is not absent"

    def tear_down(self) -> None:
        """Every stage leaves; then nobody holds anything, and every device's rules are empty."""
        for job, record in tuple(self.state.jobs.items()):
            self.handle(ev.StopRequested(at_s=99, job=job, reason="end"))
            for device in tuple(record.stages):
                self.handle(ev.StageEnded(at_s=99, job=job, device=device, error=None))
        assert all(record.phase.ended for record in self.state.jobs.values())
        assert not self.state._lanes.sending
        assert all(self.state._lanes.open_flows(job) == () for job in self.state.jobs)
        assert self.state._ports.free == PortPool().free
        assert not self.state._roster.alive
        assert not self.state._roster.placed
        assert self.state._cluster.live.devices.keys() == self.state.devices.keys()
        for device in tuple(self.state.devices):
            assert self.state._rules._sent.get(device, ()) == ()


def _links(flow: FlowId) -> list[str]:
    return [link_id(a, b) for a, b in pairwise(ROUTES[flow])]


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=80), st.booleans())
def test_any_order_of_events_leaves_a_sound_state(events: list[ev.Event], obedient: bool) -> None:
    watched = Watched(obedient=obedient)
    for event in events:
        watched.handle(event)
    watched.tear_down()


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_an_event_that_comes_twice_is_as_if_it_came_once(events: list[ev.Event]) -> None:
    """But for the start of a transfer, which is said again, since the first may have been lost; and for the death of a
    loop's stage: a second one may well be that of the stage which took the first one's place."""
    once, twice = Watched(obedient=True), Watched(obedient=True)
    for event in events:
        once.handle(event)
        twice.handle(event)
        if isinstance(event, ev.StageEnded) and MODES[event.job] == "loop":
            continue
        again = twice.state.handle(event)
        assert all(isinstance(effect, StartTransfer) for effect in again)
        assert isinstance(event, ev.TransferReady) or not again
    assert {job: record.phase for job, record in once.state.jobs.items()} == {
        job: record.phase for job, record in twice.state.jobs.items()
    }
    twice.tear_down()
