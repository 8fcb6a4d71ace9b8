// What goes over the wire in an ordinary conversation: one frame per WebSocket message, its kind, heart-beats, and that nothing of a
// subscription is left when it has gone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { Canary, OPCODE, Raw } from '../lib/raw.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

const h = await harness({ vhost: true });
let gw;
let canary;

before(async () => {
    gw = await h.gateway({ broker: { linger_ms: 300 }, heartbeat: { send_ms: 1000, receive_ms: 1000 } });
    canary = await Canary.start(gw);
});

after(async () => {
    await canary?.stop();
    await h.close();
});

async function connected(headers, options) {
    const wire = await Wire.open(gw.url, options);
    const frame = await wire.connect(headers);
    return Object.assign(wire, { hello: frame });
}

async function opened() {
    const peer = await Raw.open(gw.port);
    await peer.upgrade();
    await peer.connect();
    return peer;
}

async function subscribed(destination, headers) {
    const wire = await connected(headers);
    wire.send('SUBSCRIBE', { id: 's', destination, receipt: 'subscribed' });
    await wire.receipt('subscribed');
    wire.messages.length = 0;
    return wire;
}

function times(n, fn) {
    return Array.from({ length: n }, (_, i) => fn(i));
}

describe('CONNECTED', () => {
    test('has what clients need', async () => {
        const wire = await connected();
        const { headers } = wire.hello;
        assert.equal(headers.version, '1.2');
        assert.match(headers['heart-beat'], /^\d+,\d+$/);
        assert.match(headers.server, /^stompgate\/\d/);
        assert.equal(headers['user-name'], 'anonymous');
        assert.match(headers.session, /./);
        await wire.disconnect();
    });

    for (const [accept, version] of [
        ['1.0,1.1,1.2', '1.2'],
        ['1.2,1.1,1.0', '1.2'],
        ['1.1,1.0', '1.1'],
        ['1.0', '1.0'],
        [undefined, '1.0'],
        ['9.9,1.1', '1.1'],
    ]) {
        test(`accept-version ${accept}: ${version}`, async () => {
            const wire = await Wire.open(gw.url);
            wire.send('CONNECT', accept ? { 'accept-version': accept } : {});
            assert.equal((await wire.next()).headers.version, version);
            await wire.disconnect();
        });
    }
});

