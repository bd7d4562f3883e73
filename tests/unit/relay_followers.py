"""Clients of the model test: what they ask for, what they have heard, and how they come back where they were."""

from typing import TYPE_CHECKING, Any

import attrs

from streamer.fanout.protocol import RESUME_WINDOW
from tests.unit.relay_expected import Expected, Wanted
from tests.unit.relay_sockets import CloudEvents, Item, Poll, Socket, Stream, Talking, query
from tests.unit.relaying import Node, offset_of

if TYPE_CHECKING:
    from tests.unit.test_relay_model import World

STUCK = 29.0  # seconds that a client may take nothing
SLOW, RESTARTING = 4108, 1012


@attrs.define
class Ask:
    """A subscription that was asked for."""

    topics: tuple[str, ...]
    policy: str = "skip"
    since: str | None = None
    last: int | None = None
    start: int | None = None  # where it begins, if that is known beforehand
    at: int | None = None  # the relay's head when it was asked for
    hasty: bool = False  # it was unsubscribed before it began


class Follower:
    """A client that comes back where it was.

    `position` and `have` are what it has heard; `since` is where each of its subscriptions has been followed from
    without a loss that it was told of.
    """

    def __init__(self, world: "World", face: str) -> None:
        self.world, self.face = world, face
        self.socket: Socket | None = None
        self.expected: Expected | None = None
        self.asks: dict[str, Ask] = {}
        self.deaf = False
        self.resume: str | None = None  # that the connection began with
        self.resume_until = 0.0
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.wishes: dict[str, Ask] = {}
        self.position: str | None = None
        self.latest = ""
        self.waiting: set[str] = set()
        self.have: set[str] = set()
        self.since: dict[str, int] = {}
        self.unheard: list[Item] = []

    @property
    def speaks(self) -> bool:
        """Has frames for what it wants."""
        return self.face in ("plain", "deflated")

    def connect(self, node: Node, topics: tuple[str, ...], last: int | None, policy: str) -> None:
        """Leave the relay there is, and be with another, where it was."""
        self.leave()
        if node.site is None:
            return
        self.expected, self.asks = Expected(node), {}
        if self.speaks:
            self.socket = Talking(node, self.face == "deflated")
            self.resume, self.resume_until = self.position, self.world.reactor.seconds() + RESUME_WINDOW
            self.say("hello", {} if self.resume is None else {"resume": self.resume})
            for id_, wish in list(self.wishes.items()):
                self.subscribe(id_, attrs.evolve(wish, last=None, since=None))
            return
        wish = self.wishes.get("-") or Ask(topics, "skip" if self.face == "poll" else policy)
        self.ask(node, attrs.evolve(wish, since=self.position, last=last if self.position is None else None))

    def ask(self, node: Node, ask: Ask) -> None:
        """Connect by a face that says all in its URL."""
        self.wishes["-"] = self.asks["-"] = ask
        made = query(ask.topics, since=ask.since, last=ask.last, policy=ask.policy)
        if self.face == "stream":
            self.socket = Stream(node, query(ask.topics, last=ask.last, policy=ask.policy), ask.since or "")
        elif self.face == "cloudevents":
            self.socket = CloudEvents(node, True, made)
        else:
            ask.at, ask.start = node.head, None
            if ask.since is None:
                ask.start = self.world.start(node, ask, {"recovered": True})
            self.socket = Poll(node, made + "&wait=5")
        self.listen()

    def subscribe(self, id_: str, ask: Ask) -> None:
        """Ask for events, by a face that can."""
        wish = {"id": id_, "topics": ask.topics, "policy": ask.policy, "since": ask.since, "last": ask.last}
        if ask.since is None and ask.last is None and self.world.reactor.seconds() < self.resume_until:
            ask.since = self.resume
        self.wishes[id_] = self.asks[id_] = ask
        self.waiting.add(id_)
        self.say("sub", 1, {key: value for key, value in wish.items() if value is not None})

    def say(self, *frame: Any) -> None:
        """Send a frame."""
        if self.socket is not None:
            self.socket.client.send(*frame)
            self.listen()

    def leave(self) -> None:
        """The connection breaks; what was not heard never will be."""
        if self.socket is not None:
            self.socket.cut()
        self.socket, self.unheard, self.deaf, self.waiting = None, [], False, set()

    def hear(self) -> None:
        """What was under way arrives."""
        self.deaf = False
        unheard, self.unheard = self.unheard, []
        for item in unheard:
            self.heard(item)

    def listen(self) -> None:
        """Take what the relay has written."""
        while (socket := self.socket) is not None:
            socket.move()
            for item in socket.items():
                self.judge(item)
                if self.socket is not socket:
                    return
            if not socket.over:
                return
            paused, self.socket = socket.paused_at, None
            if not socket.again:
                stuck = paused is not None and self.world.reactor.seconds() - paused >= STUCK
                assert stuck or socket.node.stopping, f"{self.face} was cut off"
            elif not self.deaf and socket.node.site is not None and self.position is not None:
                self.expected = Expected(socket.node)
                self.ask(socket.node, attrs.evolve(self.wishes["-"], since=self.position, last=None))

    def judge(self, item: Item) -> None:
        """Hold what the relay has written against the model."""
        expected, (name, *more) = self.expected, item
        assert expected is not None
        if name == "subd":
            id_, facts = more
            ask = self.asks[id_]
            ask.hasty = id_ not in self.wishes
            start = ask.start if ask.start is not None else self.world.start(expected.node, ask, facts)
            if self.face == "poll" and not facts["recovered"] and "lag" in facts:
                start = offset_of(facts["lag"][0]["from"])
            elif self.face == "poll" and not facts["recovered"] and facts["events"]:
                asked, slots = Wanted("", ask.topics, False, 0, 0), expected.between(0, expected.node.head)
                slots = [one for one in slots if asked.wants(self.world.log.facts[one])]
                start = slots[-len(facts["events"])] - 1
            wanted = Wanted(id_, ask.topics, ask.policy == "strict", start, start)
            expected.subscribed(wanted, facts, ask.at)
            expected.late = "lag" in facts  # of a poll that has waited
            item = (*item, start)
        elif name == "event":
            expected.event(more[0])
        elif name == "told":
            expected.told(more[0])
            self.world.positions.append(more[0])
        elif name == "lag":
            expected.lag(more[0])
            item = (*item, expected.node.head)
        elif name == "unsubd":
            expected.unsubscribed(more[0])
        elif name == "closed":
            self.closed(more[0])
            return
        elif name == "welcome":
            self.world.welcomed(expected.node, self.position, more[0])
        else:
            assert name in ("pong", "draining"), item
        self.unheard.append(item)
        if not self.deaf:
            self.hear()

    def heard(self, item: Item) -> None:
        """Remember what a client would."""
        name, *more = item
        if name == "event":
            self.have.add(more[0]["id"])
        elif name == "told":
            self.stand(more[0])
        elif name == "lag":
            self.stand(more[0]["to"])
            self.since = dict.fromkeys(self.since, more[1])
        elif name == "subd":
            id_, facts, start = more
            self.waiting.discard(id_)
            self.stand(facts.get("position", self.latest))
            if id_ in self.wishes and (not facts["recovered"] or id_ not in self.since):
                self.since[id_] = start

    def stand(self, position: str) -> None:
        """A position was told. It says nothing of a subscription that was not answered yet."""
        self.latest = position
        if not self.waiting or self.position is None:
            self.position = position

    def closed(self, code: int) -> None:
        """The relay has ended the connection, and must have had a reason."""
        expected = self.expected
        assert expected is not None
        if code == SLOW:
            expected.end_strict()
        else:
            assert (code, expected.node.stopping) == (RESTARTING, True), f"closed with {code}"
        self.leave()

    def check_whole(self) -> None:
        """Over all its connections, it has what it wanted since it wanted it, but for what it was told it missed."""
        expected = self.expected
        if self.socket is None or expected is None:
            return
        assert not expected.left(), f"{self.face} is still owed {expected.left()}"
        assert not expected.lost, f"{self.face} was not told of the loss of {expected.lost}"
        facts, node = self.world.log.facts, expected.node
        first = {fact.id: fact.offset for fact in reversed(facts)}  # a repeat may be none to a relay that began later
        for id_, since in self.since.items():
            wanted = Wanted(id_, self.wishes[id_].topics, False, since, since)
            for offset in expected.between(since, node.head):
                missing = wanted.wants(facts[offset]) and not self.have & {
                    facts[offset].id,
                    *node.contents(facts[offset]),
                }
                assert not missing or first[facts[offset].id] < offset, f"{self.face} never got {facts[offset]}"
