"""What the tests of stomp.py stand on: the server that the command line names, connections to it by TCP or WebSocket, and listeners
that are waited for with a deadline.

The server is a URL: tcp://login:passcode@host:port/vhost or ws://login:passcode@host:port/path?vhost=vhost. Nothing else here or in the
tests knows which server it is, so that RabbitMQ's own STOMP plugin can be asked the same.
"""

import socket
import threading
import time
import unittest
import uuid
from urllib.parse import parse_qs, unquote, urlsplit

import stomp
import websocket
from stomp.exception import ConnectionClosedException, NotConnectedException
from stomp.protocol import Protocol10, Protocol11, Protocol12
from stomp.transport import BaseTransport

DEADLINE_S = 20


class Target:
    def __init__(self, url):
        parts = urlsplit(url)
        self.scheme = parts.scheme
        self.is_ws = parts.scheme == "ws"
        self.host = parts.hostname
        self.port = parts.port
        self.login = unquote(parts.username or "guest")
        self.passcode = unquote(parts.password or "guest")
        self.ws_url = f"ws://{self.host}:{self.port}{parts.path}"
        vhost = parse_qs(parts.query).get("vhost", ["/"])[0] if self.is_ws else unquote(parts.path[1:]) or "/"
        self.vhost = vhost


target = None  # set by run.py


def unique(prefix="t"):
    return prefix + uuid.uuid4().hex[:16]


