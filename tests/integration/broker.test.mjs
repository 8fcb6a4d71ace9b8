// The gateway and its broker, when things go well and when they do not: order of SUBSCRIBE and SEND, exchanges that vanish, headers that
// would close a channel, restarts, alarms, what an administrator changes, and what the on_gap of a route does.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, sleep, unique, waitFor } from '../lib/harness.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

let h;
before(async () => {
    h = await harness({
        config: {
            broker: { reconnect_min_ms: 50, reconnect_max_ms: 300, linger_ms: 300, sweep_ms: 1000 },
            route: [{ prefix: '/exchange/', send: ['*'], subscribe: ['*'] }],
        },
    });
});
after(() => h.close());

async function client(gw, headers) {
    const wire = await Wire.open(gw.url);
    await wire.connect(headers);
    return wire;
}

async function subscribe(wire, destination, id = 's') {
    wire.send('SUBSCRIBE', { id, destination, receipt: `sub-${id}` });
    await wire.receipt(`sub-${id}`);
}

async function sendAndWait(wire, destination, body, headers = {}) {
    const receipt = unique('r');
    wire.send('SEND', { destination, receipt, ...headers }, body);
    await wire.receipt(receipt);
}

const message = (body) => (frame) => frame.command === 'MESSAGE' && (body === undefined || frame.body === body);

async function queues(pattern) {
    const all = await h.management.get(`/queues/${h.vhostPath}?columns=name,messages,consumers`);
    return all.filter((queue) => pattern.test(queue.name));
}

async function liveQueue(gw, exchange) {
    const name = gw.config.gateway.name;
    const pattern = new RegExp(`^stompgate\\.live\\.${name}\\.0\\.${exchange.replace('.', '\\.')}\\.`);
    return waitFor(async () => (await queues(pattern))[0]?.name, { what: `the live queue of ${exchange}` });
}

// Cuts one of the gateway's AMQP connections ("live" or "publish") as an administrator would in the UI.
async function cut(gw, side) {
    const name = `stompgate ${gw.config.gateway.name}.0 ${side}`;
    const found = await waitFor(
        async () => (await h.management.get('/connections')).find((c) => c.client_properties?.connection_name === name),
        { what: `the connection "${name}" in the management API` },
    );
    await h.management.delete(`/connections/${encodeURIComponent(found.name)}`);
}

