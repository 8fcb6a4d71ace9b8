// Clients that do not read: closed with 4500 or served less, as the route says; and nobody else notices.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, sleep, unique, waitFor } from '../lib/harness.mjs';
import { Canary, OPCODE, Raw } from '../lib/raw.mjs';
import { decodeFrame, Wire } from '../lib/wire.mjs';

const STALL_MS = 1500;
const LINGER_MS = 1500;
const QUEUE_BYTES = 262144;
const BODY = 'x'.repeat(16384);

const h = await harness();
let gw;
let canary;
let speaker;

const ROUTES = [
    { prefix: '/topic/' },
    { prefix: '/comments/', exchange: `${h.tag}.comments`, type: 'topic', declare: true, durable: false, on_slow: 'drop' },
];

before(async () => {
    gw = await h.gateway({ limits: { out_queue_bytes: QUEUE_BYTES, write_stall_ms: STALL_MS, close_linger_ms: LINGER_MS }, route: ROUTES });
    h.defer(() => h.management.delete(`/exchanges/%2F/${h.tag}.comments`));
    canary = await Canary.start(gw);
    speaker = await Wire.open(gw.url);
    await speaker.connect();
});

after(async () => {
    await canary?.stop();
    await h.close();
});

// A client that has subscribed and then stops to read.
async function sleeper(destination, gateway = gw) {
    const raw = await Raw.open(gateway.port);
    await raw.upgrade();
    await raw.connect();
    raw.stomp('SUBSCRIBE', { id: 's', destination, receipt: 'r' });
    await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
    raw.socket.pause();
    return raw;
}

async function hearer(destination, gateway = gw) {
    const wire = await Wire.open(gateway.url);
    await wire.connect();
    wire.send('SUBSCRIBE', { id: 's', destination, receipt: 'r' });
    await wire.receipt('r');
    return wire;
}

// n messages of 16 KiB, each numbered, at the pace of their receipts.
async function publish(destination, n, from = 0) {
    for (let i = from; i < from + n; i++) {
        speaker.send('SEND', { destination, receipt: `${i}`, n: i }, BODY);
        await speaker.receipt(`${i}`);
    }
}

function closedSlow() {
    return gw.metric('stompgate_closed_total{reactor="0",reason="slow_consumer"}');
}

// What a sleeper sees when it reads on, up to the close.
async function wake(raw) {
    raw.socket.resume();
    await waitFor(() => raw.closed || raw.frames.some((frame) => frame.opcode === OPCODE.close), { what: 'the close' });
    const stomp = raw.frames.filter((frame) => frame.opcode !== OPCODE.close).map((frame) => decodeFrame(frame.payload));
    const close = raw.frames.find((frame) => frame.opcode === OPCODE.close);
    return { stomp, code: close?.payload.readUInt16BE(0), reason: close?.payload.subarray(2).toString() };
}

function isAscending(numbers) {
    return numbers.every((n, i) => i === 0 || n > numbers[i - 1]);
}

