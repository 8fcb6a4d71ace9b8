// What goes through TLS: big bodies, records cut and joined anywhere, back-pressure both ways, slow consumers, and the ends.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Client } from '@stomp/stompjs';
import WebSocket from 'ws';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { encodeWebSocketFrame, OPCODE } from '../lib/raw.mjs';
import { connectTls, makePair, openRaw, tlsConfig, trust } from '../lib/tls.mjs';
import { decodeFrame, encodeFrame, Wire } from '../lib/wire.mjs';

const MIB = 1024 * 1024;
const QUEUE_BYTES = 262144;

let h;
let pair;
let gw;

before(async () => {
    h = await harness();
    pair = await makePair(h.folder, 'one');
    const limits = { out_queue_bytes: 16 * MIB, unconfirmed: 4, parked_bytes: 8192 };
    gw = await h.gateway(tlsConfig(pair, { limits }));
});

after(() => h.close());

async function hearer(destination, gateway = gw) {
    const wire = await Wire.open(gateway.tlsUrl, trust(pair));
    await wire.connect();
    wire.send('SUBSCRIBE', { id: 's', destination, receipt: 'r' });
    await wire.receipt('r');
    return wire;
}

// Subscribed, and its socket in the test's hands.
async function listener(destination, gateway = gw) {
    const raw = await openRaw(gateway, pair);
    await raw.upgrade();
    await raw.connect();
    raw.stomp('SUBSCRIBE', { id: 's', destination, receipt: 'r' });
    await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
    return raw;
}

function stomp(command, headers, body) {
    return encodeWebSocketFrame(OPCODE.text, encodeFrame(command, headers, body));
}

// SENDs of numbered bodies, each with a receipt; and what must come of them.
function sends(destination, n, bytes) {
    return Array.from({ length: n }, (_, i) => stomp('SEND', { destination, receipt: `${i}` }, `${i} `.padEnd(bytes, '.')));
}

function receipts(raw) {
    return raw.frames
        .map((frame) => decodeFrame(frame.payload))
        .filter((frame) => frame?.command === 'RECEIPT')
        .map((frame) => frame.headers['receipt-id']);
}

function numbers(n) {
    return Array.from({ length: n }, (_, i) => String(i));
}

describe('stomp.js over wss', () => {
    async function stompjs(gateway = gw) {
        const webSocketFactory = () => new WebSocket(gateway.tlsUrl, ['v12.stomp'], trust(pair));
        const client = new Client({ webSocketFactory, reconnectDelay: 0 });
        await new Promise((resolve) => {
            client.onConnect = resolve;
            client.activate();
        });
        return client;
    }

    test('bodies of all sizes, text and bytes, between both ports', async () => {
        const room = `/topic/${unique()}`;
        const client = await stompjs();
        const heard = [];
        const ready = new Promise((resolve) => client.watchForReceipt('ready', resolve));
        client.subscribe(room, (message) => heard.push(Buffer.from(message.binaryBody)), { receipt: 'ready' });
        await ready;
        const plain = await Wire.open(gw.url);
        await plain.connect();
        plain.send('SUBSCRIBE', { id: 's', destination: room, receipt: 'r' });
        await plain.receipt('r');
        const said = [1, 125, 126, 16383, 16384, 16385, 65535, 65536, 200000, MIB].map((n) => randomBytes(n));
        said.forEach((body) => client.publish({ destination: room, binaryBody: body, headers: { 'content-type': 'application/octet-stream' } }));
        await waitFor(() => heard.length === said.length && plain.frames.length === said.length, { what: 'all bodies at both' });
        said.forEach((body, i) => assert.ok(body.equals(heard[i]) && body.equals(plain.frames[i].bytes), `${body.length} bytes came as they were sent`));
        await client.deactivate();
        plain.terminate();
    });
});