describe('subscribing and sending', () => {
    test('1,000 rounds of SUBSCRIBE and SEND in one write, without receipts: each gets its own message', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const room = unique('/topic/pipe.');
        for (let i = 0; i < 1000; i++) {
            const destination = `${room}.${i}`;
            wire.raw(
                Buffer.concat([
                    encodeFrame('SUBSCRIBE', { id: `p${i}`, destination }),
                    encodeFrame('SEND', { destination }, `own ${i}`),
                ]),
            );
            const frame = await wire.next(message());
            assert.deepEqual([frame.headers.subscription, frame.headers.destination, frame.body], [`p${i}`, destination, `own ${i}`]);
            wire.send('UNSUBSCRIBE', { id: `p${i}` });
        }
        await wire.disconnect();
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 0, { what: 'all rooms to be left' });
        await gw.stop();
    });

    test('order per sender holds for 2,000 pipelined SENDs to one room, and DISCONNECT waits for them', async () => {
        const gw = await h.gateway();
        const listener = await client(gw);
        const destination = unique('/topic/order.');
        await subscribe(listener, destination);
        const sender = await client(gw);
        for (let i = 0; i < 2000; i++) {
            sender.send('SEND', { destination }, String(i));
        }
        sender.send('DISCONNECT', { receipt: 'bye' });
        await sender.receipt('bye');
        const bodies = [];
        await waitFor(() => {
            bodies.push(...listener.frames.splice(0).map((frame) => Number(frame.body)));
            return bodies.length === 2000;
        });
        assert.deepEqual(bodies, Array.from({ length: 2000 }, (_, i) => i));
        await gw.stop();
    });

    test('wildcards, spellings and exchanges bound to ours', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const word = unique('w');
        await subscribe(wire, `/topic/${word}/a`, 'exact');
        await subscribe(wire, `/topic/${word}.*`, 'star');
        await subscribe(wire, `/topic/${word}.#`, 'hash');
        await subscribe(wire, `/exchange/amq.topic/${word}.a`, 'exchange');
        await sendAndWait(wire, `/topic/${word}/a`, 'one');
        const got = {};
        for (let i = 0; i < 4; i++) {
            const frame = await wire.next(message('one'));
            got[frame.headers.subscription] = frame.headers.destination;
        }
        assert.deepEqual(got, {
            exact: `/topic/${word}/a`,
            star: `/topic/${word}/a`,
            hash: `/topic/${word}/a`,
            exchange: `/exchange/amq.topic/${word}.a`,
        });

        const amqp = await h.amqp();
        const channel = await amqp.createChannel();
        const source = unique('src');
        await channel.assertExchange(source, 'fanout', { autoDelete: true });
        await channel.bindExchange('amq.topic', source, '');
        channel.publish(source, `${word}.b.c`, Buffer.from('from elsewhere'), { contentType: 'text/plain', headers: { n: 5, flag: true } });
        const foreign = await wire.next(message('from elsewhere'));
        assert.equal(foreign.headers.subscription, 'hash');
        assert.equal(foreign.headers.destination, `/topic/${word}.b.c`);
        assert.equal(foreign.headers.n, '5');
        assert.equal(foreign.headers.flag, 'true');
        assert.equal(foreign.headers['content-type'], 'text/plain');
        assert.ok(foreign.headers['message-id'].length > 0);
        await amqp.close();
        await wire.disconnect();
        await gw.stop();
    });

    test('a tap of an exchange whose type only the administrator knows', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const exchange = unique('direct');
        await h.management.put(`/exchanges/${h.vhostPath}/${exchange}`, { type: 'direct', durable: false, auto_delete: false });
        h.defer(() => h.management.delete(`/exchanges/${h.vhostPath}/${exchange}`));
        await subscribe(wire, `/exchange/${exchange}/blue`, 'blue');
        await subscribe(wire, `/exchange/${exchange}/red`, 'red');
        await sendAndWait(wire, `/exchange/${exchange}/red`, 'r');
        await sendAndWait(wire, `/exchange/${exchange}/blue`, 'b');
        const seen = [await wire.next(message()), await wire.next(message())];
        assert.deepEqual(
            seen.map((frame) => [frame.headers.subscription, frame.body]).sort(),
            [['blue', 'b'], ['red', 'r']],
        );
        wire.send('SUBSCRIBE', { id: 'x', destination: `/exchange/${unique('nowhere')}/k`, receipt: 'lost' });
        const error = await wire.errorFrame();
        assert.equal(error.headers['receipt-id'], 'lost');
        assert.match(error.headers.message + error.body, /not_found|no exchange/i);
        await wire.waitClosed();
        await gw.stop();
    });

    test('two taps whose names look alike are two', async () => {
        const gw = await h.gateway();
        const [one, two] = [unique('x'), unique('y')];
        const pairs = [[`${one}`, `${two}.k`], [`${one}.${two}`, 'k']];
        const wires = [];
        for (const [exchange, key] of pairs) {
            await h.management.put(`/exchanges/${h.vhostPath}/${exchange}`, { type: 'direct', durable: false });
            h.defer(() => h.management.delete(`/exchanges/${h.vhostPath}/${exchange}`));
            const wire = await client(gw);
            await subscribe(wire, `/exchange/${exchange}/${key}`);
            wires.push(wire);
        }
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 2, { what: 'both taps to stand' });
        wires[1].terminate();
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 1, { what: 'the second tap to go' });
        await sendAndWait(wires[0], `/exchange/${pairs[0][0]}/${pairs[0][1]}`, 'still here');
        await wires[0].next(message('still here'));
        await gw.stop();
    });

    test('frames that arrived before the close are executed, also behind a SUBSCRIBE', async () => {
        const gw = await h.gateway();
        const listener = await client(gw);
        const destination = unique('/topic/late.');
        await subscribe(listener, destination);
        for (let i = 0; i < 20; i++) {
            const wire = await client(gw);
            wire.raw(
                Buffer.concat([
                    encodeFrame('SUBSCRIBE', { id: 's', destination: `${destination}.${i}` }),
                    encodeFrame('SEND', { destination }, String(i)),
                    encodeFrame('DISCONNECT'),
                ]),
            );
            wire.socket.close();
        }
        await waitFor(() => listener.frames.filter(message()).length === 20, { what: '20 messages of clients that have left' });
        await waitFor(async () => (await gw.metric('stompgate_sessions')) === 1, { what: 'the others to be gone' });
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 1, { what: 'their rooms to be left' });
        await gw.stop();
    });

    test('two of the largest messages at once, more than the out queue is bounded to, close nobody', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const key = unique('burst.');
        await subscribe(wire, `/topic/${key}`);
        const amqp = await h.amqp();
        const channel = await amqp.createChannel();
        for (let i = 0; i < 2; i++) {
            channel.publish('amq.topic', key, Buffer.alloc(1 << 20, 'x'));
        }
        await waitFor(() => wire.frames.filter(message()).length === 2 || wire.closed, { what: '2 messages of 1 MiB' });
        assert.equal(wire.closed, null);
        await amqp.close();
        await gw.stop();
    });

    test('everything at the broker has a name that explains itself, and goes when it is not needed', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const name = gw.config.gateway.name;
        const fan = unique('fan');
        await subscribe(wire, '/topic/names.x', 'a');
        await subscribe(wire, `/fanout/${fan}`, 'b');
        await liveQueue(gw, 'amq.topic');
        await liveQueue(gw, fan);
        const connections = await waitFor(
            async () => {
                const all = await h.management.get('/connections');
                const ours = all.map((c) => c.client_properties?.connection_name).filter((n) => n?.includes(name));
                return ours.length === 2 && ours;
            },
            { what: 'both connections in the management API' },
        );
        assert.deepEqual(connections.sort(), [`stompgate ${name}.0 live`, `stompgate ${name}.0 publish`]);
        const consumers = await waitFor(
            async () => {
                const all = await h.management.get(`/consumers/${h.vhostPath}`);
                const ours = all.filter((c) => c.queue.name.startsWith(`stompgate.live.${name}`)).map((c) => c.consumer_tag);
                return ours.length === 2 && ours;
            },
            { what: 'both consumers in the management API' },
        );
        assert.deepEqual(consumers.sort(), [`stompgate live.${name}.0.amq.topic`, `stompgate live.${name}.0.${fan}`]);
        wire.send('UNSUBSCRIBE', { id: 'b', receipt: 'u' });
        await wire.receipt('u');
        await waitFor(async () => (await queues(new RegExp(`${name}.*${fan}`))).length === 0, { what: 'the queue of the left room to go' });
        await wire.disconnect();
        await gw.stop();
        await waitFor(async () => (await queues(new RegExp(`\\.${name}\\.`))).length === 0, { what: 'all queues of the gateway to go' });
    });
});