describe('on_slow = close', () => {
    test('over the bytes of its queue: 4500 at once, and ERROR when it reads again', async () => {
        const room = `/topic/${unique()}`;
        const before = await closedSlow();
        const slow = await sleeper(room);
        const fast = await hearer(room);
        const isSlow = () => gw.log(/session\.error.*reason=slow_consumer/).length > 0; // logged at once, counted when it is closed
        let n = 0;
        for (; n < 200 && !isSlow(); n += 5) {
            await publish(room, 5, n); // up to 3.2 MB: the queue and all of the kernel's buffers
        }
        const { stomp, code, reason } = await wake(slow);
        assert.deepEqual([code, reason], [4500, 'slow consumer']);
        const error = stomp.pop();
        assert.equal(error.command, 'ERROR');
        assert.equal(error.headers.message, 'slow consumer');
        assert.ok(stomp.length > 0, 'what was on its way came whole');
        assert.deepEqual(
            stomp.map((frame) => [frame.command, frame.headers.n, frame.body.length]),
            stomp.map((_, i) => ['MESSAGE', String(i), BODY.length]),
        );
        await waitFor(async () => (await closedSlow()) === before + 1);
        await waitFor(() => fast.frames.length === n, { what: 'all messages for who reads' });
        assert.deepEqual(
            fast.frames.map((frame) => Number(frame.headers.n)),
            Array.from({ length: n }, (_, i) => i),
        );
        fast.frames.length = 0;
        await fast.disconnect();
    });

    test('who never reads again is cut after the linger', async () => {
        const room = `/topic/${unique()}`;
        const [before, sessions] = [await closedSlow(), await gw.metric('stompgate_sessions')];
        const slow = await sleeper(room);
        await publish(room, 100);
        const began = Date.now();
        await waitFor(async () => (await closedSlow()) === before + 1, { what: 'the sleeper to be cut', timeout: LINGER_MS + 4000 });
        assert.ok(Date.now() - began < LINGER_MS + STALL_MS + 2000);
        await waitFor(async () => (await gw.metric('stompgate_sessions')) === sessions);
        slow.end();
    });

    test('nothing read in the time of the stall: 4500 too, though the queue is not full', async () => {
        const room = `/topic/${unique()}`;
        const before = await closedSlow();
        const slow = await sleeper(room);
        const began = Date.now();
        await publish(room, 8); // 128 KiB: half of the queue, if the kernel took nothing
        let isClosed = false;
        for (let n = 8; !isClosed && Date.now() - began < 20000; n++) {
            const sent = await gw.metric('stompgate_sent_bytes_total');
            await publish(room, 1, n);
            isClosed = (await closedSlow()) > before;
            // Once a message stays here, nothing more is sent: now only time may be over.
            if ((await gw.metric('stompgate_sent_bytes_total')) - sent < BODY.length) {
                await waitFor(async () => (isClosed = (await closedSlow()) > before), { what: 'the sleeper to be closed', timeout: STALL_MS + LINGER_MS + 4000 });
            }
        }
        assert.ok(isClosed);
        assert.ok(Date.now() - began >= STALL_MS);
        slow.end();
    });

    test('a client that reads a little all the time is cut when its queue is full', async () => {
        const room = `/topic/${unique()}`;
        const before = await closedSlow();
        const slow = await sleeper(room);
        const timer = setInterval(() => slow.socket.read(1024), 50);
        await publish(room, 200);
        await waitFor(async () => (await closedSlow()) === before + 1, { what: 'the slow reader to be closed', timeout: 10000 });
        clearInterval(timer);
        slow.end();
    });

    test('twenty at once cost the others nothing', async () => {
        const room = `/topic/${unique()}`;
        const before = await closedSlow();
        const sleepers = await Promise.all(Array.from({ length: 20 }, () => sleeper(room)));
        const fast = await hearer(room);
        await publish(room, 100);
        await waitFor(() => fast.frames.length === 100, { what: 'all messages for who reads' });
        await waitFor(async () => (await closedSlow()) === before + 20, { what: 'twenty sleepers to be closed' });
        assert.equal(fast.closed, null);
        sleepers.forEach((raw) => raw.end());
        fast.frames.length = 0;
        await fast.disconnect();
    });
});

describe('on_slow = drop', () => {
    test('the oldest go, the newest come, and it stays', async () => {
        const room = `/comments/${unique()}`;
        const [before, dropped] = [await closedSlow(), await gw.metric('stompgate_messages_dropped_total')];
        const slow = await sleeper(room);
        const fast = await hearer(room);
        await publish(room, 150);
        slow.socket.resume();
        await waitFor(() => slow.frames.some((frame) => decodeFrame(frame.payload)?.headers.n === '149'), { what: 'the last message' });
        const numbers = slow.frames.map((frame) => Number(decodeFrame(frame.payload).headers.n));
        assert.ok(isAscending(numbers), `in order: ${numbers}`);
        assert.ok(numbers.length < 150, 'some were dropped');
        assert.equal(numbers[0], 0, 'what was on its way before came');
        const missing = 150 - numbers.length;
        await waitFor(async () => (await gw.metric('stompgate_messages_dropped_total')) === dropped + missing, { what: `${missing} to be counted as dropped` });
        assert.equal(await closedSlow(), before);
        assert.equal(slow.closed, false);
        await publish(room, 1, 150);
        await slow.next((frame) => decodeFrame(frame.payload)?.headers.n === '150');
        await waitFor(() => fast.frames.length === 151, { what: 'all messages for who reads' });
        slow.end();
        fast.frames.length = 0;
        await fast.disconnect();
    });

    test('receipts are not dropped with them', async () => {
        const room = `/comments/${unique()}`;
        const slow = await sleeper(room);
        for (let i = 0; i < 20; i++) {
            slow.stomp('SEND', { destination: `/topic/${unique()}`, receipt: `own ${i}` });
        }
        await publish(room, 100);
        slow.socket.resume();
        await waitFor(() => slow.frames.some((frame) => decodeFrame(frame.payload)?.headers.n === '99'), { what: 'the last message' });
        const receipts = slow.frames.map((frame) => decodeFrame(frame.payload)).filter((frame) => frame.command === 'RECEIPT');
        assert.deepEqual(
            receipts.map((frame) => frame.headers['receipt-id']),
            Array.from({ length: 20 }, (_, i) => `own ${i}`),
        );
        slow.end();
    });

    test('not one byte read in the time of the stall is the end here, too', async () => {
        const room = `/comments/${unique()}`;
        const before = await closedSlow();
        const slow = await sleeper(room);
        await publish(room, 100);
        await waitFor(async () => (await closedSlow()) === before + 1, { what: 'the sleeper to be closed', timeout: STALL_MS + LINGER_MS + 5000 });
        slow.end();
    });
});

