// Private subscriptions with much to do: order, fair shares, SENDs before a close, clients that do not read, a backlog beside live
// fan-out, and what thousands of sessions leave behind.
//
// STOMPGATE_BACKLOG (20000) is the number of messages in the backlog, STOMPGATE_SESSIONS (1000) that of the sessions that come and go.
// A million and 10,000 are the measure; they take some minutes.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import { ack, client, count, fresh, message, messages, send, subscribe } from '../lib/private.mjs';
import { Raw } from '../lib/raw.mjs';

const BACKLOG = Number(process.env.STOMPGATE_BACKLOG ?? 20000);

let h;
let gw;
before(async () => {
    h = await harness({ config: { route: openRoutes() } });
    gw = await h.gateway({ limits: { private_queue_bytes: 262144, write_stall_ms: 60000 } });
});
after(() => h.close());

const numbers = (n, from = 0) => Array.from({ length: n }, (_, i) => `${from + i}`);

// Publishes by plain AMQP, fast, and waits until the broker has it all.
async function fill(name, bodies, options = {}) {
    const connection = await h.amqp();
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name, { durable: true, ...options });
    for (const body of bodies) {
        if (!channel.sendToQueue(name, Buffer.from(body))) {
            await new Promise((resolve) => channel.once('drain', resolve));
        }
    }
    await channel.waitForConfirms();
    await channel.close();
}

const empty = (name) => waitFor(async () => (await count(h, name)).messages === 0, { what: `${name} to be empty` });

describe('sending', () => {
    test('10,000 SENDs and then the close: none is lost, order is kept', async () => {
        const name = fresh(h);
        const wire = await client(gw);
        const bodies = numbers(10000);
        for (const body of bodies) {
            wire.send('SEND', { destination: `/queue/${name}` }, body);
        }
        wire.socket.close();
        const reader = await client(gw);
        await subscribe(reader, `/queue/${name}`);
        assert.deepEqual((await messages(reader, 10000)).map((m) => m.body), bodies);
        await reader.disconnect();
        await empty(name);
    });
});

