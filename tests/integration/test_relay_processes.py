"""Several relays on one port, and one on a socket that was handed to it, as real processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.relays import Crowd, Events, numbers, relay
from tests.processes import BIN, DEADLINE, Program, free_ports, get, get_json

CLIENTS = 40
RATE = 200.0  # events a second
SETTINGS = "processes = 2\nheartbeat = 2.0\ndrain = 0.5"
STOPPED = (0, -signal.SIGTERM)


def alive(pid: int) -> bool:
    """Whether a process runs, other than as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(true: Any, what: str) -> None:
    """Wait for something outside any program of ours."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.05)


def pids(admin: int) -> dict[int, int]:
    """Process ids by number."""
    found = get_json(f"http://127.0.0.1:{admin}/status")["processes"]
    return {one["process"]: one["pid"] for one in found if one["pid"] is not None}


def until_all_ready(relays: Program, admin: int) -> None:
    """Wait for every process; /ready itself is content with one."""
    relays.until(lambda: get(f"http://127.0.0.1:{admin}/ready") == (200, b"ready\n"), "readiness of all")


def held(admin: int) -> dict[int, int]:
    """Websockets by process."""
    found = {1: 0, 2: 0}
    for labels, number in numbers(admin, "streamer_clients").items():
        pairs = dict(pair.split("=") for pair in labels.replace('"', "").split(","))
        found[int(pairs["process"])] += int(number)
    return found


def crowd(page: int, count: int = CLIENTS) -> Crowd:
    """Clients of one address."""
    return Crowd(lambda number: itertools.repeat(f"ws://127.0.0.1:{page}/ws"), count)


class TestProcesses:
    """`[relay] processes = 2`."""

    def test_killed_process(self, rabbit_url: str, tmp_path: Path) -> None:
        """One of two is killed: its clients go on where they were, the other's notice nothing, a successor comes."""
        page, admin = free_ports(2)
        with relay(tmp_path, "relay", rabbit_url, page, admin, SETTINGS) as relays:
            until_all_ready(relays, admin)
            before = pids(admin)
            events = Events(rabbit_url, RATE)
            with contextlib.closing(events), crowd(page) as clients:
                clients.until(lambda one: one.welcomes, "subscription")
                events.start()
                clients.until(lambda one: len(one.seen) > 20, "events")
                share = held(admin)
                assert sum(share.values()) == CLIENTS
                assert min(share.values()) >= CLIENTS // 10, f"the kernel deals connections out: {share}"
                os.kill(before[1], signal.SIGKILL)
                relays.until(lambda: pids(admin).get(1) not in (None, before[1]), "successor")
                until_all_ready(relays, admin)
                until(lambda: sum(held(admin).values()) == CLIENTS, "clients that came back")
                clients.assert_whole(events.finish())
                moved = [one for one in clients.followers if one.welcomes > 1]
                assert len(moved) == share[1], "only those of the killed process had to connect again"
            assert pids(admin)[2] == before[2]
            assert numbers(admin, "streamer_relay_restarts_total") == {'number="1"': 1}
            assert relays.stop() in STOPPED
            assert not any(map(alive, {*before.values()}))
            assert "Traceback" not in relays.said()

    def test_renewed(self, rabbit_url: str, tmp_path: Path) -> None:
        """SIGHUP renews them one after the other under load; nobody loses anything, and one is always there."""
        page, admin = free_ports(2)
        with relay(tmp_path, "relay", rabbit_url, page, admin, SETTINGS) as relays:
            until_all_ready(relays, admin)
            before = pids(admin)
            events = Events(rabbit_url, RATE)
            with contextlib.closing(events), crowd(page) as clients:
                clients.until(lambda one: one.welcomes, "subscription")
                events.start()
                clients.until(lambda one: one.seen, "events")
                reasons: set[bytes] = set()
                relays.process.send_signal(signal.SIGHUP)

                def renewed() -> bool:
                    assert get(f"http://127.0.0.1:{page}/status.json")[0] in (200, 0)  # 0: caught by a closing port
                    ready, said = get(f"http://127.0.0.1:{admin}/ready")
                    assert ready == 200, f"nobody need take the relay out of a balancer: {ready} {said!r}"
                    assert b"Failure" not in said
                    reasons.update(said.splitlines())
                    return "All relays are renewed" in relays.said()

                relays.until(renewed, "renewal")
                for number in (b"1", b"2"):
                    assert b"process %b: relay: stopping; its clients are being sent away" % number in reasons
                clients.assert_whole(events.finish())
            after = pids(admin)
            assert {*after} == {1, 2}
            assert not {*after.values()} & {*before.values()}
            assert numbers(admin, "streamer_relay_restarts_total") == {}
            (tmp_path / "relay.toml").write_text("[relay]\nprocesses = 0\n")
            relays.process.send_signal(signal.SIGHUP)
            relays.until(lambda: "The relays are not renewed" in relays.said(), "refusal")
            assert pids(admin) == after
            assert relays.stop() in STOPPED

    def test_killed_supervisor(self, rabbit_url: str, tmp_path: Path) -> None:
        """The supervisor is killed: its processes stop of themselves, and leave the port and nothing else behind."""
        page, admin = free_ports(2)
        folders = set(Path("/tmp").glob("streamer-relay-*"))  # noqa: S108 - where the supervisor makes its folder
        with relay(tmp_path, "relay", rabbit_url, page, admin, SETTINGS) as relays:
            until_all_ready(relays, admin)
            children = pids(admin)
            relays.process.kill()
            relays.process.wait()
            until(lambda: not any(map(alive, children.values())), "end of the children")
        with socket.create_server(("127.0.0.1", page)):
            pass
        assert set(Path("/tmp").glob("streamer-relay-*")) <= folders  # noqa: S108 - as above

    def test_stuck_process(self, rabbit_url: str, tmp_path: Path) -> None:
        """A process that dies again and again is started ever more slowly; /ready says so, the other serves."""
        page, admin = free_ports(2)
        with relay(tmp_path, "relay", rabbit_url, page, admin, SETTINGS) as relays:
            until_all_ready(relays, admin)
            killed: list[int | None] = [None]
            for _ in range(3):
                pid = relays.until(lambda: (now := pids(admin).get(1)) not in killed and now, "another process")
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            relays.until(lambda: "starts in 1 s" in relays.said(), "back-off")
            status, said = get(f"http://127.0.0.1:{admin}/ready")
            assert status == 200, "the other serves whoever comes"
            assert said.startswith(b"ready\nprocess 1: it ended by signal 9")
            assert get(f"http://127.0.0.1:{page}/status.json")[0] == 200
            assert relays.stop() in STOPPED

    def test_limits(self, rabbit_url: str, tmp_path: Path) -> None:
        """`clients` is divided, a quarter more for each process: 25 of 40 here; all places are found in time."""
        page, admin = free_ports(2)
        with relay(tmp_path, "relay", rabbit_url, page, admin, f"{SETTINGS}\nclients = 40") as relays:
            until_all_ready(relays, admin)
            with crowd(page, 80):
                most = {1: 0, 2: 0}

                def full() -> bool:
                    now = held(admin)
                    most.update((number, max(most[number], now[number])) for number in most)
                    return sum(now.values()) >= 50

                relays.until(full, "full relay")
                end = time.monotonic() + 1.0  # those that were refused try again ten times
                while time.monotonic() < end:
                    full()
                assert most == {1: 25, 2: 25}
            assert relays.stop() in STOPPED

    def test_taken_port(self, tmp_path: Path) -> None:
        """A port that somebody else has ends the supervisor with a sentence and exit code 1; no process is started."""
        (nobody, admin) = free_ports(2)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            bus, page = f"amqp://127.0.0.1:{nobody}/", taken.getsockname()[1]
            with relay(tmp_path, "relay", bus, page, admin, "processes = 2") as relays:
                assert relays.process.wait(DEADLINE) == 1
        assert f"cannot listen on 'tcp:{page}:interface=127.0.0.1'" in relays.said()
        assert "Change [relay] listen" in relays.said()
        assert "Traceback" not in relays.said()
        assert "runs, pid" not in relays.said()


