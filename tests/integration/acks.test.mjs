// Acknowledging, and the channels on which it is done: ack modes, redelivery, prefetch, bounds, and what an error costs, against the
// real broker.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import { ack, client, count, declare, fresh, message, messages, nack, refused, send, subscribe, unsubscribe } from '../lib/private.mjs';

let h;
let gw;
let ann;
before(async () => {
    h = await harness({ config: { route: openRoutes(), broker: { sweep_ms: 1000 } } });
    gw = await h.gateway();
    ann = await client(gw);
});
after(() => h.close());

const numbers = (n) => Array.from({ length: n }, (_, i) => i);

describe('acks', () => {
    // Ten messages, and the wire that got them.
    async function ten(headers) {
        const name = fresh(h, 'ack');
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, headers);
        for (let i = 0; i < 10; i++) {
            wire.send('SEND', { destination: `/queue/${name}` }, `${i}`);
        }
        return { name, wire, got: await messages(wire, 10) };
    }

    // What another subscriber finds in the queue, in order.
    async function left(name, n) {
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { ack: 'client' });
        const found = await messages(wire, n);
        await send(wire, `/queue/${name}`, 'end');
        assert.equal((await message(wire)).body, 'end', 'no more than these');
        return found;
    }

    test('auto: acknowledged when written; nothing comes again', async () => {
        const { name, wire, got } = await ten({});
        assert.deepEqual(got.map((m) => m.body), [...'0123456789']);
        assert.ok(got.every((m) => m.headers.ack === undefined));
        await wire.disconnect();
        assert.deepEqual(await left(name, 0), []);
    });

    test('client: cumulative; what is left goes back, marked redelivered, in order', async () => {
        const { name, wire, got } = await ten({ ack: 'client' });
        assert.ok(got.every((m) => m.headers.redelivered === 'false'));
        await ack(wire, got[3]);
        await wire.disconnect();
        const again = await left(name, 6);
        assert.deepEqual(again.map((m) => m.body), [...'456789']);
        assert.ok(again.every((m) => m.headers.redelivered === 'true'));
    });

    test('client-individual: each alone', async () => {
        const { name, wire, got } = await ten({ ack: 'client-individual' });
        await ack(wire, got[3]);
        await ack(wire, got[7]);
        wire.terminate();
        assert.deepEqual((await left(name, 8)).map((m) => m.body), [...'01245689']);
    });

    test('an ACK that came right before the close still counts', async () => {
        const { name, wire, got } = await ten({ ack: 'client' });
        wire.send('ACK', { id: got[9].headers.ack });
        wire.socket.close();
        await wire.waitClosed();
        assert.deepEqual(await left(name, 0), []);
    });

    test('client: cumulative per subscription, not over the session', async () => {
        const one = fresh(h, 'ack');
        const two = fresh(h, 'ack');
        const wire = await client(gw);
        await subscribe(wire, `/queue/${one}`, { id: '1', ack: 'client' });
        await subscribe(wire, `/queue/${two}`, { id: '2', ack: 'client' });
        await send(wire, `/queue/${one}`, 'a');
        await message(wire, 'a');
        await send(wire, `/queue/${two}`, 'b');
        await ack(wire, await message(wire, 'b'));
        await wire.disconnect();
        assert.deepEqual((await left(one, 1)).map((m) => m.body), ['a']);
        assert.deepEqual(await left(two, 0), []);
    });

    test('NACK: again by default, to the dead letter queue with requeue:false', async () => {
        const dead = fresh(h, 'dead');
        await declare(h, dead, { durable: true });
        const name = fresh(h, 'nack');
        const args = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead };
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { ack: 'client-individual', ...args });
        await send(wire, `/queue/${name}`, 'poison');
        const first = await message(wire, 'poison');
        await nack(wire, first);
        const second = await message(wire, 'poison');
        assert.equal(second.headers.redelivered, 'true');
        await nack(wire, second, { requeue: 'false' });
        await subscribe(wire, `/queue/${dead}`, { id: 'dead' });
        const third = await message(wire, 'poison');
        assert.equal(third.headers.subscription, 'dead');
        assert.equal(third.headers['x-death.0.queue'], name);
        assert.equal(third.headers['x-death.0.reason'], 'rejected');
    });

    test('ACK forms of 1.0 and 1.1: message-id', async () => {
        for (const version of ['1.0', '1.1']) {
            const name = fresh(h, 'ack');
            const wire = await client(gw, { 'accept-version': version });
            await subscribe(wire, `/queue/${name}`, { ack: 'client' });
            await send(wire, `/queue/${name}`, version);
            const got = await message(wire, version);
            assert.equal(got.headers.ack, undefined);
            wire.send('ACK', { 'message-id': got.headers['message-id'], subscription: 's', receipt: 'a' });
            await wire.receipt('a');
            await wire.disconnect();
            assert.deepEqual(await left(name, 0), []);
        }
    });

    test('prefetch-count: no more than that come until they are acknowledged', async () => {
        const name = fresh(h, 'prefetch');
        const wire = await client(gw);
        for (let i = 0; i < 6; i++) {
            wire.send('SEND', { destination: `/queue/${name}` }, `${i}`);
        }
        await subscribe(wire, `/queue/${name}`, { ack: 'client', 'prefetch-count': '2' });
        const [, second] = await messages(wire, 2);
        await subscribe(wire, '/topic/anything', { id: 'later' }); // two round trips: a third would have come
        await waitFor(async () => (await count(h, name)).messages === 4, { what: 'the rest to wait' });
        assert.equal(wire.frames.filter((f) => f.command === 'MESSAGE').length, 0);
        await ack(wire, second);
        assert.deepEqual((await messages(wire, 2)).map((m) => m.body), ['2', '3']);
    });

    test('several subscriptions of one session, two of them to one queue: each MESSAGE says whose it is', async () => {
        const names = [fresh(h, 'many'), fresh(h, 'many'), fresh(h, 'many')];
        const wire = await client(gw);
        for (const [i, name] of names.entries()) {
            await subscribe(wire, `/queue/${name}`, { id: `sub-${i}`, ack: ['auto', 'client', 'client-individual'][i] });
        }
        await subscribe(wire, `/queue/${names[0]}`, { id: 'second' });
        for (let i = 0; i < 60; i++) {
            wire.send('SEND', { destination: `/queue/${names[i % 3]}` }, `${i}`);
        }
        const got = await messages(wire, 60);
        for (const m of got) {
            const queue = Number(m.body) % 3;
            assert.ok(m.headers.subscription === `sub-${queue}` || (queue === 0 && m.headers.subscription === 'second'));
        }
        const shares = ['sub-0', 'second'].map((id) => got.filter((m) => m.headers.subscription === id).length);
        assert.deepEqual(shares, [10, 10], 'they take turns');
        await unsubscribe(wire, 'second');
        await send(wire, `/queue/${names[0]}`, 'last');
        assert.equal((await message(wire, 'last')).headers.subscription, 'sub-0');
    });
});

