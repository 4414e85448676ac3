"""The steps of a roll-out, from a candidate's loading to its promotion, or back."""

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from server import promotions, readiness
from server.errors import CommandError
from server.output import print_line
from server.rollout.comparison import Comparison, Limits, beyond
from server.rollout.copies import CopyServer, ask
from server.rollout.management import Counts, Management, Refused
from server.rollout.plan import Plan, PlanFile
from server.rollout.record import Record, Release, Step
from server.rollout.share import figures_of_share

POLL: Final = 1.0  # seconds
SETTLE: Final = 30.0  # seconds for what is under way; nginx gives the candidate 20
_REASON = re.compile(rb"the model cannot be served: (.*)")


class Undecided(CommandError):
    """The roll-out stands where it was, and can be continued or undone."""


class Rejected(Exception):
    """The candidate is beyond a limit, or does not work; the message says by what."""


@dataclass(frozen=True)
class Settings:
    """How long a roll-out looks, at what, and what it lets pass."""

    limits: Limits
    pairs: int  # copies to compare; 0: none
    copies: float  # part of the requests that is copied
    share: float  # part of the requests that the candidate answers; 0: none
    by: Literal["request", "key"]
    images: int  # that the candidate answers of its share, at least
    watch: float  # seconds that it answers its share, at least
    patience: float  # seconds for each of the two
    drain: float  # seconds until nobody asks for a version any more, at most
    promote: bool  # or stop when the limits hold


