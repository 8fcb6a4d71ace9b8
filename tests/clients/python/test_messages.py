"""SEND and MESSAGE: bodies, headers, destinations, errors."""

import stomp

import world
from world import Case, unique

TEXT = "ça va? 日本語 🎉👩‍👩‍👧 \u0001\ttab"
ALL_BYTES = bytes(range(256))


class Bodies(Case):
    def echo(self, *said, conn_options=None, **more):
        """What comes back from a room for what was said there."""
        conn, heard = self.open(**conn_options or {})
        room = unique("/topic/echo.")
        self.subscribe(conn, heard, room)
        for body in said:
            self.ask(conn, heard, "send", room, body, **more)
        messages = heard.wait_messages(len(said))
        self.leave(conn, heard)
        self.assertEqual({message.headers["destination"] for message in messages}, {room})
        return messages

    def test_text(self):
        said = [TEXT, "", "x" * 1000000, "a\nb\r\nc\n", "\n"]
        self.assertEqual([message.body for message in self.echo(*said)], said)

    def test_content_type(self):
        (message,) = self.echo("{}", content_type="application/json")
        self.assertEqual(message.headers["content-type"], "application/json")

    def test_binary_with_auto_decode_off(self):
        said = [ALL_BYTES, b"\xff\xfe", b"\x00", ALL_BYTES * 1000]
        messages = self.echo(*said, conn_options={"auto_decode": False}, content_type="application/octet-stream")
        self.assertEqual([message.body for message in messages], said)
        self.assertEqual([int(message.headers["content-length"]) for message in messages], [len(body) for body in said])

    def test_without_content_length(self):
        conn, heard = self.open(auto_content_length=False)
        sent = []

        class Sent(stomp.ConnectionListener):
            def on_send(self, frame):
                sent.append(frame)

        conn.set_listener("sent", Sent())
        room = unique("/topic/unmeasured.")
        self.subscribe(conn, heard, room)
        for body in (TEXT, "", "two\nlines\n"):
            self.send(conn, heard, room, body)
        self.assertEqual([message.body for message in heard.wait_messages(3)], [TEXT, "", "two\nlines\n"])
        self.assertFalse(any("content-length" in frame.headers for frame in sent))
        self.leave(conn, heard)

    def test_headers_of_ones_own(self):
        headers = {"x-one": "1", "x-utf8": "größe"}
        (message,) = self.echo("x", headers=headers, two="2")
        headers["two"] = "2"
        self.assertEqual({name: message.headers.get(name) for name in headers}, headers)

    def test_headers_that_are_properties(self):
        properties = {"correlation-id": "c-1", "type": "t", "app-id": "a", "priority": "3", "persistent": "true", "expiration": "60000"}
        (message,) = self.echo("x", headers=properties)
        self.assertEqual({name: message.headers.get(name) for name in properties}, properties)

    def test_before_message_can_change_what_is_heard(self):
        conn, heard = self.open()

        class Shout(stomp.ConnectionListener):
            def on_before_message(self, frame):
                frame.body = frame.body.upper()

        conn.set_listener("a shout", Shout())
        room = unique("/topic/shout.")
        self.subscribe(conn, heard, room)
        self.send(conn, heard, room, "quiet")
        self.assertEqual(heard.wait_messages(1)[0].body, "QUIET")


class Escapes(Case):
    VERSIONS = ("1.1", "1.2")

    def test_header_values(self):
        conn, heard = self.open()
        room = unique("/topic/escapes.")
        self.subscribe(conn, heard, room)
        values = {"x-colon": "a:b:c", "x-line": "two\nlines", "x-backslash": "\\ \\n \\c", "x-all": ":\n\\:\n\\", "x-empty": ""}
        if self.version == "1.2":
            values["x-return"] = "a\rb\r\nc"
        self.send(conn, heard, room, "x", **values)
        (message,) = heard.wait_messages(1)
        self.assertEqual({name: message.headers.get(name) for name in values if name != "x-empty"}, {k: v for k, v in values.items() if v})

    def test_receipt_and_subscription_ids(self):
        conn, heard = self.open()
        room = unique("/topic/escapes.")
        conn.subscribe(room, "id: of \\ all", receipt="re:ceipt\\")
        heard.wait_receipt("re:ceipt\\")
        conn.send(room, "x")
        (message,) = heard.wait_messages(1)
        self.assertEqual(message.headers["subscription"], "id: of \\ all")
        conn.unsubscribe("id: of \\ all", receipt="gone: 1")
        heard.wait_receipt("gone: 1")


