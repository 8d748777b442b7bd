"""A simulated site for the election: ZooKeeper with sessions, and machines that are cut off, frozen, killed.

Everything happens in one heap of events, from a seed. Each machine has a clock of its own (offset and
rate); messages take their time, in order on a connection; a server may be cut off from the others and go on
answering reads; what a client was not told of may still be done. ``acting`` says who may act at this instant.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from era_ap.cluster.contract import Check, Create, Delete, Operation, Put, SessionState
from era_ap.cluster.duties import Duty
from era_ap.cluster.election import Election
from era_ap.cluster.moves import Beat, Led, Look, Peek, Question, Result, Stopped, Write
from era_ap.cluster.situation import Policy
from era_ap.cluster.view import (
    Claim,
    Group,
    Member,
    View,
    beat_path,
    epoch_path,
    failsafe_path,
    leader_path,
    read_claim,
    read_epoch,
    read_holder,
    read_member,
)

GROUP = 1
LIMIT_SECONDS = 1.0
"""After so long a client gives up waiting for the answer to a transaction."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A node of the simulated ZooKeeper."""

    data: bytes
    version: int
    mzxid: int
    owner: int


Tree = dict[str, Stored]
QUIET = {beat_path(GROUP)}
"""Nodes that nobody watches."""


def apply(tree: Tree, operations: tuple[Operation, ...], session: int, zxid: int) -> Tree | None:
    """The tree after a transaction; None if it is refused."""
    tree = dict(tree)
    for each in operations:
        node = tree.get(each.path)
        if isinstance(each, Create):
            if node is not None:
                return None
            tree[each.path] = Stored(each.data, 0, zxid, session if each.ephemeral else 0)
            continue
        version = each.version
        if node is None or version not in (-1, node.version):
            return None
        if isinstance(each, Put):
            tree[each.path] = Stored(each.data, node.version + 1, zxid, node.owner)
        elif isinstance(each, Delete):
            del tree[each.path]
        else:
            assert isinstance(each, Check)
    return tree


@lru_cache(256)
def view_of(nodes: frozenset[tuple[str, Stored]]) -> View:
    """What a member makes of the nodes."""
    tree = dict(nodes)
    members = {}
    for path, node in tree.items():
        if path.startswith("members/"):
            member = read_member(node.data, node.owner)
            assert member is not None
            members[member.name] = member
    paths = leader_path, epoch_path, failsafe_path, beat_path
    holder, epoch, claim, beat = (tree.get(path(GROUP)) for path in paths)
    group = Group(
        read_holder(holder.data, holder.owner) if holder else None,
        read_epoch(epoch.data, epoch.version, epoch.mzxid) if epoch else None,
        read_claim(claim.data, claim.version) if claim else None,
        beat.version if beat else None,
    )
    return View(members, {GROUP: group})


@dataclass
class Session:
    """A session as the servers see it; ``client`` is the connection it belongs to now, ``touched``: the
    server of that connection heard of it and has not told the others yet.
    """

    expires: float
    client: int
    touched: bool = False


