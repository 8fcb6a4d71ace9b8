// STOMP without a WebSocket: the bytes on the wire, the ends of a connection, slow readers, limits, and rooms that both kinds of client
// share.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { harness, toToml, unique, waitFor } from '../lib/harness.mjs';
import { Canary } from '../lib/raw.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

const TCP = { enabled: true, port: 0, error_close: true };
const CONNECT = 'CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\n\n\0';

const h = await harness();
let gw;
let canary;

before(async () => {
    gw = await h.gateway({ tcp: TCP, limits: { close_linger_ms: 1500 } });
    canary = await Canary.start(gw);
});

after(async () => {
    await canary?.stop();
    await h.close();
});

// A socket and all that came of it, as latin1.
class Line {
    constructor(socket) {
        Object.assign(this, { socket, text: '', hasFin: false, closed: false, error: null });
        socket.on('data', (data) => (this.text += data.toString('latin1')));
        socket.on('end', () => (this.hasFin = true));
        socket.on('error', (error) => (this.error = error));
        socket.on('close', () => (this.closed = true));
    }

    static async open(port = gw.tcpPort) {
        const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
        await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
        return new Line(socket);
    }

    static async connected(port) {
        const line = await Line.open(port);
        line.write(CONNECT);
        await line.has('CONNECTED\n');
        return line;
    }

    write(data) {
        this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
        return this;
    }

    send(command, headers, body) {
        return this.write(encodeFrame(command, headers, body));
    }

    // Waits until it came, and gives all that came up to and with it.
    async take(text) {
        await this.has(text);
        const end = this.text.indexOf(text) + text.length;
        const taken = this.text.slice(0, end);
        this.text = this.text.slice(end);
        return taken;
    }

    has(text) {
        return waitFor(() => this.text.includes(text), { every: 3, what: JSON.stringify(text) }).catch((error) => {
            throw new Error(`${error.message} in ${JSON.stringify(this.text.slice(-500))}`, { cause: error });
        });
    }

    receipt(id) {
        return this.take(`RECEIPT\nreceipt-id:${id}\n\n\0\n`);
    }

    async subscribe(destination, id = 's') {
        this.send('SUBSCRIBE', { id, destination, receipt: `subscribed-${id}` });
        await this.receipt(`subscribed-${id}`);
    }

    // Of what the server sends.
    fin() {
        return waitFor(() => this.hasFin, { every: 3, what: 'the end of what the server sends' });
    }

    gone() {
        return waitFor(() => this.closed, { every: 3, what: 'the end of the connection' });
    }

    destroy() {
        this.socket.destroy();
    }
}

async function hearer(room) {
    const wire = await Wire.open(gw.url);
    await wire.connect();
    wire.send('SUBSCRIBE', { id: 'h', destination: room, receipt: 'r' });
    await wire.receipt('r');
    return wire;
}

function closedFor(reason, gateway = gw) {
    return gateway.metric(`stompgate_closed_total{reactor="0",reason="${reason}"}`);
}

describe('the bytes', () => {
    test('CONNECTED to the byte, with the LF behind its NUL', async () => {
        const line = await Line.open();
        line.write(CONNECT);
        await line.has('\0\n');
        assert.match(
            line.text,
            /^CONNECTED\nversion:1\.2\nheart-beat:10000,10000\nsession:[^\n]+\nserver:stompgate\/\d+\.\d+\.\d+\nuser-name:anonymous\n\n\0\n$/,
        );
        line.destroy();
    });

    test('a conversation of one byte at a time', async () => {
        const line = await Line.open();
        const room = `/topic/${unique()}`;
        const frames = [
            CONNECT,
            `\n\r\nSUBSCRIBE\nid:s\ndestination:${room}\nreceipt:a\n\n\0`,
            `SEND\ndestination:${room}\ncontent-length:3\nreceipt:b\n\na\0b\0\n`,
        ];
        for (const byte of frames.join('')) {
            line.write(byte);
            await new Promise(setImmediate);
        }
        await line.receipt('a');
        await line.has('a\0b\0\n');
        assert.match(line.text, /MESSAGE\n(.*\n)*content-length:3\n\na\0b\0\n/);
        await line.receipt('b');
        line.destroy();
    });

    test('many frames in one segment, in their order', async () => {
        const line = await Line.connected();
        const room = `/topic/${unique()}`;
        await line.subscribe(room);
        const n = 300;
        line.write(Buffer.concat(Array.from({ length: n }, (_, i) => encodeFrame('SEND', { destination: room, receipt: i }, `<${i}>`))));
        for (const command of [/RECEIPT\n/g, /MESSAGE\n/g]) {
            await waitFor(() => line.text.match(command)?.length === n, { what: `all of ${command}` });
        }
        const numbers = (pattern) => [...line.text.matchAll(pattern)].map(([, i]) => Number(i));
        const all = Array.from({ length: n }, (_, i) => i);
        assert.deepEqual(numbers(/\n\n<(\d+)>\0\n/g), all);
        assert.deepEqual(numbers(/receipt-id:(\d+)\n\n\0\n/g), all);
        line.destroy();
    });

    test('HTTP at this port is malformed STOMP: ERROR, then the end', async () => {
        const line = await Line.open();
        line.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        await line.fin();
        assert.match(line.text, /^ERROR\nmessage:[^\n]+\n(.*\n)*\n[^\0]*\0\n$/);
        line.destroy();
    });
});