class Rooms(Case):
    def test_many_subscriptions_each_their_own(self):
        conn, heard = self.open()
        rooms = [unique("/topic/many.") for _ in range(10)]
        for i, room in enumerate(rooms):
            self.subscribe(conn, heard, room, id=f"s{i}")
        for i in range(50):
            conn.send(rooms[i % 10], str(i))
        messages = heard.wait_messages(50)
        for i in range(10):
            mine = [message.body for message in messages if message.headers["subscription"] == f"s{i}"]
            self.assertEqual(mine, [str(i + 10 * n) for n in range(5)])

    def test_wildcards(self):
        conn, heard = self.open()
        word = unique("wild")
        self.subscribe(conn, heard, f"/topic/{word}.*.end", id="star")
        self.subscribe(conn, heard, f"/topic/{word}.#", id="hash")
        self.send(conn, heard, f"/topic/{word}.a.end", "1")
        self.send(conn, heard, f"/topic/{word}.a.b.c", "2")
        messages = heard.wait_messages(3)
        got = sorted((message.headers["subscription"], message.body) for message in messages)
        self.assertEqual(got, [("hash", "1"), ("hash", "2"), ("star", "1")])

    def test_exchanges(self):
        conn, heard = self.open()
        key = unique("key")
        self.subscribe(conn, heard, f"/exchange/amq.direct/{key}", id="direct")
        self.subscribe(conn, heard, "/exchange/amq.fanout", id="fanout")
        self.send(conn, heard, f"/exchange/amq.direct/{key}", "by key")
        self.send(conn, heard, "/exchange/amq.fanout", key)
        heard.wait(lambda: {"by key", key} <= set(heard.bodies), "both")  # amq.fanout is everybody's
        messages = {message.body: message for message in heard.messages}
        self.assertEqual(messages["by key"].headers["destination"], f"/exchange/amq.direct/{key}")
        self.assertEqual(messages[key].headers["destination"], "/exchange/amq.fanout")
        self.assertEqual(messages[key].headers["subscription"], "fanout")

    def test_two_listen_and_one_leaves(self):
        room = unique("/topic/leaves.")
        ann, ann_heard = self.open()
        bob, bob_heard = self.open()
        self.subscribe(ann, ann_heard, room)
        self.subscribe(bob, bob_heard, room)
        self.send(ann, ann_heard, room, "both")
        bob_heard.wait_messages(1)
        if self.version == "1.0":
            self.ask(bob, bob_heard, "unsubscribe", id="1")
        else:
            self.ask(bob, bob_heard, "unsubscribe", "1")
        self.send(ann, ann_heard, room, "ann")
        ann_heard.wait_messages(2)
        self.leave(bob, bob_heard)
        self.assertEqual(bob_heard.bodies, ["both"])


class Errors(Case):
    def test_unknown_destination(self):
        for method, args in (("send", ("/nowhere/x", "x")), ("subscribe", ("/nowhere/x", "1"))):
            conn, heard = self.open()
            getattr(conn, method)(*args)
            error = heard.wait_error()
            self.assertEqual(error.headers["message"], "Unknown destination")
            self.assertTrue(error.body.startswith("'/nowhere/x' is not a valid destination.\n"), error.body)
            if world.target.is_ws:
                heard.wait(lambda: heard.disconnects == 1, "the close")
            else:  # RabbitMQ's habit
                self.subscribe(conn, heard, unique("/topic/goes-on."))

    def test_queue_that_must_be_there(self):
        name = unique("absent-")
        conn, heard = self.open()
        conn.subscribe(f"/amq/queue/{name}", "1")
        error = heard.wait_error()
        self.assertEqual(error.headers["message"], "not_found")
        self.assertTrue(error.body.startswith(f"NOT_FOUND - no queue '{name}' in vhost "), error.body)

    def test_two_subscriptions_of_one_id(self):
        conn, heard = self.open()
        room = unique("/topic/twice.")
        self.subscribe(conn, heard, room, id="twice")
        conn.subscribe(room, "twice")
        error = heard.wait_error()
        self.assertEqual(error.headers["message"], "Duplicated subscription identifier")
        self.assertEqual(error.body.rstrip("\n"), "A subscription identified by 'T_twice' already exists.")

    def test_ack_of_nothing(self):
        conn, heard = self.open()
        conn.ack(*(("nothing", "1") if self.version == "1.1" else ("nothing",)))
        heard.wait_error()