describe('frames and messages', () => {
    test('two thousand frames that come in one message leave in a message each', async () => {
        const room = `/topic/${unique()}`;
        const wire = await subscribed(room);
        wire.raw(Buffer.concat(times(1000, (i) => encodeFrame('SEND', { destination: room, receipt: i }, `body ${i}`))));
        await waitFor(() => wire.messages.length >= 2000, { what: '2000 messages' });
        for (const { data, isBinary } of wire.messages) {
            assert.equal(isBinary, false);
            assert.match(data.toString(), /^(MESSAGE|RECEIPT)\n/);
            assert.ok(data.indexOf(0) >= data.length - 2, 'one NUL, at the end, perhaps with a line feed behind it');
        }
        const bodies = wire.frames.filter((frame) => frame.command === 'MESSAGE').map((frame) => frame.body);
        assert.deepEqual(
            bodies,
            times(1000, (i) => `body ${i}`),
        );
        await wire.disconnect();
    });

    for (const [what, pieces] of [
        ['split at every byte', (bytes) => times(bytes.length, (i) => bytes.subarray(i, i + 1))],
        ['with empty messages between', (bytes) => [Buffer.alloc(0), bytes.subarray(0, 9), Buffer.alloc(0), bytes.subarray(9), Buffer.alloc(0)]],
        ['with line feeds before it', (bytes) => [Buffer.from('\n\r\n\n'), Buffer.concat([Buffer.from('\n\n\r\n'), bytes])]],
    ]) {
        test(`a frame ${what}`, async () => {
            const room = `/topic/${unique()}`;
            const wire = await subscribed(room);
            for (const piece of pieces(encodeFrame('SEND', { destination: room, receipt: 'r' }, 'é😀'))) {
                wire.raw(piece);
            }
            await wire.receipt('r');
            assert.equal((await wire.next()).body, 'é😀');
            await wire.disconnect();
        });
    }

    test('text when it is UTF-8, else binary, whoever sent it', async () => {
        const room = unique();
        const wire = await subscribed(`/topic/${room}`);
        const amqp = await h.amqp();
        const channel = await amqp.createChannel();
        const bodies = [
            [Buffer.from('plain'), false],
            [Buffer.from('ünïcödé 😀'), false],
            [Buffer.from([0xff, 0xfe, 0, 1]), true],
            [Buffer.from([0xed, 0xa0, 0x80]), true],
            [Buffer.from([0xc0, 0x80]), true],
            [Buffer.from('ends in the middle of é').subarray(0, -1), true],
            [Buffer.alloc(0), false],
            [Buffer.from([0, 1, 2]), false],
        ];
        for (const [body, isBinary] of bodies) {
            channel.publish('amq.topic', room, body);
            const message = await wire.next();
            assert.equal(message.command, 'MESSAGE');
            assert.ok(message.bytes.equals(body), `${message.bytes.toString('hex')} is ${body.toString('hex')}`);
            assert.equal(message.isBinary, isBinary, body.toString('hex'));
            wire.raw(encodeFrame('SEND', { destination: `/topic/${room}`, 'content-length': body.length }, body));
            const again = await wire.next();
            assert.ok(again.bytes.equals(body));
            assert.equal(again.isBinary, isBinary);
        }
        channel.publish('amq.topic', room, Buffer.from('x'), { headers: { 'x-bad\nname:': 'a\n\nb', 'x-utf8': 'é', n: 5, deep: { a: [1] } } });
        const odd = await wire.next();
        assert.deepEqual([odd.headers['x-badname:'], odd.headers['x-utf8'], odd.headers.n, odd.body], ['a\n\nb', 'é', '5', 'x']);
        await wire.disconnect();
    });

    test('both kinds come in on one connection', async () => {
        const room = `/topic/${unique()}`;
        const wire = await subscribed(room);
        for (const binary of [true, false, true]) {
            wire.raw(encodeFrame('SEND', { destination: room }, 'x'), { binary });
            assert.equal((await wire.next()).body, 'x');
        }
        await wire.disconnect();
    });

    test('what came before a close is executed', async () => {
        const room = `/topic/${unique()}`;
        const hearer = await subscribed(room);
        const leaves = [(wire) => wire.socket.close(), (wire) => wire.send('DISCONNECT', {}), (wire) => wire.send('DISCONNECT', {}) ?? wire.socket.close()];
        for (const leave of Array(20).fill(leaves).flat()) { // what comes together may be read together, or not
            const wire = await connected();
            wire.send('SEND', { destination: room }, 'last words');
            leave(wire);
            assert.equal((await hearer.next()).body, 'last words');
            await wire.waitClosed();
            assert.equal(wire.closed.code === 1005 ? 1000 : wire.closed.code, 1000);
        }
        await hearer.disconnect();
    });

    test('DISCONNECT is closed from here when the client does not', async () => {
        const wire = await connected();
        wire.send('DISCONNECT', { receipt: 'bye' });
        await wire.receipt('bye');
        await wire.waitClosed();
        assert.equal(wire.closed.code, 1000);
    });

    test('a close frame is answered with its code', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        raw.frame(OPCODE.close, Buffer.from([3, 232]));
        assert.equal((await raw.closeFrame()).code, 1000);
        await raw.waitClosed();
    });

    for (const payload of [[], [3], [0, 0], [3, 237], [0xff, 0xff]]) {
        test(`a close frame of [${payload}] ends the connection`, async () => {
            const raw = await Raw.open(gw.port);
            await raw.upgrade();
            await raw.connect();
            raw.frame(OPCODE.close, Buffer.from(payload));
            await raw.next((frame) => frame.opcode === OPCODE.close);
            await raw.waitClosed();
        });
    }
});