describe('heart-beats', () => {
    test('a LF each second both ways; who falls silent is told and closed', async () => {
        const quick = await h.gateway({ tcp: TCP, heartbeat: { send_ms: 1000, receive_ms: 1000 } });
        const line = await Line.open(quick.tcpPort);
        line.write('CONNECT\naccept-version:1.2\nheart-beat:1000,1000\n\n\0');
        await line.take('\n\n\0\n');
        const timer = setInterval(() => line.write('\n'), 400);
        await waitFor(() => line.text.length >= 4, { what: 'four beats: longer than three intervals' });
        assert.match(line.text, /^\n+$/);
        clearInterval(timer);
        await line.fin();
        assert.match(line.text, /^\n+ERROR\nmessage:Heart-beat missed\n/);
        line.destroy();
        await quick.stop();
    });

    test('the kernel probes a peer that is silent', async () => {
        const line = await Line.connected();
        const port = gw.tcpPort.toString(16).toUpperCase().padStart(4, '0');
        const peer = line.socket.localPort.toString(16).toUpperCase().padStart(4, '0');
        const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((text) => text.trim().split(/\s+/));
        const row = rows.find(([, from, to]) => from?.endsWith(`:${port}`) && to.endsWith(`:${peer}`));
        assert.match(row[5], /^02:/, 'timer 2 is keep-alive');
        line.destroy();
    });
});