def wait_for(predicate, what, timeout=DEADLINE_S):
    """Polls until predicate() gives something truthy, and gives that."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.005)


class WsTransport(BaseTransport):
    """stomp.py 8.0 speaks TCP alone and leaves its transport to be exchanged (stomp.adapter.multicast does so); this is one of a
    dozen lines over websocket-client, another WebSocket than those of the browsers and of Node."""

    SUBPROTOCOLS = {"1.0": "v10.stomp", "1.1": "v11.stomp", "1.2": "v12.stomp"}

    def __init__(self, version, auto_decode, vhost):
        BaseTransport.__init__(self, auto_decode)
        self.version = version
        self.vhost = vhost
        self.socket = None
        self.lock = threading.Lock()

    def attempt_connection(self):
        self.connection_error = False
        self.socket = websocket.create_connection(
            target.ws_url, timeout=DEADLINE_S, subprotocols=[self.SUBPROTOCOLS[self.version]], enable_multithread=True
        )
        self.socket.settimeout(None)
        self.current_host_and_port = (target.host, target.port)

    def is_connected(self):
        return self.socket is not None and BaseTransport.is_connected(self)

    def send(self, encoded_frame):
        if self.socket is None:
            raise NotConnectedException()
        with self.lock:
            self.socket.send_binary(encoded_frame)

    def receive(self):
        try:
            data = self.socket.recv()
        except (websocket.WebSocketException, OSError, AttributeError):  # AttributeError: closed by the other thread
            raise ConnectionClosedException()
        return data.encode() if isinstance(data, str) else data

    def cleanup(self):
        if self.socket is not None:
            self.socket.close(timeout=1)
        self.socket = None

    def disconnect_socket(self):
        self.running = False
        if self.socket is not None:
            try:
                self.socket.sock.shutdown(socket.SHUT_RDWR)  # the other thread reads: close() alone would wait for it
            except (OSError, AttributeError):
                pass  # it is closed already
        self.socket = None
        if not self.notified_on_disconnect:
            self.notify("disconnected")


TCP_KINDS = {"1.0": stomp.StompConnection10, "1.1": stomp.StompConnection11, "1.2": stomp.StompConnection12}


class Ws10(stomp.StompConnection10):
    def __init__(self, auto_decode=True, vhost=None, auto_content_length=True):
        transport = WsTransport("1.0", auto_decode, vhost)
        stomp.connect.BaseConnection.__init__(self, transport)
        Protocol10.__init__(self, transport, auto_content_length)


class Ws11(stomp.StompConnection11):
    def __init__(self, auto_decode=True, vhost=None, auto_content_length=True, heartbeats=(0, 0)):
        transport = WsTransport("1.1", auto_decode, vhost)
        stomp.connect.BaseConnection.__init__(self, transport)
        Protocol11.__init__(self, transport, heartbeats, auto_content_length)


class Ws12(stomp.StompConnection12):
    def __init__(self, auto_decode=True, vhost=None, auto_content_length=True, heartbeats=(0, 0)):
        transport = WsTransport("1.2", auto_decode, vhost)
        stomp.connect.BaseConnection.__init__(self, transport)
        Protocol12.__init__(self, transport, heartbeats, auto_content_length)


WS_KINDS = {"1.0": Ws10, "1.1": Ws11, "1.2": Ws12}


class Heard(stomp.ConnectionListener):
    """Remembers all it is told."""

    def __init__(self):
        self.connected = []
        self.messages = []
        self.receipts = []
        self.errors = []
        self.beats = 0
        self.disconnects = 0

    def on_connected(self, frame):
        self.connected.append(frame)

    def on_message(self, frame):
        self.messages.append(frame)

    def on_receipt(self, frame):
        self.receipts.append(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.append(frame)

    def on_heartbeat(self):
        self.beats += 1

    def on_disconnected(self):
        self.disconnects += 1

    def told(self):
        errors = [(frame.headers.get("message"), frame.body) for frame in self.errors]
        return f"(messages: {len(self.messages)}, receipts: {self.receipts}, ERRORs: {errors}, disconnects: {self.disconnects})"

    def wait(self, predicate, what):
        try:
            return wait_for(predicate, what)
        except AssertionError as error:
            raise AssertionError(f"{error} {self.told()}") from None

    def wait_messages(self, n):
        self.wait(lambda: len(self.messages) >= n, f"{n} messages")
        return self.messages[:n]

    def wait_error(self):
        self.wait(lambda: self.errors, "an ERROR")
        return self.errors[0]

    def wait_receipt(self, receipt):
        self.wait(lambda: receipt in self.receipts, f"the receipt {receipt}")

    @property
    def bodies(self):
        return [frame.body for frame in self.messages]


class Case(unittest.TestCase):
    """One test of one version; a subclass is run once for each of its VERSIONS, over its TRANSPORTS (see run.py)."""

    VERSIONS = ("1.0", "1.1", "1.2")
    TRANSPORTS = ("tcp", "ws")
    version = None

    def setUp(self):
        self.connections = []

    def tearDown(self):
        for conn in self.connections:
            try:
                conn.disconnect()
            except (NotConnectedException, OSError, websocket.WebSocketException):
                pass  # the server closed it, now or before

    def make(self, **options):
        """A connection that is not yet connected, and who hears what it is told."""
        options.setdefault("vhost", target.vhost)
        if target.is_ws:
            conn = WS_KINDS[self.version](**options)
        else:
            vhost = options.pop("vhost")
            conn = TCP_KINDS[self.version]([(target.host, target.port)], **options)
            conn.transport.vhost = vhost
        heard = Heard()
        conn.set_listener("heard", heard)
        self.connections.append(conn)
        return conn, heard

    def login(self, conn, **more):
        heard = conn.get_listener("heard")
        times = len(heard.connected)
        conn.connect(target.login, target.passcode, wait=True, **more)
        heard.wait(lambda: len(heard.connected) > times, "on_connected")  # it is called a little later

    def open(self, **options):
        conn, heard = self.make(**options)
        self.login(conn)
        return conn, heard

    def ask(self, conn, heard, method, *args, **more):
        """Calls a method of the connection with a receipt, and waits for it."""
        receipt = unique("r")
        result = getattr(conn, method)(*args, receipt=receipt, **more)
        heard.wait_receipt(receipt)
        return result

    def subscribe(self, conn, heard, destination, id="1", ack="auto", **headers):
        self.ask(conn, heard, "subscribe", destination, id, ack, headers=headers)

    def send(self, conn, heard, destination, body, **headers):
        self.ask(conn, heard, "send", destination, body, headers=headers)

    def fill(self, destination, bodies, **headers):
        conn, heard = self.open()
        for body in bodies:
            self.send(conn, heard, destination, body, **headers)
        self.leave(conn, heard)

    def leave(self, conn, heard):
        """DISCONNECT, and its RECEIPT: all that was said before has been done."""
        receipt = unique("bye")
        conn.disconnect(receipt=receipt)
        heard.wait_receipt(receipt)
        heard.wait(lambda: heard.disconnects == 1, "on_disconnected")

    def ack(self, conn, message, **more):
        self._settle(conn.ack, message, more)

    def nack(self, conn, message, **more):
        self._settle(conn.nack, message, more)

    def _settle(self, method, message, more):
        if self.version == "1.2":
            method(message.headers["ack"], **more)
        elif self.version == "1.1":
            method(message.headers["message-id"], message.headers["subscription"], **more)
        else:
            method(message.headers["message-id"], **more)

    def drain(self, destination, n, **headers):
        """What a newcomer gets: n messages, and then one that was sent behind them, so that n are all."""
        conn, heard = self.open()
        self.subscribe(conn, heard, destination, **headers)
        heard.wait_messages(n)
        self.send(conn, heard, destination, "the end")
        heard.wait_messages(n + 1)
        self.leave(conn, heard)
        self.assertEqual(heard.messages[n].body, "the end", heard.bodies)
        return heard.messages[:n]
