from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from contextlib import suppress

import psutil
import pytest

from tests.server.serving import PATIENCE_S, Cut, Server, report, until


def all_gone(processes: list[psutil.Process]) -> float:
    """Seconds until every one of `processes` has ended."""
    began = time.monotonic()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    return time.monotonic() - began


def send_twice(processes: list[psutil.Process], sig: int) -> None:
    """What Heroku does: every process of the dyno, and perhaps again."""
    for _ in range(2):
        for process in processes:
            process.send_signal(sig)
        time.sleep(0.05)


def test_idle_process_ends_at_once_whatever_is_connected(serve):
    with serve() as server:
        clients = [server.client() for _ in range(50)]
        for client in clients[:49]:
            client.get("/plain").answer()
        everyone = server.everyone()
        server.process.terminate()
        assert all_gone(everyone) < 5
        assert all(client.closed() for client in clients)
        notes = server.notes()
        assert notes == ["drain began True", "drain callback returned"]
        for client in clients:
            client.sock.close()


def test_process_ends_without_those_who_go_on_sending_what_was_refused(serve):
    with serve(TEST_REAL_TIMES="1") as server, server.client() as client:
        client.get("/refuse", "Content-Length: 3000000", method="POST").send(bytes(1000))
        assert client.head()[0] == 401
        over = threading.Event()

        def go_on() -> None:
            with suppress(OSError):
                while not over.wait(0.05):
                    client.send(bytes(1000))

        sender = threading.Thread(target=go_on)
        sender.start()
        everyone = server.everyone()
        server.process.terminate()
        try:
            assert all_gone(everyone) < 5
        finally:
            over.set()
            sender.join()


def test_streams_end_with_an_event_and_are_cleaned_up(serve, soak):
    count = 200 if soak else 30
    settings = {"TEST_REAL_TIMES": "1"} if soak else {}
    with serve(workers=2, **settings) as server:
        clients = [server.client().get("/stream?every=0.2") for _ in range(count)]
        for client in clients:
            client.head()
        everyone = server.everyone()
        began = time.monotonic()
        send_twice(everyone, signal.SIGTERM)
        bodies = [b"".join(iter(client.chunk, b"")) for client in clients]
        all_gone(everyone)
        took = time.monotonic() - began
        report(f"{count} streams ended by SIGTERM: all processes gone after {took:.1f} s")
        assert (15 if soak else 0.8) < took < (25 if soak else 10)
        assert all(body.endswith(b'data: {"error": "ending"}\n\n') for body in bodies)
        assert server.notes().count("stream cleaned up") == count
        assert "SIGKILL" not in server.log()
        for client in clients:
            client.sock.close()


def test_request_that_is_short_enough_is_answered(serve):
    with serve() as server, server.client() as client, server.client() as idle:
        idle.get("/plain").answer()
        client.get("/wait?s=0.4")
        server.noted("waiting")
        server.process.terminate()
        assert idle.closed()
        answer = client.answer()
        assert answer.json() == {"waited": True}
        assert answer.headers["connection"] == "close"
        server.process.wait(PATIENCE_S)


def test_new_connections_are_refused_at_once(serve):
    with serve() as server, server.client() as client:
        client.get("/wait?s=30")
        server.noted("waiting")
        server.process.terminate()

        def refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", server.port)) == errno.ECONNREFUSED

        began = time.monotonic()
        until(refused)
        assert time.monotonic() - began < 1.5
        assert client.answer().status == 503


def test_request_that_is_too_long_is_cleaned_up_and_answered_503(serve):
    with serve() as server, server.client() as client:
        client.get("/wait?s=30&cleanup=0.3")
        server.noted("waiting")
        server.process.terminate()
        answer = client.answer()
        assert answer.status == 503
        assert answer.json()["error"]["code"] == "shutting_down"
        assert answer.headers["retry-after"] == "1"
        assert server.process.wait(PATIENCE_S) == 0
        assert "cleaned up" in server.notes()
        assert "Traceback" not in server.log()


def test_request_that_does_not_end_is_left_behind(serve):
    with serve() as server, server.client() as client:
        client.get("/wait?s=30&cleanup=30")
        server.noted("waiting")
        everyone = server.everyone()
        server.process.terminate()
        assert all_gone(everyone) < 15
        assert "SIGKILL" not in server.log()
        with pytest.raises(Cut):
            client.answer()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGQUIT])
def test_interrupt_from_the_keyboard_is_quick_and_still_cleans_up(serve, sig):
    with serve() as server, server.client() as client:
        client.get("/stream").head()
        everyone = server.everyone()
        send_twice(everyone, sig)
        assert all_gone(everyone) < 5
        assert "stream cleaned up" in server.notes()


def test_workers_end_in_order_when_the_arbiter_dies(serve):
    with serve() as server, server.client() as client:
        client.get("/stream?every=0.1").head()
        workers = server.workers()
        server.process.kill()
        body = b"".join(iter(client.chunk, b""))
        assert body.endswith(b'data: {"error": "ending"}\n\n')
        all_gone(workers)


def test_worker_that_has_served_its_share_cuts_nothing_off(serve):
    with serve("--max-requests", "5") as server, server.client() as client:
        (first,) = server.workers()
        client.get("/stream?every=0.3&n=10").head()
        for _ in range(6):  # the last ones wait until there is a new worker
            assert server.get("/plain").status == 200
        body = b"".join(iter(client.chunk, b""))
        assert body.endswith(b"data: [DONE]\n\n")
        assert server.get("/plain").json()["pid"] != first.pid
        assert "stream complete" in server.notes()


def test_loop_that_is_stuck_is_ended_and_its_clients_are_told(serve):
    with serve("--timeout", "2") as server, server.client() as culprit, server.client() as other:
        other.get("/stream?every=0.2").head()
        culprit.get("/stuck")
        assert culprit.answer().status == 500
        body = b"".join(iter(other.chunk, b""))
        assert body.endswith(b'data: {"error": "ending"}\n\n')
        assert until(lambda: server.get("/plain")).status == 200


def hammer(server: Server, stop: threading.Event, failures: list[str], done: list[int]) -> None:
    """Ask over a new connection each time."""
    while not stop.is_set():
        try:
            done.append(server.get("/plain", "Connection: close").status)
        except (OSError, Cut, ValueError) as error:
            failures.append(repr(error))


@pytest.mark.parametrize("how", ["reload", "replace"])
def test_no_connection_is_lost_while_workers_are_replaced(serve, soak, how):
    with serve(workers=2) as server:
        stop, failures, done = threading.Event(), [], []
        threads = [
            threading.Thread(target=hammer, args=(server, stop, failures, done)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for _ in range(20 if soak else 3):
            before = {worker.pid for worker in server.workers()}
            if how == "reload":
                server.process.send_signal(signal.SIGHUP)
                gone = before
            else:
                gone = {min(before)}
                os.kill(min(before), signal.SIGTERM)

            def replaced(gone: set[int] = gone) -> bool:
                now = {worker.pid for worker in server.workers()}
                return len(now) == 2 and not gone & now

            until(replaced)
            time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        report(f"{len(done)} requests while workers were replaced, {len(failures)} failed")
        assert not failures
        assert set(done) == {200}


def test_queue_of_a_worker_that_is_stopped_is_taken_over(serve):
    with serve(workers=2) as server:
        victim, _ = server.workers()
        victim.suspend()
        try:
            answers = [server.get("/plain").json()["pid"] for _ in range(20)]
        finally:
            victim.resume()
        assert victim.pid not in answers