describe('exchanges that vanish', () => {
    test('a fanout exchange deleted again and again under load is declared again: every receipt comes once', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const exchange = unique('gone');
        const receipts = [];
        let running = true;
        const collect = (async () => {
            while (running || receipts.length < 600) {
                receipts.push(...wire.frames.splice(0).map((f) => (f.command === 'RECEIPT' ? f.headers['receipt-id'] : f.command)));
                await sleep(5);
                if (wire.closed) {
                    break;
                }
            }
        })();
        for (let i = 0; i < 300; i++) {
            wire.send('SEND', { destination: `/fanout/${exchange}`, receipt: `f${i}` }, 'x');
            wire.send('SEND', { destination: '/topic/steady', receipt: `t${i}` }, 'x');
            if (i % 60 === 30) {
                await h.management.delete(`/exchanges/${h.vhostPath}/${exchange}`);
            }
            if (i % 10 === 0) {
                await sleep(2);
            }
        }
        running = false;
        await waitFor(() => receipts.length >= 600 || wire.closed, { what: '600 receipts' });
        await collect;
        const expected = Array.from({ length: 300 }, (_, i) => [`f${i}`, `t${i}`]).flat();
        assert.deepEqual([...receipts].sort(), expected.sort());
        await gw.stop();
    });

    test('one that we may not declare: only the SENDs to it get ERROR, every other receipt comes', async () => {
        const gw = await h.gateway();
        const exchange = unique('theirs');
        await h.management.put(`/exchanges/${h.vhostPath}/${exchange}`, { type: 'fanout', durable: true, auto_delete: false });
        const guilty = await client(gw);
        const canary = await client(gw);
        await sendAndWait(guilty, `/exchange/${exchange}/k`, 'works');
        await h.management.delete(`/exchanges/${h.vhostPath}/${exchange}`);
        for (let i = 0; i < 100; i++) {
            canary.send('SEND', { destination: '/topic/canary', receipt: `c${i}` }, 'x');
            canary.send('SEND', { destination: '/fanout/canary', receipt: `d${i}` }, 'x');
            if (i === 50) {
                guilty.send('SEND', { destination: `/exchange/${exchange}/k`, receipt: 'fails' }, 'x');
            }
        }
        const error = await guilty.errorFrame();
        assert.equal(error.headers['receipt-id'], 'fails');
        assert.equal(error.headers.message, 'not_found');
        assert.match(error.body, new RegExp(`no exchange '${exchange}'`));
        await guilty.waitClosed();
        for (let i = 0; i < 100; i++) {
            await canary.receipt(`c${i}`);
            await canary.receipt(`d${i}`);
        }
        assert.equal(canary.frames.length, 0);
        await canary.disconnect();
        await gw.stop();
    });
});

