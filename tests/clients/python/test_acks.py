"""ACK and NACK, and what becomes of a message that is given back."""

from world import Case, unique

LETTERS = ["a", "b", "c", "d"]


class Acks(Case):
    def taken(self, ack, letters=LETTERS, **headers):
        """A queue with four messages, all of them given to one consumer."""
        queue = unique("/queue/acks-")
        self.fill(queue, letters)
        conn, heard = self.open()
        self.subscribe(conn, heard, queue, ack=ack, **headers)
        return queue, conn, heard, heard.wait_messages(len(letters))

    def rest(self, queue, n):
        messages = self.drain(queue, n)
        return [(message.body, message.headers["redelivered"]) for message in messages]

    def test_auto(self):
        queue, conn, heard, _ = self.taken("auto")
        self.leave(conn, heard)
        self.assertEqual(self.rest(queue, 0), [])

    def test_client_is_cumulative(self):
        queue, conn, heard, messages = self.taken("client")
        self.ack(conn, messages[2])
        self.leave(conn, heard)  # an ACK that arrived before the end counts
        self.assertEqual(self.rest(queue, 1), [("d", "true")])

    def test_client_individual(self):
        queue, conn, heard, messages = self.taken("client-individual")
        self.ack(conn, messages[1])
        self.ack(conn, messages[3], receipt="acked")
        heard.wait_receipt("acked")
        self.leave(conn, heard)
        self.assertEqual(self.rest(queue, 2), [("a", "true"), ("c", "true")])

    def test_ids_say_what_they_are_of(self):
        _, conn, heard, messages = self.taken("client-individual")
        for message in messages:
            self.assertRegex(message.headers["message-id"], r"^T_1@@.+@@\d+$")
            self.assertEqual(message.headers.get("ack"), message.headers["message-id"] if self.version == "1.2" else None)
            self.ack(conn, message)
        self.leave(conn, heard)

    def test_without_a_word_all_go_back(self):
        queue, conn, heard, _ = self.taken("client")
        self.leave(conn, heard)
        self.assertEqual(self.rest(queue, 4), [(letter, "true") for letter in LETTERS])

    def test_a_connection_that_is_lost_gives_all_back(self):
        queue, conn, heard, messages = self.taken("client-individual")
        self.ack(conn, messages[0], receipt="acked")
        heard.wait_receipt("acked")
        conn.transport.disconnect_socket()
        self.assertEqual(self.rest(queue, 3), [(letter, "true") for letter in "bcd"])

    def test_prefetch_count(self):
        queue, conn, heard, _ = self.taken("client-individual", ["a"], **{"prefetch-count": "1"})
        self.send(conn, heard, queue, "b")
        self.send(conn, heard, queue, "c")
        self.assertEqual(heard.bodies, ["a"])
        for n in (2, 3):
            self.ack(conn, heard.messages[-1])
            heard.wait_messages(n)
        self.assertEqual(heard.bodies, ["a", "b", "c"])

    def test_unsubscribe_gives_back_what_is_unacked(self):
        queue, conn, heard, messages = self.taken("client-individual")
        self.ack(conn, messages[0], receipt="acked")
        heard.wait_receipt("acked")
        self.ask(conn, heard, "unsubscribe", id="1")
        self.leave(conn, heard)
        self.assertEqual(self.rest(queue, 3), [(letter, "true") for letter in "bcd"])

    def test_of_a_topic(self):
        room = unique("/topic/acked.")
        conn, heard = self.open()
        self.subscribe(conn, heard, room, ack="client-individual")
        self.send(conn, heard, room, "x")
        (message,) = heard.wait_messages(1)
        self.assertEqual(message.headers["destination"], room)
        self.ack(conn, message, receipt="acked")
        heard.wait_receipt("acked")
        self.assertEqual(heard.errors, [])


class Nacks(Case):
    VERSIONS = ("1.1", "1.2")

    def test_comes_again(self):
        queue = unique("/queue/nack-")
        conn, heard = self.open()
        self.subscribe(conn, heard, queue, ack="client-individual")
        self.send(conn, heard, queue, "x")
        (message,) = heard.wait_messages(1)
        self.nack(conn, message, receipt="nacked")
        heard.wait_receipt("nacked")
        _, again = heard.wait_messages(2)
        self.assertEqual((again.body, again.headers["redelivered"]), ("x", "true"))
        self.ack(conn, again)
        self.leave(conn, heard)
        self.assertEqual(self.drain(queue, 0), [])

    def test_requeue_false_is_dropped_or_dead_lettered(self):
        queue = unique("/queue/nack-")
        dead = unique("dead-")
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
        conn, heard = self.open()
        self.subscribe(conn, heard, f"/queue/{dead}", id="dead")
        self.subscribe(conn, heard, queue, ack="client-individual", **arguments)
        self.send(conn, heard, queue, "x", **arguments)
        (message,) = heard.wait_messages(1)
        self.nack(conn, message, requeue="false")
        _, letter = heard.wait_messages(2)
        self.assertEqual((letter.headers["subscription"], letter.body), ("dead", "x"))

    def test_client_is_cumulative(self):
        queue = unique("/queue/nack-")
        self.fill(queue, ["a", "b", "c"])
        conn, heard = self.open()
        self.subscribe(conn, heard, queue, ack="client")
        messages = heard.wait_messages(3)
        self.nack(conn, messages[1], requeue="false", receipt="nacked")
        heard.wait_receipt("nacked")
        self.leave(conn, heard)
        self.assertEqual([message.body for message in self.drain(queue, 1)], ["c"])