describe('heart-beats', { concurrency: true }, () => {
    for (const [asked, answered] of [
        ['1000,1000', '1000,1000'],
        ['0,0', '1000,1000'],
        ['5,5', '1000,1000'],
        ['999999,999999', '1000,1000'],
    ]) {
        test(`${asked} is answered ${answered}`, async () => {
            const wire = await connected({ 'heart-beat': asked });
            assert.equal(wire.hello.headers['heart-beat'], answered);
            await wire.disconnect();
        });
    }

    test('come each second, a message of one line feed, text; and not while there is something to send', async () => {
        const room = `/topic/${unique()}`;
        const wire = await subscribed(room, { 'heart-beat': '0,1000' });
        const began = Date.now();
        await waitFor(() => wire.messages.length >= 3, { what: 'three heart-beats', timeout: 5000 });
        assert.ok(Date.now() - began >= 2500, 'not more often than was agreed');
        for (const { data, isBinary } of wire.messages) {
            assert.deepEqual([data.toString(), isBinary], ['\n', false]);
        }
        const beats = wire.heartbeats;
        const speaker = await connected();
        for (let i = 0; i < 30; i++) {
            speaker.send('SEND', { destination: room, receipt: 'r' });
            await speaker.receipt('r');
            await waitFor(() => wire.frames.length > i);
            await new Promise((resolve) => setTimeout(resolve, 50)); // the rhythm of the speaker
        }
        assert.ok(wire.heartbeats - beats <= 1, `${wire.heartbeats - beats} heart-beats among 30 messages`);
        await wire.disconnect();
        await speaker.disconnect();
    });

    test('of a client keep it connected, and are missed when they stop', async () => {
        const wire = await connected({ 'heart-beat': '1000,0' });
        let n = 0;
        await new Promise((resolve) => {
            const timer = setInterval(() => {
                wire.raw('\n');
                if (++n === 9) {
                    clearInterval(timer);
                    resolve();
                }
            }, 500);
        });
        assert.equal(wire.closed, null);
        const stopped = Date.now();
        const error = await wire.errorFrame({ timeout: 6000 });
        assert.equal(error.headers.message, 'Heart-beat missed');
        await wire.waitClosed();
        assert.equal(wire.closed.code, 1008);
        assert.ok(Date.now() - stopped >= 2000 && Date.now() - stopped < 5000, `closed ${Date.now() - stopped} ms after the last`);
        assert.equal(wire.heartbeats, 0, 'none were asked for');
    });

    test('who says nothing for 25 s is asked with a PING; who talks is not', async () => {
        const [silent, talker] = await Promise.all([opened(), opened()]);
        const timer = setInterval(() => talker.frame(OPCODE.text, '\n'), 1000);
        const began = Date.now();
        const ping = await silent.next((frame) => frame.opcode === OPCODE.ping, { timeout: 35000 });
        assert.ok(Date.now() - began >= 24000, 'not before the time');
        silent.frame(OPCODE.pong, ping.payload);
        await new Promise((resolve) => setTimeout(resolve, 2000)); // the other's 25 s are over, too
        clearInterval(timer);
        for (const peer of [silent, talker]) {
            assert.ok(!peer.frames.some((frame) => frame.opcode === OPCODE.ping));
            peer.stomp('SEND', { destination: '/topic/ping', receipt: 'r' });
            await peer.next((frame) => frame.payload.toString().startsWith('RECEIPT\nreceipt-id:r\n'));
            peer.end();
        }
    });

    test('are not asked of who offers none', async () => {
        const wire = await connected({ 'heart-beat': '0,0' });
        const other = await connected({ 'heart-beat': '1000,0' });
        await other.waitClosed({ timeout: 6000 }); // in that time the first would have been closed as well
        assert.equal(wire.closed, null);
        assert.equal(wire.heartbeats, 0);
        await wire.disconnect();
    });
});