describe('records and frames need not meet', () => {
    test('CONNECT and what follows in one record, more than one read takes', async () => {
        const raw = await openRaw(gw, pair);
        await raw.upgrade();
        raw.write(Buffer.concat([stomp('CONNECT', { 'accept-version': '1.2', host: '/' }), ...sends(`/topic/${unique()}`, 12, 1000)]));
        await waitFor(() => receipts(raw).length === 12, { what: 'twelve receipts' });
        assert.deepEqual(receipts(raw), numbers(12));
        raw.end();
    });

    test('many frames in one record, and nothing behind it', async () => {
        for (const [n, bytes] of [[2, 10], [2, 3000], [150, 10], [14, 1000]]) {
            const raw = await listener(`/topic/${unique()}`);
            raw.write(Buffer.concat(sends(`/topic/${unique()}`, n, bytes)));
            await waitFor(() => receipts(raw).length === n, { what: `${n} receipts` });
            assert.deepEqual(receipts(raw), numbers(n));
            raw.end();
        }
    });

    // Between client and gateway: every piece of at most `most` bytes comes alone.
    async function chopper(most) {
        const server = net.createServer((from) => {
            const to = net.connect({ port: gw.tlsPort, host: '127.0.0.1', noDelay: true });
            to.pipe(from);
            from.on('close', () => to.destroy()).on('error', () => {});
            to.on('error', () => {});
            from.on('data', async (data) => {
                from.pause();
                for (let at = 0; at < data.length; at += most) {
                    await new Promise((resolve) => to.write(data.subarray(at, at + most), () => setImmediate(resolve)));
                }
                from.resume();
            });
        });
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        return server;
    }

    for (const most of [1, 7, 1460]) {
        test(`pieces of ${most} bytes, from the handshake on`, async () => {
            const server = await chopper(most);
            const room = `/topic/${unique()}`;
            const wire = await Wire.open(`wss://127.0.0.1:${server.address().port}/ws`, trust(pair));
            await wire.connect();
            wire.send('SUBSCRIBE', { id: 's', destination: room, receipt: 'r' });
            await wire.receipt('r');
            const body = randomBytes(most * 3000).toString('latin1').replace(/\0/g, '.').slice(0, 300000);
            wire.send('SEND', { destination: room }, body);
            const { body: heard } = await wire.next((frame) => frame.command === 'MESSAGE');
            assert.ok(heard === body, 'the body as it was');
            wire.terminate();
            await new Promise((resolve) => server.close(resolve));
        });
    }
});

