"""Queues: competing consumers, names and properties by header, durable subscriptions, request and reply."""

from world import Case, unique, wait_for


class Queues(Case):
    def test_what_is_sent_waits_in_order(self):
        queue = unique("/queue/waits-")
        self.fill(queue, [str(i) for i in range(100)])
        messages = self.drain(queue, 100)
        self.assertEqual([message.body for message in messages], [str(i) for i in range(100)])
        self.assertEqual({message.headers["destination"] for message in messages}, {queue})
        self.assertEqual({message.headers["redelivered"] for message in messages}, {"false"})
        self.assertEqual(len({message.headers["message-id"] for message in messages}), 100)

    def test_two_consumers_share(self):
        queue = unique("/queue/share-")
        ears = [self.open() for _ in range(2)]
        for conn, heard in ears:
            self.subscribe(conn, heard, queue)
        self.fill(queue, [str(i) for i in range(40)])
        wait_for(lambda: sum(len(heard.messages) for _, heard in ears) == 40, "all messages")
        self.assertEqual(sorted(int(body) for _, heard in ears for body in heard.bodies), list(range(40)))
        self.assertTrue(all(heard.messages for _, heard in ears))

    def test_unsubscribe_leaves_the_rest_to_others(self):
        queue = unique("/queue/rest-")
        conn, heard = self.open()
        self.subscribe(conn, heard, queue, id="s")
        self.send(conn, heard, queue, "mine")
        heard.wait_messages(1)
        if self.version == "1.0":
            self.ask(conn, heard, "unsubscribe", id="s")
        else:
            self.ask(conn, heard, "unsubscribe", "s")
        self.send(conn, heard, queue, "theirs")
        self.assertEqual([message.body for message in self.drain(queue, 1)], ["theirs"])
        self.assertEqual(heard.bodies, ["mine"])

    def test_a_queue_that_is_there(self):
        name = unique("there-")
        self.fill(f"/queue/{name}", ["1"])
        self.fill(f"/amq/queue/{name}", ["2"])
        self.assertEqual([message.body for message in self.drain(f"/amq/queue/{name}", 2)], ["1", "2"])

    def test_properties_of_a_queue(self):
        short = unique("/queue/short-")
        self.fill(short, ["1", "2", "3", "4"], **{"x-max-length": "2"})
        messages = self.drain(short, 2, **{"x-max-length": "2"})
        self.assertEqual([message.body for message in messages], ["3", "4"])

        first = unique("/queue/first-")
        conn, heard = self.open()
        for priority in ("1", "9", "5"):
            self.send(conn, heard, first, priority, priority=priority, **{"x-max-priority": "10"})
        self.leave(conn, heard)
        messages = self.drain(first, 3, **{"x-max-priority": "10"})
        self.assertEqual([message.body for message in messages], ["9", "5", "1"])

        brief = unique("/queue/brief-")
        dead = unique("dead-")
        self.fill(f"/queue/{dead}", [])
        ear, ear_heard = self.open()
        self.subscribe(ear, ear_heard, f"/queue/{dead}")
        self.fill(brief, ["gone"], **{"x-message-ttl": "10", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        (message,) = ear_heard.wait_messages(1)
        self.assertEqual(message.body, "gone")

    def test_a_name_for_the_queue_of_a_subscription(self):
        room = unique("/topic/named.")
        name = unique("named-")
        headers = {"x-queue-name": name, "durable": "true", "auto-delete": "false", "exclusive": "false"}
        conn, heard = self.open()
        self.subscribe(conn, heard, room, **headers)
        self.leave(conn, heard)
        self.fill(room, ["while away"])
        (message,) = self.drain(f"/amq/queue/{name}", 1)
        self.assertEqual(message.body, "while away")
        self.assertEqual(message.headers["destination"], room)


class Plain(Case):
    """STOMP 1.0 has no ids."""

    VERSIONS = ("1.0",)

    def test_without_an_id(self):
        queue = unique("/queue/plain-")
        conn, heard = self.open()
        self.ask(conn, heard, "subscribe", queue)
        self.send(conn, heard, queue, "1")
        (message,) = heard.wait_messages(1)
        self.assertNotIn("subscription", message.headers)
        self.ask(conn, heard, "unsubscribe", queue)
        self.send(conn, heard, queue, "2")
        self.assertEqual([message.body for message in self.drain(queue, 1)], ["2"])

    def test_client_acks_without_an_id(self):
        queue = unique("/queue/plain-")
        conn, heard = self.open()
        self.ask(conn, heard, "subscribe", queue, ack="client")
        for body in ("1", "2"):
            self.send(conn, heard, queue, body)
        first, _ = heard.wait_messages(2)
        self.assertTrue(first.headers["message-id"].startswith(f"Q_{queue}@@"), first.headers)
        self.ack(conn, first, receipt="acked")
        heard.wait_receipt("acked")
        self.leave(conn, heard)
        (message,) = self.drain(queue, 1)
        self.assertEqual((message.body, message.headers["redelivered"]), ("2", "true"))


class Durable(Case):
    def test_of_a_topic(self):
        room = unique("/topic/durable.")
        headers = {"durable": "true", "auto-delete": "false"}
        id = unique("durable: ") if self.version != "1.0" else unique("durable-")

        def come(expected):
            conn, heard = self.open()
            self.subscribe(conn, heard, room, id=id, **headers)
            heard.wait_messages(len(expected))
            self.send(conn, heard, room, "now")
            heard.wait_messages(len(expected) + 1)
            self.assertEqual(heard.bodies, [*expected, "now"])
            return conn, heard

        self.leave(*come([]))
        self.fill(room, ["while away 1", "while away 2"])
        self.leave(*come(["while away 1", "while away 2"]))
        conn, heard = come([])
        self.ask(conn, heard, "unsubscribe", **({"id": id} if self.version == "1.0" else {"id": id}), headers=headers)
        self.leave(conn, heard)
        self.fill(room, ["to nobody"])
        conn, heard = come([])
        self.ask(conn, heard, "unsubscribe", id=id, headers=headers)
        self.leave(conn, heard)


class RequestAndReply(Case):
    def test_temp_queue(self):
        queue = unique("/queue/requests-")
        server, server_heard = self.open()
        self.subscribe(server, server_heard, queue)
        client, client_heard = self.open()
        for i in range(3):
            client.send(queue, f"request {i}", headers={"reply-to": "/temp-queue/answers", "correlation-id": str(i)})
        for request in server_heard.wait_messages(3):
            self.assertRegex(request.headers["reply-to"], r"^/reply-queue/.")
            server.send(
                request.headers["reply-to"], request.body.upper(), headers={"correlation-id": request.headers["correlation-id"]}
            )
        replies = client_heard.wait_messages(3)
        self.assertEqual([reply.body for reply in replies], ["REQUEST 0", "REQUEST 1", "REQUEST 2"])
        self.assertEqual([reply.headers["correlation-id"] for reply in replies], ["0", "1", "2"])
        self.assertEqual({reply.headers["subscription"] for reply in replies}, {"/temp-queue/answers"})
        self.assertRegex(replies[0].headers["destination"], r"^/queue/.")

    def test_queues_of_ones_own(self):
        queue = unique("/queue/requests-")
        answers = unique("/queue/answers-")
        server, server_heard = self.open()
        self.subscribe(server, server_heard, queue)
        client, client_heard = self.open()
        self.subscribe(client, client_heard, answers, id="answers")
        self.send(client, client_heard, queue, "request", **{"reply-to": answers})
        (request,) = server_heard.wait_messages(1)
        self.assertEqual(request.headers["reply-to"], answers)
        self.send(server, server_heard, answers, "reply")
        self.assertEqual(client_heard.wait_messages(1)[0].body, "reply")

    def test_temp_queues_are_for_replies_alone(self):
        conn, heard = self.open()
        conn.subscribe("/temp-queue/x", "1")
        self.assertEqual(heard.wait_error().headers["message"], "Invalid destination")