def test_hangup_alone(rabbit_url: str, tmp_path: Path) -> None:
    """A single process survives SIGHUP, also while it drains; its clients notice nothing."""
    page, admin = free_ports(2)
    with relay(tmp_path, "relay", rabbit_url, page, admin, "drain = 1.0") as alone:
        alone.until_ready(admin)
        events = Events(rabbit_url, RATE)
        with contextlib.closing(events), crowd(page, 4) as clients:
            clients.until(lambda one: one.welcomes, "subscription")
            events.start()
            alone.process.send_signal(signal.SIGHUP)
            sentence = "SIGHUP: one process has nobody to take its clients; restart it instead"
            alone.until(lambda: sentence in alone.said(), "sentence")
            clients.until(lambda one: len(one.seen) > 20, "events")
            clients.assert_whole(events.finish())
            assert all(one.welcomes == 1 for one in clients.followers)
            alone.process.send_signal(signal.SIGTERM)
            alone.until(lambda: get(f"http://127.0.0.1:{admin}/ready")[0] == 503, "drain")
            alone.process.send_signal(signal.SIGHUP)
            assert alone.process.wait(DEADLINE) in STOPPED


class TestInheritedSocket:
    """`listen = "systemd:…"`."""

    @pytest.mark.parametrize("processes", [1, 2])
    def test_inherited(self, processes: int, rabbit_url: str, tmp_path: Path) -> None:
        """One process serves on the socket it was handed; several refuse, for they cannot share it."""
        admin = free_ports(1)[0]
        (tmp_path / "relay.toml").write_text(
            f'[bus]\nurl = "{rabbit_url}"\n[relay]\nlisten = "systemd:domain=INET:index=0"\nprocesses = {processes}\n'
            f'admin = "tcp:{admin}:interface=127.0.0.1"\n'
        )
        command = [str(BIN / "twistd"), "-n", "--pidfile=", "relay", "-c", "relay.toml"]
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            # As systemd does it: the socket is descriptor 3, and the process is told its own id.
            launcher = (
                "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True)\n"
                "os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='relay', LISTEN_PID=str(os.getpid()))\n"
                "os.execv(sys.argv[2], sys.argv[2:])"
            )
            log = stack.enter_context((tmp_path / "log").open("wb"))
            started = subprocess.Popen(
                [sys.executable, "-c", launcher, str(listening.fileno()), *command],
                cwd=tmp_path, pass_fds=[listening.fileno()], stdout=log, stderr=log,
            )  # fmt: skip
            stack.callback(started.wait)
            stack.callback(started.kill)
            if processes > 1:
                assert started.wait(DEADLINE) == 78
                assert "relay.toml:4:1: relay.listen: several processes can share" in (tmp_path / "log").read_text()
                return
            until(lambda: get(f"http://127.0.0.1:{admin}/ready")[0] == 200, "readiness")
            assert get(f"http://127.0.0.1:{listening.getsockname()[1]}/status.json")[0] == 200
            started.terminate()
            assert started.wait(DEADLINE) in STOPPED


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [("tcp:0:interface=127.0.0.1", "cannot share port 0"), ("unix:relay.sock", "can share a tcp: or tcp6: endpoint")],
)
def test_unshareable(listen: str, sentence: str, tmp_path: Path) -> None:
    """What several processes cannot listen on is a problem of the configuration, with its place."""
    (tmp_path / "x.toml").write_text(
        f'[bus]\nurl = "amqp://127.0.0.1/"\n[relay]\nprocesses = 2\nlisten = "{listen}"\n'
    )
    with Program(tmp_path, "relay", "twistd", "-n", "--pidfile", "", "relay", "-c", "x.toml") as program:
        assert program.process.wait(DEADLINE) == 78
    assert "x.toml:5:1: relay.listen: " in program.said()
    assert sentence in program.said()


def test_no_socket(tmp_path: Path) -> None:
    """A socket that systemd would hand over passes a check; a relay without it ends with a sentence that names it."""
    (tmp_path / "x.toml").write_text(
        '[bus]\nurl = "amqp://127.0.0.1/"\n[relay]\nlisten = "systemd:domain=INET:name=relay"\n'
    )
    checked = subprocess.run(
        [str(BIN / "streamer"), "check", "x.toml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    with Program(tmp_path, "relay", "twistd", "-n", "--pidfile", "", "relay", "-c", "x.toml") as program:
        assert program.process.wait(DEADLINE) == 78
    assert "x.toml:4:1: relay.listen: systemd handed over no socket named 'relay'; start the unit" in program.said()
    assert "Traceback" not in program.said()
