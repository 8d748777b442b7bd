"""Random faults for a simulated site (``cluster_world``), and their end.

Each fault hits something that is whole, and is over after a while of its own; several last at one time.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.faults.cluster_world import Machine, World


class Faults:
    """Lets things happen to a world, about one every ``pause`` seconds; ``names`` counts what did.

    Each seed has a mood of its own, in which some kinds hardly occur and others often; the kinds of
    ``favour`` occur ten times as often.
    """

    def __init__(self, world: World, pause: float, favour: tuple[str, ...] = ()) -> None:
        self.world = world
        self.pause = pause
        self.favour = favour
        self.rng = random.Random(world.rng.random())
        self.names: dict[str, int] = {}
        self.over = False
        self._kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (5, self.cut),
            (4, self.stale),
            (4, self.part),
            (5, self.freeze),
            (2, self.hang),
            (4, self.restart),
            (2, self.leave),
            (3, self.outage),
            (1, self.wipe),
            (2, self.isolate),
            (2, self.expire),
            (2, self.unfit),
            (1, self.twin),
            (1, self.lose_answers),
        )

    def until(self, end: float) -> None:
        """Let things happen till ``end``, and mend everything then."""
        moods = [self.rng.choice((0.01, 1, 1, 5)) for _ in self._kinds]
        weights = [
            weight * mood * (10 if kind.__name__ in self.favour else 1)
            for (weight, kind), mood in zip(self._kinds, moods, strict=True)
        ]
        while self.world.now < end:
            self.world.run_until(min(end, self.world.now + self.rng.expovariate(1 / self.pause)))
            if not self.world.alive:
                continue
            kind = self.rng.choices(self._kinds, weights)[0][1]
            self.names[kind.__name__] = self.names.get(kind.__name__, 0) + 1
            kind()
        self.mend()

    def mend(self) -> None:
        """Everything works again and every member runs once."""
        world, self.over = self.world, True
        if not world.ensemble.up:
            world.ensemble.rise(empty=False)
        world.parted.clear()
        world.lost_answers = 0.0
        for machine in world.alive:
            world.set_link(machine, "ok")
            if machine.frozen or machine.hangs:
                machine.thaw()
        world.run_until(world.now + 0.05)  # what was told to frozen machines comes first
        seen: set[str] = set()
        for machine in list(world.alive):
            if machine.own.name in seen:
                world.kill(machine)
                continue
            seen.add(machine.own.name)
            world.set_fit(machine, "")
            if machine.election.situation.leaving:
                world.restart(machine)
        for machine in reversed(world.machines.copy()):
            if machine.own.name not in seen:
                seen.add(machine.own.name)
                world.restart(machine)

    # --- kinds

    def some(self) -> Machine:
        return self.rng.choice(self.world.alive)

    def later(self, low: float, high: float, what: Callable[[], None]) -> None:
        self.world.after(self.rng.uniform(low, high), lambda: None if self.over else what())

    def cut(self) -> None:
        """Between a member and ZooKeeper nothing passes."""
        machine = self.some()
        self.world.set_link(machine, "cut")
        self.later(0.2, 12, lambda: self.world.set_link(machine, "ok"))

    def stale(self) -> None:
        """A member's server is cut off from the others."""
        machine = self.some()
        self.world.set_link(machine, "stale")
        self.later(0.5, 10, lambda: self.world.set_link(machine, "ok"))

    def part(self) -> None:
        """Two members do not reach each other."""
        names = sorted({each.own.name for each in self.world.machines})
        pair = frozenset(self.rng.choices(names, k=2))
        self.world.parted.add(pair)
        self.later(0.5, 20, lambda: self.world.parted.discard(pair))

    def freeze(self) -> None:
        """SIGSTOP, SIGCONT."""
        machine = self.some()
        if not (machine.frozen or machine.hangs):
            machine.frozen = True
            self.later(0.05, 12, lambda: machine.thaw() if machine.frozen else None)

    def hang(self) -> None:
        """The event loop is blocked; the session lives on."""
        machine = self.some()
        if not (machine.frozen or machine.hangs):
            machine.hangs = True
            self.later(0.5, 25, lambda: machine.thaw() if machine.hangs else None)

    def restart(self) -> None:
        """kill -9, and another process of the instance after a while; with its local state or without."""
        machine, keeps = self.some(), self.rng.random() < 0.7
        if len({each.own.name for each in self.world.alive}) > 1:
            self.world.kill(machine)
            self.later(0.05, 15, lambda: self.start_again(machine, keeps))

    def start_again(self, machine: Machine, keeps: bool) -> None:
        if all(each.own.name != machine.own.name for each in self.world.alive):
            self.world.restart(machine, keeps_identity=keeps)

    def leave(self) -> None:
        """A clean stop, and a new start."""
        machine = self.some()
        self.world.leave(machine)

        def again() -> None:
            self.world.kill(machine)
            self.start_again(machine, True)

        self.later(1, 8, again)

    def outage(self) -> None:
        """ZooKeeper has no quorum."""
        ensemble = self.world.ensemble
        if ensemble.up:
            ensemble.up = False
            self.later(0.3, 12, lambda: None if ensemble.up else ensemble.rise(empty=False))

    def wipe(self) -> None:
        """All of ZooKeeper is restarted empty, while some members are cut off from it.

        Only where all members know whom the leader relies on: who does not, and is the first to come back,
        could not know of a leader that acts on without ZooKeeper.
        """
        ensemble = self.world.ensemble
        if ensemble.up and self.world.all_know_the_claim:
            ensemble.up = False
            self.later(0.1, 4, lambda: None if ensemble.up else ensemble.rise(empty=True))
            for machine in self.world.alive:
                if self.rng.random() < 0.4:
                    self.world.set_link(machine, "cut")
                    self.later(0.2, 12, lambda machine=machine: self.world.set_link(machine, "ok"))

    def isolate(self) -> None:
        """Most members are cut off from ZooKeeper, at about one time; they come back one by one."""
        seconds, share = self.rng.uniform(3, 15), self.rng.choice((0.7, 0.9, 1))
        for machine in self.world.alive:
            if self.rng.random() < share:
                self.later(0, 2, lambda machine=machine: self.world.set_link(machine, "cut"))
                self.later(seconds, seconds + 9, lambda machine=machine: self.world.set_link(machine, "ok"))

    def expire(self) -> None:
        """The servers end a session before its time, whether its owner hears of it or not."""
        self.world.ensemble.end(self.some().session)

    def unfit(self) -> None:
        """Something keeps a member from leading."""
        machine = self.some()
        self.world.set_fit(machine, "port 5060 is taken")
        self.later(0.5, 15, lambda: None if machine.dead else self.world.set_fit(machine, ""))

    def twin(self) -> None:
        """A second process of the same name, with a state of its own."""
        machine = self.some()
        twin = self.world.start(machine.own.name, machine.own.order)
        self.later(1, 15, lambda: self.world.kill(twin))

    def lose_answers(self) -> None:
        """Transactions are done and nobody is told."""
        self.world.lost_answers = 0.3
        self.later(1, 8, lambda: setattr(self.world, "lost_answers", 0.0))
