"""BEGIN, COMMIT, ABORT: SEND, ACK and NACK wait for the end; and a RECEIPT for every frame."""

from world import Case, unique


class Transactions(Case):
    def test_commit(self):
        queue = unique("/queue/tx-")
        conn, heard = self.open()
        self.subscribe(conn, heard, queue)
        tx = conn.begin()
        for i in range(3):
            conn.send(queue, f"in {i}", transaction=tx)
        self.send(conn, heard, queue, "outside")
        self.assertEqual([message.body for message in heard.wait_messages(1)], ["outside"])
        conn.commit(tx, receipt="committed")
        heard.wait_receipt("committed")
        heard.wait_messages(4)
        self.assertEqual(heard.bodies, ["outside", "in 0", "in 1", "in 2"])

    def test_abort(self):
        queue = unique("/queue/tx-")
        conn, heard = self.open()
        tx = conn.begin(unique("my: tx ") if self.version != "1.0" else unique("my-tx-"))
        conn.send(queue, "never", transaction=tx)
        self.ask(conn, heard, "abort", tx)
        self.send(conn, heard, queue, "after")
        self.leave(conn, heard)
        self.assertEqual([message.body for message in self.drain(queue, 1)], ["after"])

    def test_end_of_the_connection_drops_it(self):
        queue = unique("/queue/tx-")
        conn, heard = self.open()
        tx = conn.begin()
        conn.send(queue, "never", transaction=tx)
        self.leave(conn, heard)
        self.fill(queue, ["after"])
        self.assertEqual([message.body for message in self.drain(queue, 1)], ["after"])

    def test_two_at_once(self):
        queue = unique("/queue/tx-")
        conn, heard = self.open()
        first, second = conn.begin("first"), conn.begin("second")
        conn.send(queue, "1", transaction=first)
        conn.send(queue, "2", transaction=second)
        self.ask(conn, heard, "commit", second)
        self.ask(conn, heard, "commit", first)
        self.leave(conn, heard)
        self.assertEqual([message.body for message in self.drain(queue, 2)], ["2", "1"])

    def test_acks_wait_for_the_commit(self):
        queue = unique("/queue/tx-")
        self.fill(queue, ["a", "b", "c"])
        conn, heard = self.open()
        self.subscribe(conn, heard, queue, ack="client-individual")
        messages = heard.wait_messages(3)
        tx, dropped = conn.begin(), conn.begin()
        self.ack(conn, messages[0], transaction=tx)
        self.ack(conn, messages[1], transaction=dropped)
        self.ask(conn, heard, "abort", dropped)
        self.ask(conn, heard, "commit", tx)
        self.leave(conn, heard)
        self.assertEqual([message.body for message in self.drain(queue, 2)], ["b", "c"])

    def test_of_an_unknown_name(self):
        for method, args in (("commit", ("nothing",)), ("abort", ("nothing",)), ("send", ("/topic/tx", "x"))):
            conn, heard = self.open()
            getattr(conn, method)(*args, **({"transaction": "nothing"} if method == "send" else {}))
            error = heard.wait_error()
            self.assertEqual(error.headers["message"], "Bad transaction")
            self.assertEqual(error.body, 'Invalid transaction identifier: "nothing"\n')


class Receipts(Case):
    def test_of_every_frame(self):
        queue = unique("/queue/receipts-")
        conn, heard = self.open()
        self.subscribe(conn, heard, queue, id="r", ack="client")
        self.send(conn, heard, queue, "1")
        (message,) = heard.wait_messages(1)
        self.ack(conn, message, receipt="ack")
        heard.wait_receipt("ack")
        tx = self.ask(conn, heard, "begin", "tx")
        conn.send(queue, "2", transaction=tx, receipt="in tx")
        self.ask(conn, heard, "commit", tx)
        heard.wait_receipt("in tx")
        tx = self.ask(conn, heard, "begin", "tx")
        self.ask(conn, heard, "abort", tx)
        self.ask(conn, heard, "unsubscribe", id="r")
        self.leave(conn, heard)
        self.assertEqual(len(heard.receipts), len(set(heard.receipts)))
        self.assertEqual(heard.errors, [])