describe('channels and connections', () => {
    test('are bounded: the session too many is told, and has its turn when another has left', async () => {
        const small = await h.gateway({ broker: { private_channels: 2, private_connections: 2 } });
        const name = fresh(h, 'bound');
        const wires = [];
        for (let i = 0; i < 4; i++) {
            wires.push(await client(small));
            await subscribe(wires[i], `/queue/${name}`, { ack: 'client' });
        }
        const tooMany = await client(small);
        const error = await refused(tooMany, 'SUBSCRIBE', { id: 's', destination: `/queue/${name}`, receipt: 'r' });
        assert.equal(error.headers.message, 'resource_error');
        assert.equal(error.headers['receipt-id'], 'r');
        const shared = await client(small);
        await subscribe(shared, '/topic/shared'); // what needs no channel of its own is not refused
        await wires[1].disconnect();
        const next = await client(small);
        await subscribe(next, `/queue/${name}`);
        const names = async () =>
            (await h.management.get('/connections')).map((c) => c.client_properties?.connection_name).filter((n) => n?.includes(`${small.config.gateway.name}.0 private`));
        await waitFor(async () => (await names()).length === 2, { what: 'two connections in the API' });
        await small.stop();
    });

    test('SIGTERM: what was acknowledged stays so, the rest goes back', async () => {
        const going = await h.gateway();
        const name = fresh(h, 'term');
        const wire = await client(going);
        await subscribe(wire, `/queue/${name}`, { ack: 'client-individual' });
        for (const body of ['a', 'b', 'c']) {
            await send(wire, `/queue/${name}`, body);
        }
        const [, b] = await messages(wire, 3);
        await ack(wire, b);
        await going.stop();
        const reader = await client(gw);
        await subscribe(reader, `/queue/${name}`, { ack: 'client' });
        assert.deepEqual((await messages(reader, 2)).map((m) => m.body), ['a', 'c']);
    });

    test('RECEIPT of SUBSCRIBE comes before the first MESSAGE, however many wait', async () => {
        const names = numbers(5).map(() => fresh(h, 'order'));
        for (const name of names) {
            for (let i = 0; i < 20; i++) {
                ann.send('SEND', { destination: `/queue/${name}` }, `${i}`);
            }
        }
        await send(ann, '/topic/nobody', 'a round trip');
        const wire = await client(gw);
        for (const [i, name] of names.entries()) {
            wire.send('SUBSCRIBE', { id: `${i}`, destination: `/queue/${name}`, receipt: `r${i}` });
        }
        await waitFor(() => wire.frames.length === 105, { what: 'five RECEIPTs and a hundred MESSAGEs' });
        for (let i = 0; i < 5; i++) {
            const receipt = wire.frames.findIndex((f) => f.headers['receipt-id'] === `r${i}`);
            const first = wire.frames.findIndex((f) => f.headers.subscription === `${i}`);
            assert.ok(receipt >= 0 && receipt < first, `subscription ${i}: RECEIPT at ${receipt}, MESSAGE at ${first}`);
        }
    });
});