describe('receiving', () => {
    test('two gateways compete for one queue: fair shares, each in order, all of it', async () => {
        const second = await h.gateway();
        const name = fresh(h);
        const wires = [await client(gw), await client(second)];
        for (const wire of wires) {
            await subscribe(wire, `/queue/${name}`, { ack: 'client-individual', 'prefetch-count': '10' });
        }
        const seen = wires.map(() => []);
        const total = 1000;
        const take = () => {
            for (const [i, wire] of wires.entries()) {
                for (const frame of wire.frames.splice(0)) {
                    assert.equal(frame.command, 'MESSAGE', frame.body);
                    seen[i].push(Number(frame.body));
                    wire.send('ACK', { id: frame.headers.ack });
                }
            }
            return seen[0].length + seen[1].length >= total;
        };
        const reading = waitFor(take, { every: 1, what: `${total} messages` });
        await fill(name, numbers(total));
        await reading;
        assert.deepEqual([...seen[0], ...seen[1]].sort((a, b) => a - b), numbers(total).map(Number));
        for (const share of seen) {
            assert.ok(share.length >= total / 5, `a share of ${share.length}`);
            assert.deepEqual(share, [...share].sort((a, b) => a - b));
        }
        await second.stop();
    });

    test('a client that does not read: the broker keeps what was not written to it, also when the gateway is killed', async () => {
        const doomed = await h.gateway({ limits: { private_queue_bytes: 1048576, write_stall_ms: 60000 } });
        const name = fresh(h);
        const total = 400;
        const body = 'x'.repeat(32768);
        await fill(name, numbers(total).map((n) => `${n} ${body}`));
        const sleeper = await Raw.open(doomed.port);
        await sleeper.upgrade();
        await sleeper.connect();
        sleeper.stomp('SUBSCRIBE', { id: 's', destination: `/queue/${name}`, receipt: 'r' });
        await sleeper.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
        sleeper.socket.pause();
        // what neither went to the socket nor waits within the bound goes back to the queue
        await waitFor(async () => (await doomed.metric('stompgate_private_held_total')) > 0, { what: 'messages to be put back' });
        await waitFor(async () => (await count(h, name)).messages >= total / 2, { what: 'them to stand in the queue again' });
        await doomed.kill();
        const reader = await client(gw);
        await subscribe(reader, `/queue/${name}`);
        const number = (text) => Number.parseInt(text, 10);
        await waitFor(() => reader.frames.some((frame) => number(frame.body) === total - 1), { what: 'the end of the queue' });
        const left = reader.frames.map((frame) => number(frame.body));
        assert.deepEqual(left, numbers(left.length, total - left.length).map(Number), 'in order, to the end');
        sleeper.socket.resume();
        await sleeper.waitClosed();
        const received = sleeper.frames.map((frame) => number(/\n\n(\d+) /.exec(frame.payload.toString())?.[1]));
        assert.deepEqual(received, numbers(received.length).map(Number), 'in order, from the beginning');
        assert.ok(left[0] <= received.length, `received up to ${received.length - 1}, the queue goes on with ${left[0]}`);
        await reader.disconnect();
        await empty(name);
    });

    test('who does not read his replies: the broker keeps them, and they come in order when he does', async () => {
        const name = fresh(h);
        const total = 300;
        const body = 'z'.repeat(16384);
        const [service, asker] = [await client(gw), await Raw.open(gw.port)];
        await subscribe(service, `/queue/${name}`);
        await asker.upgrade();
        await asker.connect();
        asker.stomp('SEND', { destination: `/queue/${name}`, 'reply-to': '/temp-queue/answers' }, 'how many?');
        const { headers } = await message(service, 'how many?');
        const held = await gw.metric('stompgate_private_held_total');
        asker.socket.pause();
        for (let i = 0; i < total; i++) {
            service.send('SEND', { destination: headers['reply-to'] }, `${i} ${body}`);
        }
        await send(service, headers['reply-to'], `${total} that is all`);
        await waitFor(async () => (await gw.metric('stompgate_private_held_total')) > held, { what: 'replies to be put back' });
        asker.socket.resume();
        for (let i = 0; i <= total; i++) {
            const frame = (await asker.next()).payload.toString();
            assert.match(frame, /\nsubscription:\/temp-queue\/answers\n/);
            assert.equal(Number.parseInt(/\n\n(\d+) /.exec(frame)[1], 10), i);
        }
        asker.socket.destroy();
        await service.disconnect();
    });

    test('a client that paused, and acknowledges only when it has 250, gets them', async () => {
        const name = fresh(h);
        const total = 750;
        const body = 'y'.repeat(16384);
        await fill(name, numbers(total).map((n) => `${n} ${body}`));
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        const held = await gw.metric('stompgate_private_held_total');
        raw.stomp('SUBSCRIBE', { id: 's', destination: `/queue/${name}`, ack: 'client', receipt: 'r' });
        await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
        raw.socket.pause();
        await waitFor(async () => (await gw.metric('stompgate_private_held_total')) > held, { what: 'messages to be put back' });
        raw.socket.resume();
        for (let i = 0; i < total; i++) {
            const frame = (await raw.next((found) => found.payload.toString().startsWith('MESSAGE\n'))).payload.toString();
            assert.equal(Number.parseInt(/\n\n(\d+) /.exec(frame)[1], 10), i);
            if (i % 250 === 249) {
                raw.stomp('ACK', { id: /\nack:(.*)\n/.exec(frame)[1], receipt: `acked ${i}` });
                await raw.next((found) => found.payload.toString().includes(`acked ${i}`));
            }
        }
        raw.socket.destroy();
        await empty(name);
    });

    for (const [kind, headers, asked] of [
        ['a durable queue', {}],
        ['an auto-delete queue, which must not go while its consumer pauses', { 'auto-delete': 'true' }],
        ['a stream', { 'x-queue-type': 'stream' }, { ack: 'client', 'prefetch-count': '1000', 'x-stream-offset': 'first' }],
    ]) {
        test(`a client that pauses gets everything, once and in order: ${kind}`, async () => {
            const name = fresh(h);
            const total = 300;
            const body = 'y'.repeat(16384);
            const raw = await Raw.open(gw.port);
            await raw.upgrade();
            await raw.connect();
            raw.stomp('SUBSCRIBE', { id: 's', destination: `/queue/${name}`, receipt: 'r', ...headers, ...asked });
            await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
            const seen = [];
            const sender = await client(gw);
            const held = await gw.metric('stompgate_private_held_total');
            raw.socket.pause();
            for (let i = 0; i < total; i++) {
                sender.send('SEND', { destination: `/queue/${name}`, ...headers }, `${i} ${body}`);
            }
            await send(sender, `/queue/${name}`, `${total} last`, headers);
            await waitFor(async () => (await gw.metric('stompgate_private_held_total')) > held, { what: 'messages to be put back' });
            for (let pause = 0; seen.length <= total; pause++) {
                raw.socket.resume();
                const goal = Math.min(seen.length + 60, total + 1);
                while (seen.length < goal) {
                    const frame = await raw.next();
                    seen.push(Number.parseInt(/\n\n(\d+) /.exec(frame.payload.toString())[1], 10));
                }
                raw.socket.pause();
                await send(sender, '/topic/nobody', 'a round trip'); // the pause is felt
            }
            assert.deepEqual(seen, numbers(total + 1).map(Number));
            raw.socket.destroy();
        });
    }

    test(`a backlog of ${BACKLOG} on private queues beside live fan-out: both get everything, in order`, async () => {
        const names = numbers(4).map(() => fresh(h, 'backlog'));
        const room = `/topic/${unique('live.')}`;
        await Promise.all(names.map((name) => fill(name, numbers(BACKLOG / 4))));
        const listener = await client(gw);
        await subscribe(listener, room);
        const speaker = await client(gw);
        const readers = await Promise.all(names.map(() => client(gw)));
        const got = readers.map(() => 0);
        for (const [i, reader] of readers.entries()) {
            await subscribe(reader, `/queue/${names[i]}`);
        }
        const live = 200;
        let during = 0;
        for (let i = 0; i < live; i++) {
            await send(speaker, room, `${i}`);
            assert.equal((await message(listener)).body, `${i}`);
            for (const [r, reader] of readers.entries()) {
                for (const frame of reader.frames.splice(0)) {
                    assert.equal(frame.body, `${got[r]++}`);
                }
            }
            during += got.some((n) => n < BACKLOG / 4);
        }
        assert.ok(during > 0, 'some of it while the backlog was there');
        for (const [r, reader] of readers.entries()) {
            const rest = await messages(reader, BACKLOG / 4 - got[r], { timeout: 120000 });
            assert.deepEqual(rest.map((m) => m.body), numbers(rest.length, got[r]));
        }
        for (const reader of readers) {
            await reader.disconnect();
        }
        for (const name of names) {
            await empty(name);
        }
    });
});