describe('headers', () => {
    // What closes a channel, or reroutes, when it is handed to the broker as it comes (threats M1, M2).
    const hostile = [
        ['CC', 'x.secret'], ['BCC', 'x.secret'], ['cc', 'x'], ['user-id', 'somebody'], ['user-id', ''], ['expiration', 'abc'],
        ['expiration', '-1'], ['expiration', '1e9'], ['reply-to', 'amq.rabbitmq.reply-to'], ['reply-to', 'amq.rabbitmq.reply-to.x'],
        ['delivery-mode', '7'], ['priority', '999'], ['priority', 'high'], ['timestamp', 'now'], ['timestamp', '99999999999999999999999'],
        ['content-type', 'x'.repeat(300)], ['correlation-id', 'y'.repeat(300)], ['type', 'z'.repeat(300)], ['app-id', 'a'.repeat(300)],
        ['x-stompgate-destination', '/topic/other'], ['x-stompgate-user', 'root'], ['x-stompgate-key', 'k'], ['X-Stompgate-Key', 'k'],
        ['x-death', 'no'], ['x-delay', '5'], ['x-match', 'all'], ['n'.repeat(128), 'v'], ['ünï', 'cödé'], ['message-id', 'mine'],
        ['receipt-id', 'r'], ['subscription', 'not-yours'], ['ack', 'x'], ['gap', 'true'], ['redelivered', 'true'], ['persistent', 'maybe'],
        ['content-encoding', 'gzip'], ['x-', ''], [' ', 'blank'], ['a\\cb', 'c'],
    ];

    test('whatever a client sends in headers, no channel that others use is closed and nothing goes elsewhere', async () => {
        const gw = await h.gateway();
        const amqp = await h.amqp();
        const channel = await amqp.createChannel();
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await channel.bindQueue(queue, 'amq.topic', '#');
        const seen = [];
        await channel.consume(queue, (delivery) => seen.push(delivery), { noAck: true });
        const listener = await client(gw);
        const key = unique('h.');
        await subscribe(listener, `/topic/${key}`);
        let accepted = 0;
        for (const [name, value] of hostile) {
            const wire = await client(gw);
            wire.raw(Buffer.from(`SEND\ndestination:/topic/${key}\nreceipt:r\n${name}:${value}\n\nbody\0`));
            const frame = await wire.next((f) => f.command === 'RECEIPT' || f.command === 'ERROR');
            assert.equal(frame.headers['receipt-id'], 'r', name);
            if (frame.command === 'ERROR') {
                assert.ok((frame.headers.message + frame.body).includes(name.slice(0, 20)), `the ERROR names ${name}: ${frame.body}`);
                await wire.waitClosed();
            } else {
                accepted++;
                wire.terminate();
            }
        }
        await waitFor(() => seen.length === accepted && listener.frames.filter(message()).length === accepted, { what: `${accepted} messages` });
        for (const delivery of seen) {
            assert.equal(delivery.fields.routingKey, key);
            assert.equal(delivery.properties.userId, undefined);
        }
        for (const frame of listener.frames.splice(0)) {
            assert.equal(frame.headers.subscription, 's');
            assert.equal(frame.headers.destination, `/topic/${key}`);
            assert.equal(frame.headers.redelivered, 'false');
            assert.ok(!frame.pairs.some(([name]) => /^x-stompgate-/i.test(name)), 'our own headers stay inside');
            assert.ok(!frame.pairs.some(([name]) => name === 'gap' || name === 'ack'), 'nor can they be forged');
        }
        assert.equal(await gw.metric('stompgate_broker_channel_errors_total'), 0);
        await amqp.close();
        await gw.stop();
    });
});

describe('a broker that goes away', () => {
    // A broker that a failed test left stopped would fail all others.
    after(() => h.services('start-rabbit'));

    test('restart: clients stay, parked SENDs get their receipts, rooms hear again and the gap is marked', async () => {
        const gw = await h.gateway();
        const wire = await client(gw, { 'heart-beat': '0,1000' });
        const destination = unique('/topic/restart.');
        await subscribe(wire, destination);
        await sendAndWait(wire, destination, 'before');
        await wire.next(message('before'));
        await h.services('stop-rabbit');
        await waitFor(async () => (await gw.get('/readyz')).status === 503, { what: '/readyz to say 503' });
        const beats = wire.heartbeats;
        wire.send('SEND', { destination, receipt: 'parked' }, 'meanwhile');
        wire.send('SUBSCRIBE', { id: 'later', destination: `${destination}.x`, receipt: 'later' });
        await waitFor(() => wire.heartbeats > beats, { what: 'a heart-beat while the broker is away' });
        await h.services('start-rabbit');
        await wire.receipt('parked', { timeout: 30000 });
        await wire.receipt('later');
        const frame = await wire.next(message('meanwhile'));
        assert.equal(frame.headers.gap, 'true');
        await sendAndWait(wire, `${destination}.x`, 'there too');
        await wire.next(message('there too'));
        assert.equal(wire.closed, null);
        await wire.disconnect();
        await gw.stop();
    });

    test('longer than the grace time: "Broker not available.", 1013; and a gateway that starts without one recovers alone', async () => {
        await h.services('stop-rabbit');
        const gw = await h.gateway({ broker: { grace_ms: 1500 } }, { ready: false });
        assert.equal((await gw.get('/healthz')).status, 200);
        assert.equal((await gw.get('/readyz')).status, 503);
        const waiting = await client(gw);
        const error = await waiting.errorFrame();
        assert.equal(error.headers.message, 'Broker not available.');
        await waiting.waitClosed();
        assert.equal(waiting.closed.code, 1013);
        const late = await Wire.open(gw.url);
        late.send('CONNECT', { 'accept-version': '1.2' });
        assert.equal((await late.errorFrame()).headers.message, 'Broker not available.');
        await late.waitClosed();
        assert.equal(late.closed.code, 1013);
        await h.services('start-rabbit');
        await waitFor(async () => (await gw.get('/readyz')).status === 200, { what: '/readyz to say 200', timeout: 30000 });
        const wire = await client(gw);
        await subscribe(wire, '/topic/alive');
        await sendAndWait(wire, '/topic/alive', 'again');
        await wire.next(message('again'));
        await gw.stop();
    });

    test('a memory alarm: SENDs wait, everything else goes on', async () => {
        const gw = await h.gateway();
        const wire = await client(gw, { 'heart-beat': '0,1000' });
        await subscribe(wire, '/topic/alarm');
        await h.rabbitmqctl('set_vm_memory_high_watermark', '0');
        try {
            wire.send('SEND', { destination: '/topic/alarm', receipt: 'first' }, 'first');
            const isBlocked = async () => {
                wire.send('SEND', { destination: '/topic/alarm.probe' }, ''); // the broker blocks who publishes, and no sooner
                return (await gw.metric('stompgate_broker_blocked')) === 1;
            };
            await waitFor(isBlocked, { every: 100, what: 'connection.blocked' });
            wire.send('SEND', { destination: '/topic/alarm', receipt: 'second' }, 'second');
            await subscribe(wire, '/topic/alarm.too', 'too');
            const beats = wire.heartbeats;
            await waitFor(() => wire.heartbeats > beats, { what: 'a heart-beat during the alarm' });
            assert.ok(!wire.frames.some((frame) => frame.headers['receipt-id'] === 'second'));
        } finally {
            await h.rabbitmqctl('set_vm_memory_high_watermark', '0.6');
        }
        await wire.receipt('first');
        await wire.receipt('second');
        await wire.next(message('first'));
        await wire.next(message('second'));
        assert.equal(wire.closed, null);
        await gw.stop();
    });

    test('both connections closed in the UI under load: every receipt comes, no client is closed', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        await subscribe(wire, '/topic/cut');
        for (let i = 0; i < 500; i++) {
            wire.send('SEND', { destination: '/topic/cut', receipt: `k${i}` }, String(i));
            if (i === 200) {
                await cut(gw, 'publish');
            }
            if (i === 300) {
                await cut(gw, 'live');
            }
        }
        for (let i = 0; i < 500; i++) {
            await wire.receipt(`k${i}`);
        }
        assert.equal(wire.closed, null);
        await gw.stop();
    });
});