describe('a channel error', () => {
    test('costs its session alone, whoever shares its AMQP connection', async () => {
        const name = fresh(h, 'innocent');
        const innocent = await client(gw);
        await subscribe(innocent, `/queue/${name}`, { ack: 'client' });
        const before = await gw.metrics();
        for (let i = 0; i < 5; i++) {
            const wire = await client(gw);
            await refused(wire, 'SUBSCRIBE', { id: 's', destination: `/amq/queue/${unique('none')}` });
            await wire.waitClosed();
        }
        await send(ann, `/queue/${name}`, 'undisturbed');
        const got = await message(innocent, 'undisturbed');
        assert.equal(got.headers.redelivered, 'false');
        await ack(innocent, got);
        const label = `{reactor="0"}`;
        const gone = async (metric) => (await gw.metrics())[`stompgate_${metric}${label}`] - before[`stompgate_${metric}${label}`];
        await waitFor(async () => (await gone('private_channel_errors_total')) === 5, { what: 'five errors to be counted' });
        assert.equal(await gone('broker_connects_total'), 0);
    });

    test('whatever a SUBSCRIBE or SEND asks for: an ERROR or not, but never a closed connection', async () => {
        const name = fresh(h, 'innocent');
        const innocent = await client(gw);
        await subscribe(innocent, `/queue/${name}`, { ack: 'client' });
        const connects = await gw.metric('stompgate_broker_connects_total');
        const restored = await gw.metric('stompgate_private_restored_total');
        const odd = [
            { 'x-queue-type': 'nonsense' },
            { 'x-queue-type': 'quorum', 'x-max-priority': '5' },
            { 'x-queue-type': 'quorum', exclusive: 'true', durable: 'false' },
            { 'x-queue-type': 'quorum', 'x-queue-mode': 'lazy' },
            { 'x-queue-type': 'stream', 'x-max-age': 'soon' },
            { 'x-queue-type': 'stream', 'x-max-age': 'soon', 'prefetch-count': '5', durable: 'true' },
            { 'x-queue-type': 'stream', 'x-max-age': '', 'prefetch-count': '5', durable: 'true' },
            { 'x-queue-type': 'stream', 'x-max-length': '5' },
            { 'x-queue-type': 'stream', 'x-stream-offset': 'never' },
            { 'x-queue-type': 'stream', ack: 'auto' },
            { 'x-queue-type': 'stream', 'prefetch-count': '0' },
            { 'x-stream-offset': 'first' },
            { 'x-stream-offset': 'timestamp=99999999999999' },
            { 'x-max-priority': '300' },
            { 'x-max-priority': '-1' },
            { 'x-message-ttl': '-1' },
            { 'x-message-ttl': '99999999999999999999' },
            { 'x-expires': '0' },
            { 'x-max-length': '-5' },
            { 'x-overflow': 'spill' },
            { 'x-queue-mode': 'hasty' },
            { 'x-queue-master-locator': 'nowhere' },
            { 'x-queue-master-locator': 'balanced' },
            { 'x-queue-master-locator': 'min-masters' },
            { 'x-queue-type': 'quorum', 'x-queue-leader-locator': 'nowhere' },
            { 'x-queue-type': 'quorum', 'x-queue-leader-locator': 'min-masters' },
            { 'x-queue-type': 'quorum', 'x-quorum-initial-group-size': '0' },
            { 'x-queue-type': 'stream', 'x-queue-leader-locator': 'random' },
            { 'x-queue-type': 'stream', 'x-initial-cluster-size': '-3' },
            { 'x-queue-type': 'stream', 'x-stream-max-segment-size-bytes': '-1' },
            { 'x-dead-letter-routing-key': 'alone' },
            { 'x-dead-letter-exchange': 'x'.repeat(300) },
            { 'x-single-active-consumer': 'maybe' },
            { 'x-delivery-limit': '3' },
            { 'x-priority': '9999999999' },
            { 'x-cancel-on-ha-failover': 'true' },
            { 'x-consumer-timeout': 'abc' },
            { 'x-anything': 'at all', 'x-number': '9223372036854775807', 'x-flag': 'true' },
            { durable: 'false', exclusive: 'false', 'auto-delete': 'false' },
            { 'x-queue-name': 'amq.gen-mine' },
            { 'x-queue-name': 'ü'.repeat(100) },
            { 'x-match': 'all', 'x-bind-a': 'b' },
        ];
        for (const destination of [() => `/queue/${fresh(h, 'odd')}`, () => '/topic/odd', () => '/exchange/amq.headers/x']) {
            for (const headers of odd) {
                const wire = await client(gw);
                wire.send('SUBSCRIBE', { id: 's', ack: 'client', receipt: 'r', destination: destination(), ...headers });
                const first = await wire.next((frame) => frame.command === 'ERROR' || frame.command === 'RECEIPT');
                assert.doesNotMatch(first.body, /INTERNAL_ERROR/, JSON.stringify(headers));
                wire.terminate();
                const sender = await client(gw); // the other may have had its ERROR, and close
                sender.send('SEND', { receipt: 'q', destination: destination(), ...headers }, 'x');
                const answer = await sender.next((frame) => frame.headers['receipt-id'] === 'q');
                assert.doesNotMatch(answer.body, /INTERNAL_ERROR/, JSON.stringify(headers));
                sender.terminate();
            }
        }
        await send(ann, `/queue/${name}`, 'undisturbed');
        assert.equal((await message(innocent, 'undisturbed')).headers.redelivered, 'false');
        await waitFor(async () => (await gw.metric('stompgate_private_channels')) >= 1, { what: 'fresh figures' });
        assert.equal(await gw.metric('stompgate_broker_connects_total'), connects);
        assert.equal(await gw.metric('stompgate_private_restored_total'), restored);
    });

    test('of a session that is kept (error_close = false) restores its other subscriptions', async () => {
        const patient = await h.gateway({ stomp: { error_close: false } });
        const name = fresh(h, 'kept');
        const wire = await client(patient);
        await subscribe(wire, `/queue/${name}`, { id: 'good', ack: 'client' });
        await send(wire, `/queue/${name}`, 'unacked');
        await message(wire, 'unacked');
        await refused(wire, 'SUBSCRIBE', { id: 'bad', destination: '/amq/queue/nobody.knows' });
        const again = await message(wire, 'unacked');
        assert.equal(again.headers.redelivered, 'true');
        assert.equal(again.headers.gap, undefined);
        await ack(wire, again);
        await send(wire, `/queue/${name}`, 'more');
        await message(wire, 'more');
        await wire.disconnect();
        await patient.stop();
    });
});