describe('back-pressure', () => {
    test('who sends faster than the broker confirms is paused and resumed, and nothing hangs', async () => {
        const [room, n] = [`/topic/${unique()}`, 1500];
        const wire = await hearer(room);
        const raw = await listener(`/topic/${unique()}`);
        raw.write(Buffer.concat(sends(room, n, 1200))); // 1.8 MB at four unconfirmed and 8 KiB parked
        await waitFor(() => receipts(raw).length === n && wire.frames.length === n, { what: `${n} receipts and messages`, timeout: 60000 });
        assert.deepEqual(receipts(raw), numbers(n));
        assert.deepEqual(
            wire.frames.map((frame) => frame.body.split(' ')[0]),
            numbers(n),
        );
        raw.end();
        wire.terminate();
    });

    test('who stops reading and goes on finds everything, in order and as it was', async () => {
        const room = `/topic/${unique()}`;
        const raw = await listener(room);
        const speaker = await Wire.open(gw.url);
        await speaker.connect();
        raw.socket.pause();
        const said = Array.from({ length: 120 }, (_, i) => `${i} ${randomBytes(100 + ((i * 997) % 60000)).toString('base64')}`);
        for (const [i, body] of said.entries()) {
            speaker.send('SEND', { destination: room, receipt: `${i}` }, body);
            await speaker.receipt(`${i}`);
            if (i % 40 === 39) {
                raw.socket.resume(); // takes some, and stops in the middle
                await new Promise((resolve) => setImmediate(resolve));
                raw.socket.pause();
            }
        }
        raw.socket.resume();
        await waitFor(() => raw.frames.length === said.length, { what: 'all messages' });
        raw.frames.forEach((frame, i) => assert.ok(decodeFrame(frame.payload).body === said[i], `message ${i} as it was`));
        raw.end();
        speaker.terminate();
    });

    test('a slow consumer: 4500, ERROR, and what was on its way is whole', async () => {
        const server = await h.gateway(tlsConfig(pair, { limits: { out_queue_bytes: QUEUE_BYTES, write_stall_ms: 60000, close_linger_ms: 20000 } }));
        const room = `/topic/${unique()}`;
        const [slow, fast, speaker] = [await listener(room, server), await hearer(room, server), await Wire.open(server.url)];
        await speaker.connect();
        slow.socket.pause();
        const isSlow = () => server.log(/session\.error.*reason=slow_consumer/).length > 0;
        let n = 0;
        for (; n < 600 && !isSlow(); n++) {
            speaker.send('SEND', { destination: room, receipt: `${n}` }, `${n} `.padEnd(16384, 'x'));
            await speaker.receipt(`${n}`);
        }
        assert.ok(isSlow());
        slow.socket.resume();
        const { code, reason } = await slow.closeFrame();
        assert.deepEqual([code, reason], [4500, 'slow consumer']);
        const frames = slow.frames.map((frame) => decodeFrame(frame.payload));
        assert.equal(frames.pop().headers.message, 'slow consumer');
        frames.forEach((frame, i) => assert.equal(frame.body, `${i} `.padEnd(16384, 'x')));
        await waitFor(() => fast.frames.length === n, { what: 'all messages for who reads' });
        slow.end();
        const closed = () => server.metric('stompgate_closed_total{reactor="0",reason="slow_consumer"}');
        await waitFor(async () => (await closed()) === 1, { what: 'the slow one to be counted' });
        await server.stop();
    });
});

describe('the end', () => {
    test('DISCONNECT: its receipt, then the close of both', async () => {
        const wire = await hearer(`/topic/${unique()}`);
        await wire.disconnect();
        assert.equal(wire.closed.code, 1005);
    });

    test('a limit: ERROR and its code', async () => {
        const wire = await Wire.open(gw.tlsUrl, trust(pair));
        wire.send('CONNECT', { 'accept-version': '1.2', host: '/', long: 'x'.repeat(20000) });
        await wire.errorFrame();
        const plain = await Wire.open(gw.url);
        plain.send('CONNECT', { 'accept-version': '1.2', host: '/', long: 'x'.repeat(20000) });
        assert.deepEqual(await wire.waitClosed(), await plain.waitClosed());
    });

    test('SIGTERM drains both ports with 1001, and the sockets end with TLS', async () => {
        const server = await h.gateway(tlsConfig(pair));
        const [room, other] = [`/topic/${unique()}`, await Wire.open(server.url)];
        const wires = [await hearer(room, server), await hearer(room, server)];
        const idle = await connectTls(server, pair); // nothing but a handshake
        const isEnded = new Promise((resolve) => idle.once('close', resolve));
        await other.connect();
        server.signal('SIGTERM');
        const codes = await Promise.all([...wires, other].map(async (wire) => (await wire.waitClosed()).code));
        assert.deepEqual(codes, [1001, 1001, 1001]);
        await isEnded;
        assert.deepEqual(await server.ended, { code: 0, signal: null });
    });

    test('a client that is cut leaves nothing behind', async () => {
        const before = await gw.metric('stompgate_sessions');
        const wires = await Promise.all(Array.from({ length: 30 }, () => hearer(`/topic/${unique()}`)));
        assert.equal(await gw.metric('stompgate_sessions'), before + 30);
        wires.forEach((wire) => wire.terminate());
        await waitFor(async () => (await gw.metric('stompgate_sessions')) === before, { what: 'their sessions to be gone' });
    });
});