describe('thousands of sessions', () => {
    const WAVES = 10;
    const PER_WAVE = Number(process.env.STOMPGATE_SESSIONS ?? 10000) / WAVES;

    let own;
    before(async () => {
        // AddressSanitizer holds back what is freed, 256 MiB of it: here that would look like a leak
        own = await h.gateway({}, { env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=4` } });
    });

    async function rss() {
        return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${own.pid}/status`, 'utf8'))[1]);
    }

    // Channels and consumers at the broker, queues that are not the test's own.
    async function census() {
        const listed = async (what, column) => (await h.rabbitmqctl(`list_${what}`, '-q', '--no-table-headers', column)).stdout.trim().split('\n');
        const [channels, consumers, queues] = await Promise.all([listed('channels', 'pid'), listed('consumers', 'queue_name'), listed('queues', 'name')]);
        return { channels: channels.length, consumers: consumers.length, queues: queues.filter((name) => !/^leak/.test(name)).length };
    }

    test(`${WAVES} waves of ${PER_WAVE}, half of them gone without a word, leave nothing at the broker and no memory here`, async () => {
        const name = fresh(h, 'leak');
        const wave = async () => {
            const wires = await Promise.all(numbers(PER_WAVE).map(() => client(own)));
            await Promise.all(
                wires.map(async (wire, i) => {
                    const kind = i % 4;
                    await subscribe(wire, kind === 0 ? `/queue/${name}` : `/topic/${unique('leak.')}`, { ack: 'client' });
                    if (kind === 2) {
                        await subscribe(wire, `/queue/${unique('excl')}`, { id: 'x', exclusive: 'true' });
                    }
                    if (kind === 3) {
                        wire.send('SEND', { destination: '/topic/nobody', 'reply-to': '/temp-queue/a' }, 'x');
                    }
                }),
            );
            await Promise.all(wires.map((wire, i) => (i % 2 ? wire.terminate() : wire.disconnect())));
            await waitFor(async () => (await own.metric('stompgate_private_channels')) === 0, { what: 'the channels to be closed' });
        };
        const clean = async () => {
            const now = await census();
            return now.channels <= first.channels && now.consumers <= first.consumers && now.queues <= first.queues && now;
        };
        const first = await census();
        await wave();
        await waitFor(clean, { every: 500, what: 'the broker to be as before' });
        const low = await rss();
        for (let i = 1; i < WAVES; i++) {
            await wave();
        }
        await waitFor(clean, { every: 500, what: 'the broker to be as before' });
        const grown = (await rss()) - low;
        assert.ok(grown < 64 * 1024, `grown by ${grown} KiB`);
    });
});
