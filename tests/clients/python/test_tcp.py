"""What goes over plain TCP alone: several addresses, a server that falls silent, and the command line that comes with stomp.py."""

import socket
import subprocess
import threading

import stomp
from stomp.exception import ConnectFailedException

import world
from world import Case, Heard, unique, wait_for


def dead_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Wire:
    """A line to the server that can fall silent: what the server says is then kept from the client."""

    def __init__(self):
        self.is_silent = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        server = socket.create_connection((world.target.host, world.target.port))
        threading.Thread(target=self.carry, args=(client, server, lambda: True), daemon=True).start()
        self.carry(server, client, lambda: not self.is_silent)

    def carry(self, source, sink, may_pass):
        try:
            while data := source.recv(4096):
                if may_pass():
                    sink.sendall(data)
        except OSError:
            pass  # the client gave up
        finally:
            source.close()
            sink.close()


class TcpAlone(Case):
    """What its own transport alone can do."""

    TRANSPORTS = ("tcp",)

    def make_to(self, ports, **options):
        conn = world.TCP_KINDS[self.version]([("127.0.0.1", port) for port in ports], **options)
        conn.transport.vhost = world.target.vhost
        heard = Heard()
        conn.set_listener("heard", heard)
        self.connections.append(conn)
        return conn, heard

    def test_the_second_address_when_the_first_is_dead(self):
        conn, heard = self.make_to([dead_port(), world.target.port], keepalive=True, timeout=10, prefer_localhost=False)
        self.login(conn)
        self.assertEqual(conn.transport.current_host_and_port, ("127.0.0.1", world.target.port))
        self.leave(conn, heard)

    def test_gives_up_after_its_attempts(self):
        conn, _ = self.make_to([dead_port()], reconnect_attempts_max=2, reconnect_sleep_initial=0.1)
        with self.assertRaises(ConnectFailedException):
            self.login(conn)


class SilentServer(Case):
    VERSIONS = ("1.1", "1.2")
    TRANSPORTS = ("tcp",)

    def test_heart_beat_timeout(self):
        wire = Wire()
        conn = world.TCP_KINDS[self.version]([("127.0.0.1", wire.port)], heartbeats=(0, 1000), heart_beat_receive_scale=2)
        conn.transport.vhost = world.target.vhost
        stats, heard = stomp.StatsListener(), Heard()
        conn.set_listener("stats", stats)
        conn.set_listener("heard", heard)
        self.login(conn)
        heard.wait(lambda: heard.beats > 0, "a heart-beat")
        wire.is_silent = True
        heard.wait(lambda: stats.heartbeat_timeouts > 0, "on_heartbeat_timeout")
        self.assertFalse(conn.is_connected())


class CommandLine(Case):
    """The program that comes with stomp.py. In 1.2 it says its server's address in the header `host`, which is no virtual host."""

    VERSIONS = ("1.0", "1.1")
    TRANSPORTS = ("tcp",)

    def test_command_line(self):
        queue = unique("/queue/command-line-")
        program = ["/usr/bin/python3", "-u", "-m", "stomp", "-H", world.target.host, "-P", str(world.target.port), "-S", self.version]
        program += ["-U", world.target.login, "-W", world.target.passcode, "-V"]
        lines = [f"subscribe {queue} client", f"send {queue} by hand", "begin", f"send {queue} never", "abort", "begin"]
        lines += [f"sendrec {queue} in a transaction", "commit", f"sendreply {queue} 77 a reply"]
        words = ["\n\nby hand\n", "\n\nin a transaction\n", "\n\na reply\n"]  # bodies, behind their headers
        words += ["\ncorrelation-id: 77\n", "RECEIPT\n", f"\ndestination: {queue}\n"]
        said = []
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as shell:
            reader = threading.Thread(target=lambda: [said.append(line) for line in shell.stdout], daemon=True)
            reader.start()
            for line in lines:
                shell.stdin.write(f"{line}\n")
                shell.stdin.flush()
            try:
                wait_for(lambda: all(word in "".join(said) for word in words), f"the command line to say {words}")
                shell.stdin.write("quit\n")
                shell.stdin.close()
                self.assertEqual(shell.wait(world.DEADLINE_S), 0)
                reader.join(world.DEADLINE_S)
            finally:
                shell.kill()
        text = "".join(said)
        self.assertNotIn("\nnever\n", text)
        self.assertNotIn("ERROR", text)