describe('ends', () => {
    test('an ERROR goes out, then FIN; who does not close is cut after the linger', async () => {
        const line = await Line.connected();
        line.send('SEND', { receipt: 'x' });
        await line.fin();
        assert.match(line.text, /ERROR\nmessage:Missing destination\n(.*\n)*receipt-id:x\n(.*\n)*\n[^\0]*\0\n$/);
        line.write('what still comes is not read');
        assert.equal(line.closed, false, 'the client has time to read and to close');
        await waitFor(() => line.write('x').closed, { what: 'the connection to be cut' }); // a reset shows when one writes
        assert.match(line.error.code, /EPIPE|ECONNRESET/);
    });

    test('without error_close, as it comes, the frame alone fails and the session goes on; what is no STOMP ends it', async () => {
        const lenient = await h.gateway({ tcp: { enabled: true, port: 0 } });
        const line = await Line.connected(lenient.tcpPort);
        const room = `/topic/${unique()}`;
        await line.subscribe(room);
        line.send('SEND', { receipt: 'bad' });
        await line.take('receipt-id:bad');
        line.send('SEND', { destination: room, receipt: 'good' }, 'still here');
        await line.has('still here\0\n');
        await line.has('receipt-id:good\n');
        assert.equal(line.hasFin, false);
        line.write('no STOMP\n');
        await line.take('ERROR\nmessage:Malformed frame\n');
        await line.fin();
        line.destroy();
        // The same frame over the WebSocket of the same gateway ends its session.
        const wire = await Wire.open(lenient.url);
        await wire.connect();
        wire.send('SEND', { receipt: 'bad' });
        assert.equal((await wire.errorFrame()).headers['receipt-id'], 'bad');
        assert.equal((await wire.waitClosed()) && wire.closed.code, 1008);
        await lenient.stop();
    });

    test('DISCONNECT: RECEIPT; the client closes first', async () => {
        const line = await Line.connected();
        line.send('DISCONNECT', { receipt: 'bye' });
        await line.receipt('bye');
        assert.equal(line.hasFin, false, 'the server waits for the client');
        line.socket.end();
        await line.gone();
        assert.equal(line.error, null);
    });

    test('half a close behind DISCONNECT: every receipt comes before ours', async () => {
        const line = await Line.open();
        const room = `/topic/${unique()}`;
        const heard = await hearer(room);
        line.write(CONNECT);
        line.send('SUBSCRIBE', { id: 's', destination: `/topic/${unique()}` });
        line.send('SEND', { destination: room, receipt: 1 }, 'last words');
        line.send('DISCONNECT', { receipt: 2 });
        line.socket.end();
        await line.fin();
        await line.gone();
        assert.match(line.text, /CONNECTED\n[^]*RECEIPT\nreceipt-id:1\n\n\0\nRECEIPT\nreceipt-id:2\n\n\0\n$/);
        assert.equal((await heard.next()).body, 'last words');
        heard.terminate();
    });

    for (const [how, end] of [
        ['closed', (socket) => socket.end()],
        ['reset', (socket) => socket.resetAndDestroy()],
    ]) {
        test(`${how} without a word: what was sent is executed, and the session is over at once`, async () => {
            const room = `/topic/${unique()}`;
            const heard = await hearer(room);
            const sessions = await gw.metric('stompgate_tcp_sessions');
            const line = await Line.connected();
            await line.subscribe(room);
            assert.equal(await gw.metric('stompgate_tcp_sessions'), sessions + 1);
            line.send('SEND', { destination: room }, how);
            await new Promise((resolve) => line.socket.write('\n', resolve));
            end(line.socket);
            assert.equal((await heard.next()).body, how);
            await line.gone();
            await waitFor(async () => (await gw.metric('stompgate_tcp_sessions')) === sessions, { what: 'its session to end' });
            heard.terminate();
        });
    }

    test('half a close, and then a reset while much is still to be written: nobody else notices', async () => {
        const roomy = await h.gateway({ tcp: TCP, limits: { out_queue_bytes: 16777216 } });
        const room = `/topic/${unique()}`;
        const [sleeper, speaker] = [await Line.connected(roomy.tcpPort), await Line.connected(roomy.tcpPort)];
        await sleeper.subscribe(room);
        sleeper.socket.pause();
        for (let i = 0; i < 8; i++) {
            speaker.send('SEND', { destination: room, receipt: i }, 'x'.repeat(1000000));
            await speaker.receipt(i);
        }
        sleeper.socket.end();
        for (const sign of ['after its end', 'once more']) {
            speaker.send('SEND', { destination: `/topic/${unique()}`, receipt: sign });
            await speaker.receipt(sign);
        }
        sleeper.socket.resetAndDestroy();
        await waitFor(async () => (await roomy.metric('stompgate_tcp_sessions')) === 1, { what: 'its session to end' });
        speaker.send('DISCONNECT', { receipt: 'bye' });
        await speaker.receipt('bye');
        speaker.destroy();
        await roomy.stop();
    });

    test('SIGTERM: the receipts that are due, then FIN, and exit 0; and who does not close is cut', async () => {
        const going = await h.gateway({ tcp: TCP, gateway: { drain_ms: 0 }, limits: { close_linger_ms: 1000 } });
        const lines = await Promise.all(Array.from({ length: 8 }, () => Line.connected(going.tcpPort)));
        const fresh = await Line.open(going.tcpPort);
        lines[0].send('SEND', { destination: `/topic/${unique()}`, receipt: 'due' });
        await lines[0].receipt('due');
        going.signal('SIGTERM');
        await Promise.all([...lines, fresh].map((line) => line.fin()));
        for (const line of lines) {
            assert.doesNotMatch(line.text, /ERROR/);
        }
        lines.slice(1).forEach((line) => line.socket.end()); // the first one stays
        await going.ended;
        assert.deepEqual(going.exit, { code: 0, signal: null });
        await assert.rejects(Line.open(going.tcpPort), { code: 'ECONNREFUSED' });
        lines[0].destroy();
    });
});