describe('what an administrator does', () => {
    test('deletes the storage queue and its binding: both put back, and a RECEIPT means stored', async () => {
        const gw = await h.gateway({ route: [{ prefix: '/topic/', store: true }] });
        const wire = await client(gw);
        const queue = gw.config.store.queue;
        await sendAndWait(wire, '/topic/kept', 'one');
        await h.management.delete(`/queues/${h.vhostPath}/${queue}`);
        await gw.waitLog(/topology\.restored.*kind=queue/);
        const bound = async () => (await h.management.get(`/bindings/${h.vhostPath}/e/amq.topic/q/${queue}`)).length > 0;
        await waitFor(bound, { what: 'the queue to be bound again' });
        await sendAndWait(wire, '/topic/kept', 'two');
        await h.management.delete(`/bindings/${h.vhostPath}/e/amq.topic/q/${queue}/%23`);
        await gw.waitLog(/topology\.restored.*kind=binding/);
        await waitFor(bound, { what: 'the binding to be put back' });
        await sendAndWait(wire, '/topic/kept', 'three');
        await waitFor(async () => (await queues(new RegExp(`^${queue}$`)))[0]?.messages === 2, { what: 'two and three in the queue' });
        await gw.stop();
    });

    test('no queue takes a message that must be stored: ERROR no_route, not RECEIPT, until the sweep has put the binding back', async () => {
        // In a virtual host of its own, where no event tells of the deleted binding.
        const alone = await harness({ vhost: true, config: { broker: { sweep_ms: 2000 }, route: [{ prefix: '/topic/', store: true }] } });
        try {
            const gw = await alone.gateway();
            const wire = await client(gw);
            await sendAndWait(wire, '/topic/kept', 'one');
            await alone.management.delete(`/bindings/${alone.vhostPath}/e/amq.topic/q/${gw.config.store.queue}/%23`);
            wire.send('SEND', { destination: '/topic/kept', receipt: 'r' }, 'x');
            const error = await wire.errorFrame();
            assert.equal(error.headers.message, 'no_route');
            assert.equal(error.headers['receipt-id'], 'r');
            await wire.waitClosed();
            await waitFor(
                async () => {
                    const again = await client(gw);
                    again.send('SEND', { destination: '/topic/kept', receipt: 'r' }, 'x');
                    const frame = await again.next((f) => f.command === 'RECEIPT' || f.command === 'ERROR');
                    again.terminate();
                    return frame.command === 'RECEIPT';
                },
                { what: 'the sweep to put the binding back', every: 200 },
            );
        } finally {
            await alone.close();
        }
    });

    test('deletes the fanout exchange that somebody listens to: it and the binding are put back', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const exchange = unique('fan');
        await subscribe(wire, `/fanout/${exchange}`);
        await h.management.delete(`/exchanges/${h.vhostPath}/${exchange}`);
        await waitFor(
            async () => {
                await sendAndWait(wire, `/fanout/${exchange}`, 'back');
                return wire.frames.some(message('back'));
            },
            { what: 'messages to come again', every: 50 },
        );
        await gw.stop();
    });

    test('cannot delete a live queue or its binding: the broker keeps them for the connection of the gateway', async () => {
        const gw = await h.gateway();
        const wire = await client(gw);
        const room = unique('ours.');
        await subscribe(wire, `/topic/${room}`);
        const queue = await liveQueue(gw, 'amq.topic');
        for (const path of [`/bindings/${h.vhostPath}/e/amq.topic/q/${queue}/${room}`, `/queues/${h.vhostPath}/${queue}`]) {
            await assert.rejects(h.management.delete(path), /cannot obtain exclusive access to locked queue/);
        }
        await sendAndWait(wire, `/topic/${room}`, 'heard');
        assert.equal((await wire.next(message('heard'))).headers.gap, undefined);
        await gw.stop();
    });

    for (const [what, words] of [
        ['that nobody makes again', null],
        ['that is made again at once', 'back'],
    ]) {
        test(`deletes an exchange of others ${what}, under shared subscriptions to it: ${words ? 'they go on' : 'ERROR not_found, to these alone'}`, async () => {
            const gw = await h.gateway();
            const name = unique('theirs');
            const make = () => h.management.put(`/exchanges/${h.vhostPath}/${name}`, { type: 'topic' });
            await make();
            h.defer(() => h.management.delete(`/exchanges/${h.vhostPath}/${name}`));
            const listeners = await Promise.all([client(gw), client(gw)]);
            const other = await client(gw);
            await subscribe(other, '/topic/undisturbed');
            for (const wire of listeners) {
                await subscribe(wire, `/exchange/${name}/k`);
                await subscribe(wire, `/exchange/${name}/k`, 'twice');
            }
            await h.management.delete(`/exchanges/${h.vhostPath}/${name}`);
            if (words) {
                await make();
                await waitFor(
                    async () => {
                        await sendAndWait(other, `/exchange/${name}/k`, words);
                        return listeners.every((wire) => ['s', 'twice'].every((id) => wire.frames.some((f) => f.headers.subscription === id)));
                    },
                    { what: 'all of them to hear again', every: 50 },
                );
                assert.ok(listeners.every((wire) => wire.closed === null && wire.frames[0].headers.gap === 'true'));
            } else {
                for (const wire of listeners) {
                    const error = await wire.errorFrame();
                    assert.equal(error.headers.message, 'not_found');
                    assert.ok(['s', 'twice'].includes(error.headers.subscription));
                    assert.equal(error.body, `NOT_FOUND - no exchange '${name}' in vhost '/'`);
                    await wire.waitClosed();
                    assert.equal(wire.closed.code, 1013);
                }
                await make();
                const next = await client(gw);
                await subscribe(next, `/exchange/${name}/k`);
                await sendAndWait(next, `/exchange/${name}/k`, 'anew');
                await next.next(message('anew'));
            }
            await sendAndWait(other, '/topic/undisturbed', 'x');
            await other.next(message('x'));
            await gw.stop();
        });
    }

    test('deletes an exchange of others where the broker tells nothing: ERROR not_found within the sweep', async () => {
        const alone = await harness({ vhost: true, config: { broker: { sweep_ms: 500 }, route: [{ prefix: '/exchange/', send: ['*'], subscribe: ['*'] }] } });
        try {
            await alone.management.put(`/exchanges/${alone.vhostPath}/theirs`, { type: 'direct' });
            const wire = await client(await alone.gateway());
            await subscribe(wire, '/exchange/theirs/k');
            await alone.management.delete(`/exchanges/${alone.vhostPath}/theirs`);
            const error = await wire.errorFrame();
            assert.equal(error.headers.message, 'not_found');
            assert.equal(error.headers.subscription, 's');
            await wire.waitClosed();
        } finally {
            await alone.close();
        }
    });

    test('bind_max: over it the prefix is bound, all rooms hear, also after a reconnect', async () => {
        const gw = await h.gateway({ broker: { bind_max: 20 }, limits: { subscriptions: 256 } });
        const wire = await client(gw);
        const word = unique('many');
        for (let i = 0; i < 100; i++) {
            wire.send('SUBSCRIBE', { id: `m${i}`, destination: `/topic/${word}.${i}`, receipt: `m${i}` });
        }
        for (let i = 0; i < 100; i++) {
            await wire.receipt(`m${i}`);
        }
        const queue = await liveQueue(gw, 'amq.topic');
        const bindings = await h.management.get(`/queues/${h.vhostPath}/${queue}/bindings`);
        assert.ok(bindings.length <= 22, `${bindings.length} bindings`);
        const all = async (text) => {
            for (let i = 0; i < 100; i++) {
                wire.send('SEND', { destination: `/topic/${word}.${i}`, receipt: `${text}${i}` }, text);
            }
            await waitFor(() => new Set(wire.frames.filter(message(text)).map((f) => f.headers.subscription)).size === 100, { what: `100 × ${text}` });
            wire.frames.splice(0);
        };
        await all('first');
        await cut(gw, 'live');
        await waitFor(async () => (await gw.metric('stompgate_gaps_total')) > 0, { what: 'the gap to be seen' });
        await all('second');
        await gw.stop();
    });
});