class Ensemble:
    """ZooKeeper as a whole; ``up`` is false while there is no quorum."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = True
        self.tree: Tree = {}
        self.zxid = 0
        self.sessions: dict[int, Session] = {}
        self.history: list[tuple[float, Tree]] = [(0.0, {})]
        self.last_id = 0

    def commit(self, session: int, client: int, operations: tuple[Operation, ...]) -> Result:
        known = self.sessions.get(session)
        if known is None or known.client != client:
            self.world.close(client)
            return Result.UNKNOWN
        known.touched = True
        self.zxid += 1
        tree = apply(self.tree, operations, session, self.zxid)
        if tree is None:
            return Result.REFUSED
        self.replace(tree)
        return Result.DONE

    def replace(self, tree: Tree) -> None:
        if tree != self.tree:
            quiet = all(
                tree.get(path) == self.tree.get(path) for path in tree.keys() | self.tree.keys() - QUIET
            )
            self.tree = tree
            self.history.append((self.world.now, tree))
            del self.history[:-200]
            if not quiet:
                self.world.tell_watchers()

    def at(self, when: float) -> Tree:
        """The nodes as they were."""
        return next((tree for since, tree in reversed(self.history) if since <= when), self.history[0][1])

    def connect(self, session: int, client: int) -> int:
        """Join a session to a connection; the id of a new one if it has ended."""
        if session not in self.sessions:
            self.last_id += 1
            session = self.last_id
        self.sessions[session] = Session(self.world.now + self.world.session_seconds, client)
        return session

    def touch(self, session: int, client: int) -> bool:
        """A sign of life."""
        known = self.sessions.get(session)
        if known is None or known.client != client:
            self.world.close(client)
            return False
        known.touched = True
        return True

    def forward(self) -> None:
        """Every server tells the others whom it heard of, unless it is cut off."""
        for session in self.sessions.values():
            if session.touched and self.up and self.world.link_of(session.client) == "ok":
                session.touched = False
                session.expires = self.world.now + self.world.session_seconds

    def expire(self) -> None:
        """End the sessions that are due; called every tick."""
        if self.up:
            due = [key for key, session in self.sessions.items() if session.expires <= self.world.now]
            for key in due:
                self.end(key)

    def end(self, session: int) -> None:
        """End a session; its connection is closed, so that its owner hears of it where the link allows."""
        known = self.sessions.pop(session, None)
        if known is not None:
            self.world.close(known.client)
            self.replace({path: node for path, node in self.tree.items() if node.owner != session})

    def rise(self, *, empty: bool) -> None:
        """There is a quorum again; all sessions begin anew, or all is forgotten."""
        self.up = True
        if empty:
            self.tree, self.zxid, self.sessions = {}, 0, {}
            self.history = [(self.world.now, {})]
        for session in self.sessions.values():
            session.expires = self.world.now + self.world.session_seconds


@dataclass
class Machine:
    """One process of a member with its ZooKeeper client."""

    world: World
    own: Member
    policy: Policy
    offset: float
    rate: float
    state: SessionState = SessionState.LOST
    session: int = 0
    client: int = 0
    link: str = "ok"
    frozen: bool = False
    hangs: bool = False
    dead: bool = False
    stale_since: float = 0.0
    heard: float = 0.0
    arrival: float = 0.0
    waiting: list[Callable[[], None]] = field(default_factory=list)
    wanted: int = 0
    looking: bool = False
    timer: int = 0
    log: list[tuple[float, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.election = Election(self.own, self.policy, self.clock())
        self.world.after(0.0, self.run(self.pulse))

    def clock(self) -> float:
        return self.offset + self.rate * self.world.now

    # --- the process

    def run(self, what: Callable[[], None], *, client: bool = False) -> Callable[[], None]:
        """An event of this process: later if it is frozen, never if it is dead. Those of the client come also
        while the process itself hangs, as they have threads of their own.
        """

        def go() -> None:
            if self.dead:
                return
            if self.frozen or (self.hangs and not client):
                self.waiting.append(what)
                return
            what()
            if not self.hangs:
                self.follow()

        return go

    def thaw(self) -> None:
        self.frozen = self.hangs = False
        self.world.check()  # the very first instant, before anything was noticed
        waiting, self.waiting = self.waiting, []
        self.world.rng.shuffle(waiting)
        for what in waiting:
            self.world.after(self.world.rng.uniform(0, 0.005), self.run(what))

    def acting(self) -> bool:
        """Whether it may act now, asked as before a datagram is sent."""
        situation = self.election.situation
        if situation.term is None or self.frozen or self.hangs or situation.state is not self.state:
            return False
        return situation.acts(Duty.ANSWER, self.clock())

    def follow(self) -> None:
        """Do what the election wants."""
        self.election.observe(self.state, self.session, self.world.session_seconds, self.clock())
        for action in self.election.actions():
            if isinstance(action, Look):
                self.wanted = action.number
                self.look()
            elif isinstance(action, Write | Beat):
                self.commit(action)
            elif isinstance(action, Peek):
                self.peek(action)
            elif isinstance(action, Question):
                self.ask(action)
            else:
                assert isinstance(action, Led | Stopped)
                self.log.append((self.world.now, action))
        self.timer += 1
        number, deadline = self.timer, self.election.next_deadline(self.clock())

        def due() -> None:
            if number == self.timer:
                self.run(lambda: self.election.handle_timer(self.clock()))()

        self.world.after(max(0.0001, (deadline - self.clock()) / self.rate), due)

    # --- the client

    def pulse(self) -> None:
        """Pings, the detection of a lost connection, and connecting again."""
        world, ensemble = self.world, self.world.ensemble
        if self.state is SessionState.CONNECTED:
            if world.now - self.heard > world.session_seconds * 2 / 3:
                self.lose(self.client)
            else:
                session, client = self.session, self.client

                def ping() -> None:
                    if ensemble.touch(session, client):
                        self.reply(client, self.hear, ping=True)

                self.request(ping)
            world.after(world.session_seconds / 8, self.run(self.pulse, client=True))
        else:
            if self.link == "ok" and ensemble.up and world.rng.random() < 0.9:
                self.connect()
            world.after(world.rng.uniform(0.05, 0.2), self.run(self.pulse, client=True))

    def hear(self) -> None:
        self.heard = self.world.now

    def lose(self, client: int) -> None:
        if client == self.client and self.state is SessionState.CONNECTED:
            self.state, self.client = SessionState.SUSPENDED, 0
            self.looking = False

    def connect(self) -> None:
        world = self.world
        world.last_client += 1
        self.client, self.heard, self.arrival = world.last_client, world.now, world.now
        self.looking = False
        session = world.ensemble.connect(self.session, self.client)
        if session != self.session:
            self.state = SessionState.LOST
            if not self.hangs:
                self.follow()
        self.state, self.session = SessionState.CONNECTED, session

    def request(self, what: Callable[[], None], *, read: bool = False) -> None:
        """Send ``what`` to a server, in order; lost if the link or the quorum is, unless it only reads."""
        if self.link == "cut":
            return
        self.arrival = max(self.arrival, self.world.now + self.world.delay())

        def arrive() -> None:
            if self.link == "stale":
                if read:
                    what()
            elif self.link == "ok" and self.world.ensemble.up:
                what()

        self.world.at(self.arrival, arrive)

    def reply(self, client: int, what: Callable[[], None], *, ping: bool = False) -> None:
        """Bring an answer back, unless the connection is another by then."""

        def arrive() -> None:
            if client == self.client and self.state is SessionState.CONNECTED:
                self.heard = self.world.now
                what()

        if self.link != "cut":
            self.world.after(self.world.delay(), self.run(arrive, client=ping))

    def look(self) -> None:
        if self.looking or self.state is not SessionState.CONNECTED:
            return
        self.looking = True
        number, session, client = self.wanted, self.session, self.client
        found: list[View] = []

        def read() -> None:
            found.append(
                view_of(frozenset(self.world.ensemble.at(self.stale_since or self.world.now).items()))
            )
            self.reply(client, done if len(found) > 1 else again)

        def again() -> None:
            self.request(read, read=True)

        def done() -> None:
            self.looking = False
            view = View(found[0].members, found[1].groups)  # not read at one moment
            self.election.looked(view, number, session, self.clock())
            if self.wanted > number:
                self.look()

        again()
        self.world.after(LIMIT_SECONDS, self.run(lambda: self.give_up_look(client, number)))

    def give_up_look(self, client: int, number: int) -> None:
        if self.looking and client == self.client and self.wanted >= number and not self.dead:
            self.looking = False
            self.look()

    def commit(self, write: Write | Beat) -> None:
        client, sent_at = self.client, self.clock()
        results: list[Result] = []

        def end(result: Result) -> None:
            if not results:
                results.append(result)
                self.election.committed(write, result, sent_at, self.clock())

        def arrive() -> None:
            result = self.world.ensemble.commit(write.session, client, write.operations)
            if result is not Result.UNKNOWN and self.world.rng.random() > self.world.lost_answers:
                self.reply(client, lambda: end(result))

        self.request(arrive)
        self.world.after(LIMIT_SECONDS, self.run(lambda: end(Result.UNKNOWN)))

    def peek(self, peek: Peek) -> None:
        client, session = self.client, self.session

        def read() -> None:
            self.world.ensemble.touch(session, client)
            node = self.world.ensemble.at(self.stale_since or self.world.now).get(beat_path(GROUP))
            version = node.version if node is not None else None
            self.reply(client, lambda: self.election.peeked(version, peek.session, self.clock()))

        self.request(read, read=True)

    def ask(self, question: Question) -> None:
        sent_at = self.clock()
        other = self.world.reached(self, question.member)

        def heard() -> None:
            assert other is not None
            answer = other.election.asked(question.ask, other.clock())
            if self.world.reached(self, question.member) is other:
                self.world.after(self.world.delay(), self.run(lambda: tell(answer)))

        def tell(answer: Any) -> None:
            self.election.answered(question, answer, sent_at, self.clock())

        if other is not None and self.world.rng.random() >= self.world.odd_share:
            self.world.after(self.world.delay(), other.run(heard))

    def notice(self) -> None:
        """A watch has fired."""
        if self.link == "ok" and self.state is SessionState.CONNECTED:
            client = self.client
            self.reply(client, self.look_again)

    def look_again(self) -> None:
        if self.looking:  # what is under way may have missed it
            self.world.after(0.02, self.run(self.look_again))
        else:
            self.look()


class World:
    """The site. ``broken`` collects what must never happen, ``acted`` who acted and since when.

    ``odd_share`` of all messages are slow, of all watches and questions lost.
    """

    def __init__(
        self,
        seed: int,
        members: int = 3,
        *,
        session_seconds: float = 4.0,
        hold_down_seconds: float = 5.0,
        failsafe: bool = True,
        odd_share: float = 0.0,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.session_seconds = session_seconds
        self.hold_down_seconds = hold_down_seconds
        self.failsafe = failsafe
        self.odd_share = odd_share
        self.lost_answers = 0.0
        self.last_client = 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = self.ticks = 0
        self.ensemble = Ensemble(self)
        self.machines: list[Machine] = []
        self.alive: list[Machine] = []
        self.parted: set[frozenset[str]] = set()
        self.broken: list[str] = []
        self.acted: list[tuple[float, str]] = []
        self.silent_since: float | None = 0.0
        self.tick()
        for order in range(1, members + 1):
            self.start(f"ap{order}", order)

    def start(self, name: str, order: int, identity: str = "") -> Machine:
        instance = f"{self.rng.getrandbits(32):08x}"
        own = Member(name, GROUP, order, identity or instance, instance, peer=name)
        policy = Policy(self.hold_down_seconds, self.failsafe, first_number=int(self.now * 1000) + 1)
        offset, rate = self.rng.uniform(0, 1e6), 1 + self.rng.uniform(-5e-4, 5e-4)
        machine = Machine(self, own, policy, offset, rate)
        self.machines.append(machine)
        self.alive.append(machine)
        return machine

    def machine(self, name: str) -> Machine:
        return next(each for each in reversed(self.alive) if each.own.name == name)

    def reached(self, asker: Machine, member: Member) -> Machine | None:
        """The process that a question to ``member`` comes to: the one that has its address."""
        if frozenset((asker.own.name, member.name)) in self.parted:
            return None
        there = [each for each in self.alive if each.own.identity == member.identity and each is not asker]
        return there[-1] if there else None

    def delay(self) -> float:
        slow = self.rng.random() < self.odd_share
        return self.rng.uniform(0.05, 0.6) if slow else self.rng.uniform(0.0005, 0.01)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.now + seconds, what)

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, what))

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks % 5 == 0:
            self.ensemble.forward()
        self.ensemble.expire()
        self.after(0.1, self.tick)

    def link_of(self, client: int) -> str:
        return next((each.link for each in self.alive if each.client == client), "cut")

    def tell_watchers(self) -> None:
        for machine in self.alive:
            if self.rng.random() >= self.odd_share:  # else it finds out by itself
                self.after(self.delay(), machine.run(machine.notice))

    def run_until(self, end: float) -> None:
        while self.events and self.events[0][0] <= end:
            self.now, _, what = heapq.heappop(self.events)
            what()
            self.check()
        self.now = end

    def check(self) -> None:
        acting = [each for each in self.alive if each.acting()]
        if len(acting) > 1:
            names = ", ".join(f"{each.own.key} ({each.state.name})" for each in acting)
            self.broken.append(f"{self.now:.3f}: {names} act at one time")
        if acting:
            name = acting[0].own.name
            if not self.acted or self.acted[-1][1] != name:
                self.acted.append((self.now, name))
            self.silent_since = None
        elif self.silent_since is None:
            self.silent_since = self.now

    @property
    def leader(self) -> str | None:
        """Who acts now."""
        return next((each.own.name for each in self.alive if each.acting()), None)

    def wait_for(self, what: Callable[[], bool], seconds: float) -> float:
        """Run until ``what`` is true; the time it took. Fails after ``seconds``."""
        since = self.now
        while not what():
            assert self.now - since <= seconds, f"waited {seconds} s in vain at {self.now:.2f}"
            if self.events[0][0] > since + seconds:
                self.run_until(since + seconds + 0.001)
            else:
                self.run_until(self.events[0][0])
        return self.now - since

    def close(self, client: int) -> None:
        """The servers close a connection."""
        for machine in self.alive:
            if machine.client == client and machine.link == "ok":
                self.after(
                    self.rng.uniform(0.0005, 0.05), machine.run(partial(machine.lose, client), client=True)
                )

    # --- what happens to machines

    def kill(self, machine: Machine) -> None:
        machine.dead = True
        self.alive = [each for each in self.alive if each is not machine]

    def restart(self, machine: Machine, *, keeps_identity: bool = True) -> Machine:
        self.kill(machine)
        own = machine.own
        return self.start(own.name, own.order, own.identity if keeps_identity else "")

    def set_link(self, machine: Machine, link: str) -> None:
        """Either "ok", "cut" (nothing passes) or "stale" (the server is cut off and knows no better)."""
        machine.link = link
        machine.stale_since = self.now if link == "stale" else 0.0

    def forget(self) -> None:
        """What an operator does who knows that those relied on never come back: nobody is relied on."""
        path, data = failsafe_path(GROUP), Claim().to_json()
        operation = Put(path, data) if path in self.ensemble.tree else Create(path, data)
        self.ensemble.zxid += 1
        found = apply(self.ensemble.tree, (operation,), 0, self.ensemble.zxid)
        assert found is not None
        self.ensemble.replace(found)

    @property
    def all_know_the_claim(self) -> bool:
        """Whether every member runs, is relied on, and knows it."""
        node = self.ensemble.tree.get(failsafe_path(GROUP))
        claim = read_claim(node.data, node.version) if node is not None else None
        names = {each.own.name for each in self.machines}
        return (
            claim is not None
            and {each.own.name for each in self.alive} == names
            and all(each.election.situation.claim == claim for each in self.alive)
            and (not claim.relies or all(claim.admits(each.own.key) for each in self.alive))
        )

    @property
    def is_stuck(self) -> bool:
        """Whether nobody there may take over from the last leader, as far as they know."""
        known = [each.election.situation for each in self.alive]
        return not any(each.claim is None or each.claim.admits(each.own.key) for each in known)

    def set_fit(self, machine: Machine, why: str) -> None:
        def change() -> None:
            machine.election.change(machine.clock(), why=why)

        machine.run(change)()

    def leave(self, machine: Machine) -> None:
        def go() -> None:
            machine.election.leave(machine.clock())

        machine.run(go)()