describe('a client for whom no other deadline runs', () => {
    test('stalls behind one long message, more than a write takes', async () => {
        const limits = { connect_ms: 200, write_stall_ms: STALL_MS, body_bytes: 16777216 };
        const gateway = await h.gateway({ limits });
        const loud = await Wire.open(gateway.url);
        await loud.connect();
        const room = `/topic/${unique()}`;
        const slow = await sleeper(room, gateway);
        await sleep(500); // the deadline of its CONNECT is over, and there are no heart-beats
        loud.send('SEND', { destination: room, receipt: 'r' }, 'x'.repeat(12000000));
        await loud.receipt('r');
        await gateway.waitLog(/session\.error.*reason=slow_consumer/, { timeout: STALL_MS + 3000 });
        slow.end();
        await gateway.stop();
    });
});

describe('many who read and some who do not', () => {
    const [N_FAST, N_SLOW, N_MESSAGES] = [40, 5, 150];
    const FRAME = BODY.length + 300; // with its headers, at most
    let patient; // closes nobody for the time that passes
    before(async () => {
        patient = await h.gateway({ limits: { out_queue_bytes: QUEUE_BYTES, write_stall_ms: 600000, close_linger_ms: 60000 }, route: ROUTES });
    });

    const behind = async () => [await patient.metric('stompgate_clients_behind'), await patient.metric('stompgate_out_queue_bytes')];
    const numbersOf = (frames) => frames.map((frame) => Number(frame.headers.n));
    const all = Array.from({ length: N_MESSAGES }, (_, n) => n);

    // What everybody but the sleepers got, after all was published.
    async function play(room) {
        const slow = await Promise.all(Array.from({ length: N_SLOW }, () => sleeper(room, patient)));
        const fast = await Promise.all(Array.from({ length: N_FAST }, () => hearer(room, patient)));
        await publish(room, N_MESSAGES);
        for (const wire of fast) {
            await waitFor(() => wire.frames.length >= N_MESSAGES, { what: 'all messages for who reads' });
            assert.deepEqual(numbersOf(wire.frames), all);
            assert.ok(wire.frames.every((frame) => frame.headers.gap === undefined));
            wire.frames.length = 0;
        }
        await waitFor(async () => (await behind())[0] === N_SLOW, { what: 'the sleepers, and nobody else, to be behind' });
        return { slow, fast };
    }

    async function leave({ slow, fast }) {
        slow.forEach((raw) => raw.end());
        await Promise.all(fast.map((wire) => wire.disconnect()));
        await waitFor(async () => (await behind()).every((n) => n === 0), { what: 'nothing to wait any more' });
    }

    test('on_slow = close: each is told 4500 and why, and what waited for it is given up at once', async () => {
        const closed = () => patient.metric('stompgate_closed_total{reactor="0",reason="slow_consumer"}');
        const before = await closed();
        const clients = await play(`/topic/${unique()}`);
        const [, bytes] = await behind();
        assert.ok(bytes > 0 && bytes <= N_SLOW * 5 * FRAME, `${bytes} bytes: what was begun (four frames a write), ERROR and close`);
        for (const raw of clients.slow) {
            const { stomp, code, reason } = await wake(raw);
            assert.deepEqual([code, reason, stomp.pop().command], [4500, 'slow consumer', 'ERROR']);
            assert.deepEqual(numbersOf(stomp), all.slice(0, stomp.length));
            raw.frame(OPCODE.close, Buffer.from([4500 >> 8, 4500 & 255]));
        }
        await waitFor(async () => (await closed()) === before + N_SLOW, { what: 'each to be counted' });
        await leave(clients);
    });

    test('on_slow = drop: nobody is closed, each keeps the newest in its bound, and hears of the gap', async () => {
        const dropped = await patient.metric('stompgate_messages_dropped_total');
        const clients = await play(`/comments/${unique()}`);
        const [, bytes] = await behind();
        assert.ok(bytes >= N_SLOW * (QUEUE_BYTES / 2) && bytes <= N_SLOW * (QUEUE_BYTES + 2 * FRAME), `${bytes} bytes`);
        let missing = 0;
        for (const raw of clients.slow) {
            raw.socket.resume();
            await waitFor(() => raw.frames.some((frame) => decodeFrame(frame.payload)?.headers.n === String(N_MESSAGES - 1)), { what: 'the last message' });
            const frames = raw.frames.map((frame) => decodeFrame(frame.payload));
            const numbers = numbersOf(frames);
            const hole = numbers.findLastIndex((n, i) => i > 0 && n > numbers[i - 1] + 1);
            assert.ok(isAscending(numbers) && hole > 0, `a hole in ${numbers}`);
            assert.ok(frames.slice(hole).some((frame) => frame.headers.gap === 'true'), 'gap:true behind the hole');
            missing += N_MESSAGES - numbers.length;
        }
        await waitFor(async () => (await patient.metric('stompgate_messages_dropped_total')) === dropped + missing, { what: `${missing} dropped` });
        assert.equal(await patient.metric('stompgate_sessions'), N_SLOW + N_FAST);
        await leave(clients);
    });
});
