"""Connecting, being refused, heart-beats, leaving, coming back; the listeners that come with stomp.py."""

import threading

import stomp
from stomp.exception import ConnectFailedException, NotConnectedException

import world
from world import Case, Heard, unique


class Connecting(Case):
    def test_connected_says_all_it_must(self):
        conn, heard = self.open()
        self.assertTrue(conn.is_connected())
        (frame,) = heard.connected
        self.assertEqual(frame.headers["version"], self.version)
        self.assertRegex(frame.headers["server"], r"^\w+/\d")
        self.assertTrue(frame.headers["session"])
        self.assertRegex(frame.headers["heart-beat"], r"^\d+,\d+$")
        self.leave(conn, heard)

    def test_wrong_passcode_is_told(self):
        conn, heard = self.make()
        with self.assertRaises(ConnectFailedException):
            conn.connect(world.target.login, "wrong", wait=True)
        error = heard.wait_error()
        self.assertEqual(error.headers["message"], "Bad CONNECT")
        self.assertEqual(error.body.rstrip("\n"), f"Access refused for user '{world.target.login}'")
        self.assertFalse(conn.is_connected())

    def test_headers_of_connect(self):
        conn, heard = self.make()
        self.login(conn, headers={"client-id": "a"}, other="b")
        self.leave(conn, heard)

    def test_with_statement(self):
        conn, heard = self.make()
        with conn:
            self.login(conn)
            self.assertTrue(conn.is_connected())
        self.assertFalse(conn.is_connected())
        self.assertEqual(heard.disconnects, 1)

    def test_disconnect_without_a_receipt_of_ones_own(self):
        conn, heard = self.open()
        conn.disconnect()
        heard.wait(lambda: heard.disconnects == 1, "on_disconnected")
        self.assertEqual(len(heard.receipts), 1)  # stomp.py asks for one, and goes when it has come
        self.assertFalse(conn.is_connected())

    def test_disconnect_does_what_was_asked_before(self):
        queue = unique("/queue/left-")
        conn, heard = self.open()
        for i in range(50):
            conn.send(queue, str(i))
        self.leave(conn, heard)
        self.assertEqual([message.body for message in self.drain(queue, 50)], [str(i) for i in range(50)])

    def test_send_after_the_end_is_the_clients_own_error(self):
        conn, heard = self.open()
        self.leave(conn, heard)
        with self.assertRaises(NotConnectedException):
            conn.send("/topic/gone", "x")

    def test_the_same_connection_again(self):
        conn, heard = self.make()
        for _ in range(3):
            self.login(conn)
            heard.disconnects = 0
            self.leave(conn, heard)
        self.assertEqual(len(heard.connected), 3)

    def test_comes_back_when_the_server_closed(self):
        conn, heard = self.open()
        room = unique("/topic/back.")

        class Reconnecting(stomp.ConnectionListener):
            def on_disconnected(self):  # as its documentation shows it
                conn.connect(world.target.login, world.target.passcode, wait=False)

            def on_connected(self, _frame):
                conn.subscribe(room, "1", receipt="back")

        conn.set_listener("reconnecting", Reconnecting())
        conn.transport.send(b"SEND\nno colon\n\n\x00")  # no frame: every server must close
        heard.wait_receipt("back")
        conn.send(room, "again")
        self.assertEqual(heard.wait_messages(1)[0].body, "again")
        conn.remove_listener("reconnecting")


class StompCommand(Case):
    VERSIONS = ("1.1", "1.2")

    def test_connect_and_stomp_command(self):
        for with_connect_command in (True, False):
            conn, heard = self.make()
            self.login(conn, with_connect_command=with_connect_command)
            self.assertEqual(heard.connected[0].headers["version"], self.version)
            self.leave(conn, heard)

    def test_virtual_host(self):
        conn, heard = self.make(vhost=world.target.vhost)
        sent = []

        class Sent(stomp.ConnectionListener):
            def on_send(self, frame):
                sent.append(frame)

        conn.set_listener("sent", Sent())
        self.login(conn)
        self.assertEqual(sent[0].headers["host"], world.target.vhost)
        self.leave(conn, heard)


class HeartBeats(Case):
    VERSIONS = ("1.1", "1.2")

    def test_both_ways_keep_it_open(self):
        conn, heard = self.open(heartbeats=(1000, 1000))
        self.assertEqual(heard.connected[0].headers["heart-beat"], "1000,1000")
        self.assertEqual(conn.heartbeats, (1000, 1000))
        heard.wait(lambda: heard.beats >= 4, "heart-beats")
        self.subscribe(conn, heard, unique("/topic/alive."))
        self.assertEqual((heard.disconnects, heard.errors), (0, []))
        self.leave(conn, heard)

    def test_server_closes_when_they_stop(self):
        conn, heard = self.open(heartbeats=(1000, 0))
        conn.heartbeat_terminate_event.set()  # its thread of heart-beats ends
        heard.wait(lambda: heard.disconnects == 1, "on_disconnected")
        self.assertFalse(conn.is_connected())

    def test_none_are_wanted(self):
        conn, heard = self.open(heartbeats=(0, 0))
        self.assertEqual(conn.heartbeats, (0, 0))  # whatever the server could do
        self.leave(conn, heard)


class Listeners(Case):
    def test_waiting_stats_and_printing(self):
        conn, heard = self.make()
        stats = stomp.StatsListener()
        bye = unique("bye")
        waiting = stomp.WaitingListener(bye)
        for name, listener in (("stats", stats), ("waiting", waiting), ("printing", stomp.PrintingListener(print_to_log=True))):
            conn.set_listener(name, listener)
        self.login(conn)
        room = unique("/topic/listeners.")
        self.subscribe(conn, heard, room)
        for i in range(3):
            self.send(conn, heard, room, f"{i}")
        heard.wait_messages(3)
        conn.disconnect(receipt=bye)
        waiting.wait_on_receipt()
        waiting.wait_on_disconnected()
        self.assertEqual((stats.connections, stats.disconnects, stats.errors, stats.messages), (1, 1, 0, 3))
        self.assertIn("Messages received: 3", str(stats))

    def test_its_own_test_listener(self):
        conn, heard = self.make()
        listener = stomp.listener.TestListener("sent", print_to_log=True)
        conn.set_listener("test", listener)
        self.login(conn)
        room = unique("/topic/test-listener.")
        self.subscribe(conn, heard, room)
        conn.send(room, "to it", receipt="sent")
        listener.wait_on_receipt()
        listener.wait_for_message()
        headers, body = listener.get_latest_message()
        self.assertEqual((headers["destination"], body), (room, "to it"))

    def test_come_and_go(self):
        conn, heard = self.open()
        other = Heard()
        conn.set_listener("other", other)
        self.assertIs(conn.get_listener("other"), other)
        room = unique("/topic/listeners.")
        self.subscribe(conn, heard, room)
        self.send(conn, heard, room, "both")
        other.wait_messages(1)
        conn.remove_listener("other")
        self.assertIsNone(conn.get_listener("other"))
        self.send(conn, heard, room, "one")
        heard.wait_messages(2)
        self.assertEqual(other.bodies, ["both"])

    def test_threads_of_another_make(self):
        conn, heard = self.make()
        threads = []

        def create(callback):
            threads.append(threading.Thread(target=callback, daemon=True))
            threads[-1].start()
            return threads[-1]

        conn.transport.override_threading(create)
        self.login(conn)
        room = unique("/topic/threads.")
        self.subscribe(conn, heard, room)
        self.send(conn, heard, room, "x")
        heard.wait_messages(1)
        self.leave(conn, heard)
        self.assertEqual(len(threads), 1)