describe('rights at the broker that are taken away, and given back', () => {
    const ALL = { configure: '.*', write: '.*', read: '.*' };
    const READING = ['/topic/revoked.shared', '/exchange/amq.direct/revoked'];
    let user;
    let gw;
    const rights = (of) => h.management.put(`/permissions/${h.vhostPath}/${user}`, { ...ALL, ...of });

    before(async () => {
        user = unique('user');
        await h.management.put(`/users/${user}`, { password: 'x', tags: '' });
        h.defer(() => h.management.delete(`/users/${user}`));
        await rights();
        gw = await h.gateway({ broker: { user, password: 'x', sweep_ms: 1000 } });
    });

    // Asks until the broker, which remembers what was allowed for a while, refuses: the ERROR.
    const refusal = (ask) =>
        waitFor(
            async () => {
                const wire = await client(gw);
                ask(wire);
                const frame = await wire.next((f) => f.command === 'RECEIPT' || f.command === 'ERROR');
                wire.terminate();
                return frame.command === 'ERROR' && frame;
            },
            { what: 'the broker to refuse it', every: 200, timeout: 90000 },
        );
    const allowed = (ask) =>
        waitFor(
            async () => {
                const wire = await client(gw);
                ask(wire);
                const frame = await wire.next((f) => f.command === 'RECEIPT' || f.command === 'ERROR');
                wire.terminate();
                return frame.command === 'RECEIPT';
            },
            { what: 'it to be allowed again', every: 200, timeout: 90000 },
        );

    test('to write: who publishes hears ERROR access_refused with the receipt, nobody else is touched, and it works again', async () => {
        const listener = await client(gw);
        await subscribe(listener, '/topic/revoked.write');
        const send = (destination) => (wire) => wire.send('SEND', { destination, receipt: 'r' }, 'x');
        await rights({ write: '^(?!amq\\.direct$).*' });
        const error = await refusal(send('/exchange/amq.direct/k'));
        assert.equal(error.headers.message, 'access_refused');
        assert.match(error.body, /^ACCESS_REFUSED - access to exchange 'amq\.direct' in vhost '\/' refused for user/);
        assert.equal(error.headers['receipt-id'], 'r');
        await sendAndWait(listener, '/topic/revoked.write', 'goes on');
        await listener.next(message('goes on'));
        await rights();
        await allowed(send('/exchange/amq.direct/k'));
        await listener.disconnect();
    });

    test('to read: subscribers go on to hear until their connection is cut, and then are told; new ones are refused; it works again', async () => {
        const shared = await client(gw);
        const own = await client(gw);
        const other = await client(gw);
        await subscribe(shared, READING[0]);
        own.send('SUBSCRIBE', { id: 's', destination: READING[1], ack: 'client', receipt: 'own' });
        await own.receipt('own');
        await subscribe(other, '/fanout/revoked.other');
        await rights({ read: '^(?!amq\\.(topic|direct)$).*' });
        for (const destination of READING) {
            const error = await refusal((wire) => wire.send('SUBSCRIBE', { id: 'n', destination: `${destination}.new`, ack: 'client', receipt: 'r' }));
            assert.equal(error.headers.message, 'access_refused');
            assert.equal(error.headers['receipt-id'], 'r');
        }
        // RabbitMQ asks for rights at the binding, not at the message; and the sweep may have told them already.
        for (const [i, wire] of [shared, own].entries()) {
            await sendAndWait(other, READING[i], 'still');
            await wire.next((frame) => frame.command === 'ERROR' || frame.body === 'still').then((frame) => wire.frames.unshift(frame));
        }
        await cut(gw, 'live');
        await cut(gw, 'private 0');
        for (const wire of [shared, own]) {
            const error = await wire.errorFrame();
            assert.equal(error.headers.message, 'access_refused');
            assert.match(error.body, /^ACCESS_REFUSED - access to exchange 'amq\.(topic|direct)' in vhost '\/' refused for user/);
            assert.equal(error.headers.subscription, 's');
            await wire.waitClosed();
            assert.equal(wire.closed.code, 1013);
        }
        await sendAndWait(other, '/fanout/revoked.other', 'undisturbed');
        await other.next(message('undisturbed'));
        await rights();
        for (const destination of READING) {
            await allowed((wire) => wire.send('SUBSCRIBE', { id: 'n', destination, receipt: 'r' }));
        }
        const again = await client(gw);
        await subscribe(again, READING[0]);
        await sendAndWait(again, READING[0], 'back');
        await again.next(message('back'));
    });

    test('those that docs/OPERATIONS.md names are enough', async () => {
        const own = 'stomp-subscription-.*|stomp\\.gen-.*|rights\\..*';
        await rights({
            configure: `^(stompgate\\..*|${own})$`,
            write: `^(stompgate\\..*|amq\\.(topic|default)|${own})$`,
            read: `^(stompgate\\..*|amq\\.(topic|rabbitmq\\.event)|${own})$`,
        });
        const everybody = { send: ['*'], subscribe: ['*'], queues: ['*'] };
        const fresh = await h.gateway({
            broker: { user, password: 'x' },
            route: [{ prefix: '/topic/', store: true, queues: ['*'] }, { prefix: '/queue/', ...everybody }],
        });
        const queue = unique('rights.');
        h.defer(() => h.management.delete(`/queues/${h.vhostPath}/${queue}`));
        const wire = await client(fresh);
        const open = async (id, destination, headers) => {
            wire.send('SUBSCRIBE', { id, destination, receipt: id, ...headers });
            await wire.receipt(id);
        };
        await open('shared', '/topic/rights');
        await open('private', '/topic/rights', { ack: 'client' });
        await open('durable', '/topic/rights', { durable: 'true' });
        await open('queue', `/queue/${queue}`, { ack: 'client' });
        wire.send('SEND', { destination: `/queue/${queue}`, 'reply-to': '/temp-queue/x' }, 'question');
        const question = await wire.next(message('question'));
        await sendAndWait(wire, question.headers['reply-to'], 'answer');
        await wire.next(message('answer'));
        await sendAndWait(wire, '/topic/rights', 'x');
        const ids = await Promise.all([1, 2, 3].map(async () => (await wire.next(message('x'))).headers.subscription));
        assert.deepEqual(ids.sort(), ['durable', 'private', 'shared']);
        await wire.disconnect();
        await fresh.stop();
        await rights();
    });

    test('to configure, and the connection cut: who hears nothing any more is told', async () => {
        const shared = await client(gw);
        await subscribe(shared, '/topic/revoked.shared');
        await rights({ configure: '^$' });
        await cut(gw, 'live');
        const error = await shared.errorFrame({ timeout: 90000 });
        assert.equal(error.headers.message, 'access_refused');
        await shared.waitClosed();
        const later = await refusal((wire) => wire.send('SUBSCRIBE', { id: 'n', destination: '/topic/revoked.later', receipt: 'r' }));
        assert.equal(later.headers.message, 'access_refused');
        assert.equal(later.headers['receipt-id'], 'r');
        await rights();
        await allowed((wire) => wire.send('SUBSCRIBE', { id: 'n', destination: '/topic/revoked.shared', receipt: 'r' }));
        const again = await client(gw);
        await subscribe(again, '/topic/revoked.shared');
        await sendAndWait(again, '/topic/revoked.shared', 'back');
        await again.next(message('back'));
    });
});