describe('much', () => {
    test('a body of 1 MiB with every byte, both ways and to a WebSocket', async () => {
        const room = `/topic/${unique()}`;
        const body = Buffer.alloc(1024 * 1024, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
        const [line, wire] = [await Line.connected(), await hearer(room)];
        await line.subscribe(room);
        line.send('SEND', { destination: room, 'content-length': body.length, receipt: 'big' }, body);
        const message = await wire.next();
        assert.ok(message.bytes.equals(body), 'as the WebSocket got it');
        await line.has(`content-length:${body.length}\n\n`);
        await waitFor(() => line.text.length > body.length && line.text.endsWith('\0\n'), { what: 'the whole of it' });
        await line.has('receipt-id:big');
        const at = line.text.indexOf(`content-length:${body.length}\n\n`);
        const from = line.text.indexOf('\n\n', at) + 2;
        assert.ok(Buffer.from(line.text.slice(from, from + body.length), 'latin1').equals(body), 'as the sender got it');
        assert.equal(line.text.slice(from + body.length, from + body.length + 2), '\0\n');
        line.destroy();
        wire.terminate();
    });

    test('reading pauses and goes on where there is room for two SENDs', async () => {
        const narrow = await h.gateway({ tcp: TCP, limits: { unconfirmed: 2, parked_bytes: 4096 } });
        const line = await Line.connected(narrow.tcpPort);
        const destination = `/topic/${unique()}`;
        const n = 400;
        for (let i = 0; i < n; i++) {
            line.send('SEND', { destination, receipt: i }, 'x'.repeat(2000));
        }
        await line.has(`receipt-id:${n - 1}\n`);
        assert.equal(line.text.match(/RECEIPT/g).length, n);
        line.destroy();
        await narrow.stop();
    });

    test('who does not read is a slow consumer: told when it reads again, and nobody else notices', async () => {
        const slow = await h.gateway({ tcp: TCP, limits: { out_queue_bytes: 262144, write_stall_ms: 1500, close_linger_ms: 20000 } });
        const room = `/topic/${unique()}`;
        const [sleeper, other, speaker] = await Promise.all([1, 2, 3].map(() => Line.connected(slow.tcpPort)));
        await sleeper.subscribe(room);
        await other.subscribe(room);
        sleeper.socket.pause();
        let n = 0;
        while ((await closedFor('slow_consumer', slow)) === 0 && !slow.log(/session\.error.*slow/).length) {
            assert.ok(n < 2000, '32 MiB were sent to somebody who does not read');
            speaker.send('SEND', { destination: room, receipt: n }, `<${n}>${'x'.repeat(16384)}`);
            await speaker.receipt(n++);
        }
        sleeper.socket.resume();
        await sleeper.fin();
        assert.match(sleeper.text, /\0\nERROR\nmessage:slow consumer\n[^\0]*\0\n$/, 'behind whole frames');
        const heard = [...sleeper.text.matchAll(/\n\n<(\d+)>x{16384}\0\n/g)].map(([, i]) => Number(i));
        assert.deepEqual(
            heard,
            heard.map((_, i) => i),
            'without a hole',
        );
        await waitFor(() => other.text.includes(`<${n - 1}>`), { what: 'the last message at the other' });
        assert.equal([...other.text.matchAll(/\n\n<(\d+)>/g)].length, n);
        [sleeper, other, speaker].forEach((line) => line.destroy());
        await slow.stop();
    });

    test('who never reads again is cut after the linger', async () => {
        const slow = await h.gateway({ tcp: TCP, limits: { out_queue_bytes: 65536, write_stall_ms: 1000, close_linger_ms: 500 } });
        const room = `/topic/${unique()}`;
        const [sleeper, speaker] = [await Line.connected(slow.tcpPort), await Line.connected(slow.tcpPort)];
        await sleeper.subscribe(room);
        sleeper.socket.pause();
        for (let n = 0; (await closedFor('slow_consumer', slow)) === 0; n++) {
            assert.ok(n < 2000, '32 MiB were sent to somebody who does not read');
            speaker.send('SEND', { destination: room, receipt: n }, 'x'.repeat(16384));
            await speaker.receipt(n);
        }
        assert.equal(await slow.metric('stompgate_tcp_sessions'), 1);
        sleeper.socket.resume();
        await waitFor(() => sleeper.hasFin || sleeper.closed, { what: 'the end of what the kernel had taken' });
        assert.doesNotMatch(sleeper.text, /ERROR/, 'what he did not take was dropped');
        sleeper.destroy();
        speaker.destroy();
        await slow.stop();
    });
});

describe('who comes in', () => {
    test('a port in use is said, and 1; also to a gateway of several threads', async () => {
        for (const threads of [1, 3]) {
            const config = h.config({ gateway: { name: unique('second'), threads }, tcp: { ...TCP, port: gw.tcpPort } });
            const file = path.join(h.folder, `${unique()}.toml`);
            await writeFile(file, toToml(config));
            const { code, stderr } = await h.run('stompgate', ['--config', file]);
            assert.equal(code, 1);
            assert.match(stderr, new RegExp(`listener\\.failed.*port=${gw.tcpPort}.*port in use`));
        }
    });

    test('without [tcp] nobody listens', async () => {
        const plain = await h.gateway();
        assert.equal(plain.tcpPort, undefined);
        await plain.stop();
    });

    test('limits.connections counts both kinds together', async () => {
        const small = await h.gateway({ tcp: TCP, limits: { connections: 4 } });
        await waitFor(async () => (await small.metric('stompgate_connections')) === 1, { what: 'the requests of the harness to end' });
        const wires = [await Wire.open(small.url), await Wire.open(small.url)];
        const lines = [await Line.connected(small.tcpPort), await Line.connected(small.tcpPort)];
        for (let i = 0; i < 3; i++) {
            const refused = await Line.open(small.tcpPort);
            await refused.fin().catch(() => {});
            assert.equal(refused.text, '');
            refused.destroy();
        }
        assert.equal(small.log(/accept\.refused/).length, 3);
        wires[0].terminate();
        const late = await waitFor(async () => {
            const line = await Line.open(small.tcpPort);
            line.write(CONNECT);
            await waitFor(() => line.text || line.hasFin || line.error, { every: 3 });
            return line.text ? line : line.destroy();
        });
        [late, ...lines].forEach((line) => line.destroy());
        wires[1].terminate();
        await small.stop();
    });

    test('out of descriptors they wait in the backlog, with one line, until there are some', async () => {
        const poor = await h.gateway({ tcp: TCP, limits: { connect_ms: 60000 } });
        const open = (await readdir(`/proc/${poor.pid}/fd`)).length;
        execFileSync('prlimit', ['--pid', String(poor.pid), `--nofile=${open + 10}`]);
        const lines = await Promise.all(Array.from({ length: 40 }, () => Line.open(poor.tcpPort)));
        await poor.waitLog(/accept\.paused/);
        lines.forEach((line) => line.destroy());
        const late = await Line.connected(poor.tcpPort);
        await poor.waitLog(/accept\.resumed/);
        const wire = await Wire.open(poor.url);
        await wire.connect();
        wire.terminate();
        late.destroy();
        await poor.stop();
    });

    test('every thread has its listener on the one port', async () => {
        const many = await h.gateway({ tcp: TCP, gateway: { threads: 2 } });
        const room = `/topic/${unique()}`;
        const lines = await Promise.all(Array.from({ length: 16 }, () => Line.connected(many.tcpPort)));
        await Promise.all(lines.map((line) => line.subscribe(room)));
        lines[0].send('SEND', { destination: room }, 'to all');
        await Promise.all(lines.map((line) => line.take('to all\0\n')));
        const metrics = await waitFor(
            async () => {
                const all = await many.metrics();
                return all['stompgate_tcp_sessions{reactor="0"}'] + all['stompgate_tcp_sessions{reactor="1"}'] === 16 && all;
            },
            { what: 'the sum of both threads' },
        );
        assert.ok(metrics['stompgate_tcp_sessions{reactor="0"}'] > 0 && metrics['stompgate_tcp_sessions{reactor="1"}'] > 0);
        lines.forEach((line) => line.destroy());
        await many.stop();
    });
});

describe('one room', () => {
    test('a WebSocket and a plain client hear each other', async () => {
        const room = `/topic/${unique()}`;
        const [line, wire] = [await Line.connected(), await hearer(room)];
        await line.subscribe(room);
        line.send('SEND', { destination: room, from: 'tcp' }, 'from tcp');
        wire.send('SEND', { destination: room, from: 'ws' }, 'from ws');
        const bodies = [(await wire.next()).body, (await wire.next()).body];
        assert.deepEqual(bodies.sort(), ['from tcp', 'from ws']);
        await line.has('from tcp\0\n');
        await line.has('from ws\0\n');
        line.destroy();
        wire.terminate();
    });

    test('a queue that both consume: each message once, and acknowledged for good', async () => {
        const open = { send: ['*'], subscribe: ['*'] };
        const queues = await h.gateway({ tcp: TCP, route: [{ prefix: '/queue/', ...open }] });
        const [name, n] = [unique('both'), 100];
        h.defer(() => h.management.delete(`/queues/%2F/${name}`));
        const [line, wire] = [await Line.connected(queues.tcpPort), await Wire.open(queues.url)];
        await wire.connect();
        const subscribe = { id: 's', destination: `/queue/${name}`, ack: 'client-individual', 'prefetch-count': 5, receipt: 'subscribed-s' };
        wire.send('SUBSCRIBE', subscribe);
        await wire.receipt('subscribed-s');
        line.send('SUBSCRIBE', subscribe);
        await line.receipt('subscribed-s');
        for (let i = 0; i < n; i++) {
            wire.send('SEND', { destination: `/queue/${name}` }, `<${i}>`);
        }
        const got = { ws: [], tcp: [] };
        await waitFor(
            () => {
                for (const { headers, body } of wire.frames.splice(0)) {
                    got.ws.push(body);
                    wire.send('ACK', { id: headers.ack });
                }
                for (let end = line.text.indexOf('\0\n'); end >= 0; end = line.text.indexOf('\0\n')) {
                    const frame = line.text.slice(0, end);
                    line.text = line.text.slice(end + 2);
                    got.tcp.push(frame.slice(frame.indexOf('\n\n') + 2));
                    line.send('ACK', { id: /^ack:(.*)$/m.exec(frame)[1].replaceAll('\\c', ':') });
                }
                return got.ws.length + got.tcp.length >= n;
            },
            { every: 5, what: 'all messages' },
        );
        assert.ok(got.ws.length > 0 && got.tcp.length > 0, 'both had their share');
        assert.equal(new Set([...got.ws, ...got.tcp]).size, n);
        line.send('DISCONNECT', { receipt: 'bye' });
        await line.receipt('bye');
        line.destroy();
        await wire.disconnect();
        const channel = await (await h.amqp()).createChannel();
        await waitFor(async () => (await channel.checkQueue(name)).consumerCount === 0, { what: 'both to have left' });
        assert.equal((await channel.checkQueue(name)).messageCount, 0);
        await queues.stop();
    });

    test('many of both, at once: everybody gets everything in the order of its sender', async () => {
        const room = `/topic/${unique()}`;
        const lines = await Promise.all(Array.from({ length: 10 }, () => Line.connected()));
        const wires = await Promise.all(Array.from({ length: 10 }, () => hearer(room)));
        await Promise.all(lines.map((line) => line.subscribe(room)));
        const n = 200;
        for (let i = 0; i < n; i++) {
            lines[0].send('SEND', { destination: room }, `<t${i}>`);
            wires[0].send('SEND', { destination: room }, `<w${i}>`);
        }
        const expected = (kind) => Array.from({ length: n }, (_, i) => `<${kind}${i}>`);
        const check = (all) => {
            assert.deepEqual(all.filter((body) => body.startsWith('<t')), expected('t'));
            assert.deepEqual(all.filter((body) => body.startsWith('<w')), expected('w'));
        };
        for (const line of lines) {
            await waitFor(() => line.text.match(/MESSAGE\n/g)?.length === 2 * n, { what: 'all messages over TCP' });
            check([...line.text.matchAll(/\n\n(<[tw]\d+>)\0\n/g)].map(([, body]) => body));
        }
        for (const wire of wires) {
            await waitFor(() => wire.frames.length === 2 * n, { what: 'all messages over WebSocket' });
            check(wire.frames.map((frame) => frame.body));
        }
        lines.forEach((line) => line.destroy());
        wires.forEach((wire) => wire.terminate());
    });
});