class Rollout:
    """One roll-out of a service that runs; the caller holds the lock of the state folder."""

    def __init__(
        self,
        record: Record,
        state: Path,
        store: Path,
        addresses: readiness.Addresses,
        plans: PlanFile,
        settings: Settings,
    ) -> None:
        """`store` is TorchServe's model store, a folder of links."""
        self.record = record
        self._state = state
        self._store = store
        self._addresses = addresses
        self._management = Management(addresses, record.model)
        self._plans = plans
        self._settings = settings

    def run(self) -> None:
        """Go on from the record's step to its end. Raises CommandError where it cannot."""
        steps: Mapping[Step, Callable[[], Step]] = {
            Step.LOADING: self._load,
            Step.COMPARING: self._compare,
            Step.SHARING: self._share,
            Step.PROMOTING: self._promote,
            Step.ROLLING_BACK: self._roll_back,
        }
        self._write()
        while not self.record.step.is_final:
            print_line(f"{self.record.step}: {self.record.said(self.record.candidate)}")
            try:
                step = steps[self.record.step]()
            except Rejected as rejected:
                print_line(f"rejected: {rejected}")
                self._write(step=Step.ROLLING_BACK, reason=str(rejected))
            else:
                self._write(step=step)
        print_line(self._summary())

    def _write(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type]
        self.record.write(self._state)

    def _summary(self) -> str:
        record = self.record
        served = record.candidate if record.step is Step.PROMOTED else record.stable
        why = f": {record.reason}" if record.reason else ""
        return f"{record.step}{why}; {record.said(served)} is served, and after a restart too"

    def _load(self) -> Step:
        """Register the candidate with one worker, and see that it answers the probe image."""
        self._register(self.record.candidate, 1)
        version = readiness.Version(self.record.model, self.record.candidate.version, 1)
        try:
            print_line(readiness.probe(self._addresses.rest, version, 60))
        except readiness.NotReady as error:
            raise Rejected(str(error)) from error
        return Step.COMPARING

    def _register(self, release: Release, workers: int) -> None:
        """Have a version registered with at least so many workers READY. Raises Rejected."""
        known = self._management.versions()
        if release.version in known:
            if known[release.version].workers < workers:
                self._scale(release, workers)
            return
        link = self._link(release)
        link.unlink(missing_ok=True)
        link.symlink_to(release.archive)
        batch = next(iter(known.values())).batch_size if known else 1
        started = self._log_size()
        try:
            self._management.register(link.name, release.version, batch, workers)
        except Refused as error:
            reason = self._logged_reason(started) or str(error)
            raise Rejected(f"{self.record.said(release)} cannot be loaded: {reason}") from error

    def _link(self, release: Release) -> Path:
        return self._store / f"rollout-{self.record.model}-{release.weights}.mar"

    def _scale(self, release: Release, workers: int) -> None:
        try:
            self._management.scale(release.version, workers)
        except Refused as error:
            raise Rejected(
                f"{workers} workers of {self.record.said(release)} do not start: {error}"
            ) from error

    @property
    def _log(self) -> Path:
        return self._state / "logs" / "model_log.log"

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _logged_reason(self, start: int) -> str | None:
        """Why the handler says that a model cannot be served, in the log from `start` on."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(start)
            if found := _REASON.search(log.read()):
                return found[1].decode(errors="replace").strip()
        return None

    def _compare(self) -> Step:
        """Ask both versions about copies of requests."""
        settings, record = self._settings, self.record
        if not settings.pairs:
            return Step.SHARING
        self._register(record.candidate, 1)  # the service may have been started again since
        seen, candidate = Comparison(), record.candidate.version
        order = [record.stable.version, candidate]
        with CopyServer() as server:
            plan = Plan(record.model, candidate, copies=settings.copies, port=server.port)
            self._plans.follow(plan)
            noted = time.monotonic()
            try:
                for copy in server.taken(settings.patience):
                    if copy is not None:
                        replies = {
                            version: ask(self._addresses.rest.url, record.model, version, copy)
                            for version in order
                        }
                        seen.add(replies[record.stable.version], replies[candidate])
                        order.reverse()  # the second finds caches warm
                    self._check_workers()
                    if faults := seen.hopeless(settings.limits, settings.pairs):
                        raise Rejected("; ".join(faults))
                    if seen.pairs >= settings.pairs:
                        break
                    if time.monotonic() > noted + 5:
                        noted = time.monotonic()
                        self._note(Step.COMPARING, seen.figures())
                else:
                    raise Undecided(
                        f"only {seen.pairs} of {settings.pairs} copies of requests came in "
                        f"{settings.patience:.0f} s: does nginx read the plan's file (--plan)? "
                        "Start again with fewer --pairs or more --copies, or undo it"
                    )
            finally:
                self._note(Step.COMPARING, seen.figures())
                self._plans.follow(None)
        self._judge(seen.figures())
        return Step.SHARING

    def _share(self) -> Step:
        """Let the candidate answer a part of the requests, and count what becomes of them."""
        settings, record = self._settings, self.record
        if not settings.share:
            return self._decided()
        self._register(record.candidate, 1)
        before = self._counts()
        plan = Plan(record.model, record.candidate.version, share=settings.share, by=settings.by)
        start = time.monotonic()
        self._plans.follow(plan)
        try:
            while True:
                time.sleep(POLL)
                figures = self._figures_of_share(before, in_flight=self._check_workers())
                self._note(Step.SHARING, figures)
                seconds = time.monotonic() - start
                enough = figures["images"] >= settings.images and seconds >= settings.watch
                if enough or self._fails(figures):
                    self._plans.follow(None)
                    figures = self._settled(before)
                    if enough or self._fails(figures):
                        break
                    self._plans.follow(plan)
                if seconds > settings.patience:
                    raise Undecided(
                        f"{record.said(record.candidate)} got only {figures['images']:.0f} of "
                        f"{settings.images} images in {settings.patience:.0f} s: start again with "
                        "fewer --images or more --share, or undo it"
                    )
        finally:
            self._plans.follow(None)
        self._note(Step.SHARING, figures)
        self._judge(figures)
        return self._decided()

    def _fails(self, figures: Mapping[str, float]) -> bool:
        return bool(beyond({"failures": figures["failures"]}, self._settings.limits))

    def _settled(self, before: tuple[Counts, Counts]) -> dict[str, float]:
        """The figures when the candidate has nothing left to answer: counts come with a delay."""
        until = time.monotonic() + SETTLE
        while True:
            figures = self._figures_of_share(before, in_flight=0)
            if not figures["failures"] or time.monotonic() > until:
                return figures
            time.sleep(POLL)

    def _decided(self) -> Step:
        if not self._settings.promote:
            raise Undecided(
                "all limits hold, and nothing is promoted: face-age rollout promote, or rollback"
            )
        return Step.PROMOTING

    def _counts(self) -> tuple[Counts, Counts]:
        record = self.record
        return (
            self._management.counts(record.stable.version),
            self._management.counts(record.candidate.version),
        )

    def _figures_of_share(
        self, before: tuple[Counts, Counts], in_flight: float
    ) -> dict[str, float]:
        """What was counted since `before`; so many requests may still be answered."""
        stable, candidate = (
            now.since(then) for now, then in zip(self._counts(), before, strict=True)
        )
        return figures_of_share(
            stable,
            candidate,
            in_flight,
            self._settings.images,
            same_clients=self._settings.by == "request",
        )

    def _check_workers(self) -> float:
        """The most requests that the candidate may be computing. Raises Rejected without worker."""
        status = self._management.versions().get(self.record.candidate.version)
        if status is None:
            raise Undecided(
                f"{self.record.said(self.record.candidate)} is registered no more, as after a "
                "start of TorchServe anew: start the roll-out again, or undo it"
            )
        if not status.ready:
            raise Rejected(f"no worker of {self.record.said(self.record.candidate)} is READY")
        return status.waiting + status.workers * status.batch_size

    def _note(self, step: Step, figures: Mapping[str, float]) -> None:
        self._write(figures={**self.record.figures, step.value: dict(figures)})

    def _judge(self, figures: Mapping[str, float]) -> None:
        print_line(", ".join(f"{name.replace('_', ' ')} {n:.4g}" for name, n in figures.items()))
        if faults := beyond(figures, self._settings.limits):
            raise Rejected("; ".join(faults))

    def _promote(self) -> Step:
        """Make the candidate the default, then drain and unregister the other version."""
        record = self.record
        self._register(record.candidate, record.candidate.workers)
        self._make_default(record.stable, record.candidate)
        self._drain(record.stable)
        return Step.PROMOTED

    def _roll_back(self) -> Step:
        """Make the stable version the default, then drain and unregister the candidate."""
        record = self.record
        try:
            self._register(record.stable, record.stable.workers)
        except Rejected as error:
            raise Undecided(str(error)) from error
        self._make_default(record.candidate, record.stable)
        self._drain(record.candidate)
        return Step.ROLLED_BACK

    def _make_default(self, before: Release, after: Release) -> None:
        record, name = self.record, self.record.model
        promotion = promotions.read(self._state).get(name)
        promoted = promotion is not None and promotion.model == record.said(record.candidate)
        if promoted != (after == record.candidate):
            promotions.replace(
                self._state, name, record.said(before), record.said(after), after.archive
            )
        if self._management.default().version != after.version:
            self._management.set_default(after.version)
        self._plans.follow(None)

    def _drain(self, release: Release) -> None:
        """Unregister a version when nobody has been waiting for it for the time of a batch."""
        started = quiet = time.monotonic()
        last = None
        while status := self._management.versions().get(release.version):
            now = time.monotonic()
            images = self._management.counts(release.version).images
            if (status.waiting and status.ready) or images != last:
                quiet, last = now, images
            if now - quiet > status.response_timeout:
                self._management.unregister(release.version)
            elif now - started > max(self._settings.drain, 2 * status.response_timeout):
                raise Undecided(
                    f"clients still ask for {self.record.model}/{release.version} by its version, "
                    "and would get 404 without it: have them leave the version out, then go on by "
                    f"face-age rollout {'promote' if release == self.record.stable else 'rollback'}"
                )
            else:
                time.sleep(POLL)
        self._link(release).unlink(missing_ok=True)