describe('on_gap', () => {
    test('close: the subscribers are closed with 1013, others are not', async () => {
        const gw = await h.gateway({ route: [{ prefix: '/topic/', on_gap: 'close' }] });
        const listener = await client(gw);
        const other = await client(gw);
        await subscribe(listener, '/topic/strict');
        await cut(gw, 'live');
        await listener.errorFrame();
        await listener.waitClosed();
        assert.equal(listener.closed.code, 1013);
        assert.equal(other.closed, null);
        await gw.stop();
    });

    test('fill: what was missed while the live connection was away comes from the database, once and in order', async () => {
        const stored = await harness({
            database: true,
            config: { broker: { reconnect_min_ms: 800, reconnect_max_ms: 1000 }, route: [{ prefix: '/topic/', store: true, on_gap: 'fill' }] },
        });
        try {
            await stored.worker();
            const gw = await stored.gateway();
            const other = await stored.gateway();
            const listener = await client(gw);
            const sender = await client(other);
            const destination = unique('/topic/fill.');
            await subscribe(listener, destination);
            for (let i = 0; i < 20; i++) {
                await sendAndWait(sender, destination, String(i));
            }
            await waitFor(() => listener.frames.filter(message()).length === 20);
            await cut(gw, 'live');
            await gw.waitLog(/side=live state=down/);
            for (let i = 20; i < 40; i++) {
                await sendAndWait(sender, destination, String(i));
            }
            await gw.waitLog(/gap\.filled/);
            for (let i = 40; i < 50; i++) {
                await sendAndWait(sender, destination, String(i));
            }
            await waitFor(() => listener.frames.some(message('49')));
            const bodies = listener.frames.filter(message()).map((frame) => Number(frame.body));
            assert.deepEqual(bodies, Array.from({ length: 50 }, (_, i) => i));
            await waitFor(async () => (await gw.metric('stompgate_gap_filled_messages_total')) >= 20, { what: 'the metric to tell' });
        } finally {
            await stored.close();
        }
    });
});
