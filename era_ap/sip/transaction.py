"""Non-INVITE transactions over UDP as pure machines: client (RFC 3261 section 17.1.2), server (17.2.2).

Owns retransmission, absorption of retransmissions, and matching (17.1.3, 17.2.3 with its RFC 2543 rule).
Time is an argument, in seconds of any steady clock. Does not know what the requests are about.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final

from era_ap.sip.fields import parse_cseq, parse_name_addr, parse_via
from era_ap.sip.message import Request, Response
from era_ap.sip.path import Departure, Peer

TRANSACTIONS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Timing:
    """T1, T2, T4 of RFC 3261 section 17.1.1.1, in seconds.

    ``attempts`` limits how often a request is sent in all; the RFC has no limit but timer F (64 T1).
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    attempts: int | None = None

    @property
    def lifetime(self) -> float:
        """Timers F and J."""
        return 64 * self.t1


class State(enum.Enum):
    """States of both machines; a server transaction begins and a client one stays TRYING (figures 6, 8)."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


@dataclass(slots=True)
class ServerTransaction:
    """Answers retransmissions of one request by repeating the last response (figure 8)."""

    timing: Timing
    state: State = State.TRYING
    _response: Departure | None = None
    _ends: float | None = None
    _out: list[Departure] = field(default_factory=list)

    def receive_request(self, now: float) -> None:
        """The request came again."""
        if self._response is not None and self.state in (State.PROCEEDING, State.COMPLETED):
            self._out.append(self._response)

    def respond(self, status: int, response: Departure, now: float) -> None:
        """Send a response; after a final one further ones are ignored. Timer J starts with it."""
        if self.state in (State.COMPLETED, State.TERMINATED):
            return
        self._response = response
        self._out.append(response)
        if status < 200:
            self.state = State.PROCEEDING
        else:
            self.state = State.COMPLETED
            self._ends = now + self.timing.lifetime

    def handle_timer(self, now: float) -> None:
        """Timer J."""
        if self._ends is not None and now >= self._ends:
            self.state, self._ends = State.TERMINATED, None

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due; None: never."""
        return self._ends

    def datagrams_to_send(self) -> list[Departure]:
        """What has to be sent now; asking takes it away."""
        out, self._out = self._out, []
        return out


class ClientTransaction:
    """Sends one request until a final response comes or time is up (figure 6).

    ``final`` is the first final response; TERMINATED without one means that nobody answered.
    """

    def __init__(self, request: Departure, timing: Timing, now: float) -> None:
        self.state = State.TRYING
        self.final: Response | None = None
        self.sent = 1
        self.request = request
        self._timing = timing
        self._interval = timing.t1
        self._timer_e: float | None = now + timing.t1
        self._timer_f: float | None = now + timing.lifetime
        self._timer_k: float | None = None
        self._out = [request]

    def receive_response(self, response: Response, now: float) -> None:
        """A matching response came; a repeated final one is absorbed."""
        if self.state in (State.COMPLETED, State.TERMINATED):
            return
        if response.status < 200:
            self.state = State.PROCEEDING
            return
        self.final = response
        self.state = State.COMPLETED
        self._timer_e = self._timer_f = None
        self._timer_k = now + self._timing.t4

    def handle_timer(self, now: float) -> None:
        """Timers E (send again), F (give up) and K (done)."""
        if (self._timer_k is not None and now >= self._timer_k) or (
            self._timer_f is not None and now >= self._timer_f
        ):
            self._end()
        elif self._timer_e is not None and now >= self._timer_e:
            if self._timing.attempts is not None and self.sent >= self._timing.attempts:
                self._end()
                return
            self.sent += 1
            self._out.append(self.request)
            doubled = min(2 * self._interval, self._timing.t2)
            self._interval = self._timing.t2 if self.state is State.PROCEEDING else doubled
            self._timer_e = now + self._interval

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due; None: never."""
        due = [timer for timer in (self._timer_e, self._timer_f, self._timer_k) if timer is not None]
        return min(due, default=None)

    def datagrams_to_send(self) -> list[Departure]:
        """What has to be sent now; asking takes it away."""
        out, self._out = self._out, []
        return out

    def _end(self) -> None:
        self.state = State.TERMINATED
        self._timer_e = self._timer_f = self._timer_k = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A client transaction has its final response (None: nobody answered). ``context`` is the sender's."""

    context: object
    final: Response | None
    sent: int


class _Deadlines:
    """When which transaction is due: of a client (by branch and method), else of a server."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, tuple[str, str] | None, Hashable]] = []
        self._count = 0

    @property
    def first(self) -> float | None:
        """The next one; None: there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: float | None, client: tuple[str, str] | None, server: Hashable = None) -> None:
        """One more; None is never due."""
        if at is not None:
            self._count += 1
            heapq.heappush(self._heap, (at, self._count, client, server))

    def pop(self, now: float) -> Iterator[tuple[tuple[str, str] | None, Hashable]]:
        """Those that are due."""
        while self._heap and self._heap[0][0] <= now:
            _, _, client, server = heapq.heappop(self._heap)
            yield client, server