describe('nothing is left', () => {
    const bindings = async () => (await h.management.get(`/exchanges/${h.vhostPath}/amq.topic/bindings/source`)).length;

    test('of ten thousand subscriptions that came and went', async () => {
        const gauges = async () => [await gw.metric('stompgate_subscriptions'), await gw.metric('stompgate_rooms'), await gw.metric('stompgate_live_queues')];
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 1, { what: 'the room of the canary alone' });
        const before = await gauges();
        const queues = (await h.management.get(`/queues/${h.vhostPath}`)).length;
        const bound = await bindings();
        const room = unique();
        const wire = await connected();
        for (let round = 0; round < 20; round++) {
            for (let i = 0; i < 500; i++) {
                wire.send('SUBSCRIBE', { id: `s${i}`, destination: `/topic/${room}.${i % 50}`, receipt: i % 100 ? undefined : 'x' });
                wire.send('UNSUBSCRIBE', { id: `s${i}`, ...(i === 499 ? { receipt: `round ${round}` } : {}) });
            }
            await wire.receipt(`round ${round}`);
        }
        assert.equal((await gauges())[0], before[0]);
        await waitFor(async () => JSON.stringify(await gauges()) === JSON.stringify(before), { what: 'the gauges to return' });
        await waitFor(async () => (await bindings()) === bound, { what: 'the bindings to return' });
        assert.equal((await h.management.get(`/queues/${h.vhostPath}`)).length, queues);
        wire.frames.length = 0;
        await wire.disconnect();
    });

    test('of a session that goes without a word', async () => {
        const sessions = await gw.metric('stompgate_sessions');
        const wires = await Promise.all(times(20, () => subscribed(`/topic/${unique()}`)));
        assert.equal(await gw.metric('stompgate_sessions'), sessions + 20);
        wires.forEach((wire) => wire.terminate());
        await waitFor(async () => (await gw.metric('stompgate_subscriptions')) === 1, { what: 'the subscription of the canary alone' });
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 1, { what: 'the room of the canary alone' });
        assert.equal(await gw.metric('stompgate_sessions'), sessions);
    });
});

describe('several threads', () => {
    test('clients on all of them hear each other in one room', async () => {
        const many = await h.gateway({ gateway: { threads: 3 } });
        const room = `/topic/${unique()}`;
        const wires = await Promise.all(times(24, () => Wire.open(many.url)));
        for (const [i, wire] of wires.entries()) {
            await wire.connect();
            wire.send('SUBSCRIBE', { id: `s${i}`, destination: room, receipt: 'r' });
        }
        await Promise.all(wires.map((wire) => wire.receipt('r')));
        const sessions = await many.metrics();
        const spread = [0, 1, 2].map((i) => sessions[`stompgate_sessions{reactor="${i}"}`]);
        assert.equal(spread[0] + spread[1] + spread[2], 24);
        assert.ok(spread.filter((n) => n > 0).length >= 2, `sessions per thread: ${spread}`);
        wires.forEach((wire, i) => times(10, (n) => wire.send('SEND', { destination: room }, `${i}.${n}`)));
        await waitFor(() => wires.every((wire) => wire.frames.length >= 240), { what: '240 messages for each' });
        for (const wire of wires) {
            const bodies = wire.frames.map((frame) => frame.body);
            assert.equal(new Set(bodies).size, 240);
            for (let i = 0; i < 24; i++) {
                const own = bodies.filter((body) => body.startsWith(`${i}.`));
                assert.deepEqual(
                    own,
                    times(10, (n) => `${i}.${n}`),
                );
            }
            wire.frames.length = 0;
        }
        await Promise.all(wires.map((wire) => wire.disconnect()));
        assert.deepEqual(await many.stop(), { code: 0, signal: null });
    });
});
