from __future__ import annotations

import time

import pytest

from tests.server.serving import report, until


@pytest.mark.parametrize("farewell", ["close", "reset", "half-close"])
def test_client_that_leaves_ends_the_wait_for_its_answer(server, soak, farewell):
    count = 1000 if soak else 40
    clients = [server.client().get("/wait") for _ in range(count)]
    server.noted("waiting", times=count)
    left_at = time.monotonic()
    for client in clients:
        if farewell == "close":
            client.sock.close()
        elif farewell == "reset":
            client.reset()
        else:
            client.sock.shutdown(1)
    server.noted("ended by ClientGone", times=count)
    report(f"{count} by {farewell}: the last was noticed {time.monotonic() - left_at:.3f} s later")
    assert server.notes().count("cleaned up") == count
    assert "Traceback" not in server.log()
    for client in clients:
        client.sock.close()


def test_client_that_leaves_after_its_body_was_read_is_noticed(server):
    with server.client() as client:
        client.post("/wait?body=1", bytes(300000))
        server.noted("waiting")
    server.noted("ended by ClientGone")


def test_client_that_leaves_a_stream_closes_it(server, soak):
    count = 1000 if soak else 40
    clients = [server.client().get("/stream?every=30") for _ in range(count)]
    for number, client in enumerate(clients):
        client.read_until(b"data: 0\n\n")
        if number % 2:
            client.reset()
        else:
            client.sock.close()
    server.noted("stream cleaned up", times=count)
    assert "Traceback" not in server.log()


def test_request_sent_ahead_is_not_taken_for_the_end(server):
    with server.client() as client:
        client.get("/wait?s=0.5").get("/plain?second=1")
        assert client.answer().json() == {"waited": True}
        assert client.answer().json()["second"] == "1"
    assert "ended by ClientGone" not in server.notes()


def test_many_requests_sent_ahead_are_answered_in_order(server):
    with server.client() as client:
        for number in range(50):
            client.get(f"/plain?n={number}")
        assert [client.answer().json()["n"] for _ in range(50)] == [str(n) for n in range(50)]


def test_clean_up_is_not_interrupted_again(serve):
    with serve() as server:
        with server.client() as client:
            client.get("/wait?cleanup=1.8")
            server.noted("waiting")
        time.sleep(0.3)  # the clean-up runs, now the process is told to end
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert server.notes().count("cleaned up") == 1
        assert "ended by ClientGone" in server.notes()
        assert "ended by DrainExit" not in server.notes()


def test_shielded_work_is_finished_before_the_request_ends(server):
    with server.client() as client:
        client.get("/shielded?s=1")
        server.noted("waiting")
    server.noted("ended by ClientGone")
    assert server.notes().index("released in peace") < server.notes().index("ended by ClientGone")


def test_process_is_left_as_it_was_by_clients_that_left(server, soak):
    (worker,) = server.workers()
    count = 2000 if soak else 100

    def ask_and_leave(times):
        for _ in range(times):
            with server.client() as client:
                client.get("/wait")

    def memory():
        return worker.num_fds(), worker.num_threads()

    ask_and_leave(1)
    server.noted("ended by ClientGone")
    before = memory()
    ask_and_leave(count)
    server.noted("ended by ClientGone", times=count + 1)
    until(lambda: memory() == before)


def test_client_that_leaves_behind_bytes_sent_ahead_is_noticed(server):
    with server.client() as client:
        client.get("/wait?s=30")
        server.noted("waiting")
        client.send(b"G")
    assert server.noted("ended by ClientGone") < 10