class TransactionLayer:
    """All transactions of one endpoint; of too many the oldest are forgotten. A machine like its parts.

    ``out`` is what has to be sent now; ``datagrams_to_send`` takes it away.
    """

    def __init__(self, timing: Timing, limit: int = TRANSACTIONS) -> None:
        self._timing = timing
        self._limit = limit
        self._servers: OrderedDict[Hashable, ServerTransaction] = OrderedDict()
        self._clients: OrderedDict[tuple[str, str], tuple[ClientTransaction, object]] = OrderedDict()
        self._due = _Deadlines()
        self.out: list[Departure] = []
        self._finished: list[Finished] = []

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    def absorb(self, request: Request, peer: Peer, now: float) -> bool:
        """Whether the request is the retransmission of one that was answered; then it is answered again."""
        transaction = self._servers.get(server_key(request, peer))
        if transaction is None or transaction.state is State.TERMINATED:
            return False
        transaction.receive_request(now)
        self.out += transaction.datagrams_to_send()
        return True

    def respond(self, request: Request, status: int, response: Departure, now: float) -> None:
        """Answer a request that was not absorbed."""
        key = server_key(request, response.peer)
        transaction = ServerTransaction(self._timing)
        transaction.respond(status, response, now)
        self.out += transaction.datagrams_to_send()
        self._servers[key] = transaction
        if len(self._servers) > self._limit:
            self._servers.popitem(last=False)
        self._due.add(transaction.next_deadline(), None, key)

    def request(
        self, branch: str, method: str, request: Departure, context: object, now: float
    ) -> ClientTransaction:
        """Send a request; ``events`` will tell of its end, with ``context``."""
        key = (branch, method)
        transaction = ClientTransaction(request, self._timing, now)
        self._clients[key] = (transaction, context)
        self.out += transaction.datagrams_to_send()
        if len(self._clients) > self._limit:
            _, (oldest, its_context) = self._clients.popitem(last=False)
            if oldest.final is None:
                self._finished.append(Finished(its_context, None, oldest.sent))
        self._due.add(transaction.next_deadline(), key)
        return transaction

    def abandon(self) -> list[Finished]:
        """Send no request again and nothing guarded that has not gone out; the requests without an answer.

        ``sent`` counts what really went out.
        """
        waiting = {id(departure) for departure in self.out}
        abandoned = [
            Finished(context, None, transaction.sent - (id(transaction.request) in waiting))
            for transaction, context in self._clients.values()
            if transaction.final is None
        ]
        self._clients.clear()
        self.out = [departure for departure in self.out if not departure.guarded]
        return abandoned

    def forget(self, request: Request, peer: Peer) -> None:
        """The response to that request never went out: if it comes again it is a new one."""
        self._servers.pop(server_key(request, peer), None)

    def receive_response(self, response: Response, now: float) -> bool:
        """Whether the response belongs to a request of ours (17.1.3: branch and method)."""
        vias = response.items("Via")
        via = parse_via(vias[0]) if len(vias) == 1 else None  # a second Via: meant for somebody behind us
        cseq = parse_cseq(response.get("CSeq") or "")
        if via is None or cseq is None:
            return False
        key = (via.branch, cseq.method)
        found = self._clients.get(key)
        if found is None:
            return False
        transaction, context = found
        had_final = transaction.final is not None
        transaction.receive_response(response, now)
        if transaction.final is not None and not had_final:
            self._finished.append(Finished(context, transaction.final, transaction.sent))
            self._due.add(transaction.next_deadline(), key)
        return True

    def handle_timer(self, now: float) -> None:
        """Let every transaction whose time has come act."""
        for client_key, answered in self._due.pop(now):
            if client_key is None:
                server = self._servers.get(answered)
                if server is not None:
                    server.handle_timer(now)
                    if server.state is State.TERMINATED:
                        del self._servers[answered]
                continue
            transaction, context = self._clients.get(client_key, (None, None))
            if transaction is None:
                continue
            deadline = transaction.next_deadline()
            if deadline is not None and deadline > now:
                continue  # an answer came since; its own timer is in the queue
            transaction.handle_timer(now)
            self.out += transaction.datagrams_to_send()
            if transaction.state is not State.TERMINATED:
                self._due.add(transaction.next_deadline(), client_key)
                continue
            del self._clients[client_key]
            if transaction.final is None:
                self._finished.append(Finished(context, None, transaction.sent))

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due; None: nothing is waited for."""
        return self._due.first

    def datagrams_to_send(self) -> list[Departure]:
        """What has to be sent now; asking takes it away."""
        out, self.out = self.out, []
        return out

    def events(self) -> list[Finished]:
        """The ends of requests since the last time; asking takes them away."""
        finished, self._finished = self._finished, []
        return finished


def server_key(request: Request, peer: Peer) -> Hashable:
    """What makes two requests the same one (RFC 3261 section 17.2.3).

    Beside branch, sent-by and method, or the fields of the RFC 2543 rule, always source, Call-ID and CSeq:
    phones whose branch never changes must not get the answer to another question.
    """
    vias = request.items("Via")
    via = parse_via(vias[0]) if vias else None
    common = (peer, request.method, request.get("Call-ID"), request.get("CSeq"))
    if via is not None and via.branch:
        return (*common, via.branch.lower(), via.host.lower(), via.port or 5060)
    tags = tuple(
        parsed.tag if (parsed := parse_name_addr(request.get(name) or "")) else "" for name in ("From", "To")
    )
    return (*common, request.uri, *tags, vias[0] if vias else "")
