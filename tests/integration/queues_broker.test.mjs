// Private subscriptions when the broker or an administrator takes something away: queues, bindings, exchanges, connections, the whole
// broker. Restored, or told; never silently dead.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import { ack, client, count, cut, fresh, message, messages, queueInfo, send, subscribe } from '../lib/private.mjs';

let h;
let gw;
let ann;
before(async () => {
    h = await harness({
        config: { route: openRoutes(), broker: { sweep_ms: 1000, reconnect_min_ms: 50, reconnect_max_ms: 300, linger_ms: 300 } },
    });
    gw = await h.gateway();
    ann = await client(gw);
});
after(() => h.close());

const deleteQueue = (name) => h.management.delete(`/queues/${h.vhostPath}/${name}`);

// Sends until one arrives; gives that. What was sent before the binding stood again is lost, and the first one that comes says so.
async function firstAgain(wire, destination) {
    let n = 0;
    const is = (frame) => frame.command === 'MESSAGE' && frame.body.startsWith('again');
    await waitFor(
        async () => {
            await send(ann, destination, `again ${n++}`);
            return wire.frames.some(is);
        },
        { every: 50, what: 'a message again' },
    );
    return wire.next(is);
}

describe('an administrator deletes', () => {
    test('a queue that we declared: it is declared again, and the next message says gap', async () => {
        const name = fresh(h);
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { ack: 'client' });
        await send(ann, `/queue/${name}`, 'one');
        await ack(wire, await message(wire, 'one'));
        await deleteQueue(name);
        await waitFor(async () => (await count(h, name))?.consumers === 1, { what: 'queue and consumer again' });
        await send(ann, `/queue/${name}`, 'two');
        const next = await message(wire, 'two');
        assert.equal(next.headers.gap, 'true');
        await ack(wire, next);
        await send(ann, `/queue/${name}`, 'three');
        assert.equal((await message(wire, 'three')).headers.gap, undefined);
        await gw.waitLog(new RegExp(`private\\.queue_gone .*queue=${name}`));
    });

    test('a queue between two SENDs: the second one declares it again', async () => {
        const name = fresh(h);
        await send(ann, `/queue/${name}`, 'one');
        await deleteQueue(name);
        await send(ann, `/queue/${name}`, 'two');
        assert.equal((await count(h, name)).messages, 1);
    });

    test('a queue that had to exist: ERROR "Server cancelled subscription"', async () => {
        const name = fresh(h);
        await h.management.put(`/queues/${h.vhostPath}/${name}`, { durable: true });
        const wire = await client(gw);
        await subscribe(wire, `/amq/queue/${name}`);
        await deleteQueue(name);
        const error = await wire.errorFrame();
        assert.equal(error.headers.message, 'Server cancelled subscription');
        assert.equal(error.headers.subscription, 's');
        await wire.waitClosed();
    });

    test('the queue of a subscription to a topic: restored with its binding', async () => {
        const key = unique('own.');
        const name = fresh(h, 'own');
        const wire = await client(gw);
        await subscribe(wire, `/topic/${key}`, { 'x-queue-name': name });
        await deleteQueue(name);
        const next = await firstAgain(wire, `/topic/${key}`);
        assert.equal(next.headers.gap, 'true');
    });

    test('a binding: back within the sweep, or at once where the broker tells of it', async () => {
        const key = unique('bound.');
        const name = fresh(h, 'bound');
        const wire = await client(gw);
        await subscribe(wire, `/topic/${key}`, { 'x-queue-name': name });
        const [binding] = await h.management.get(`/bindings/${h.vhostPath}/e/amq.topic/q/${name}`);
        await h.management.delete(`/bindings/${h.vhostPath}/e/amq.topic/q/${name}/${binding.properties_key}`);
        await firstAgain(wire, `/topic/${key}`);
    });

    test('an exchange that we declare (/fanout/N): back with its binding', async () => {
        const name = unique('fan');
        const wire = await client(gw);
        await subscribe(wire, `/fanout/${name}`, { ack: 'client' });
        await send(ann, `/fanout/${name}`, 'before');
        await message(wire, 'before');
        await h.management.delete(`/exchanges/${h.vhostPath}/${name}`);
        await firstAgain(wire, `/fanout/${name}`);
        assert.equal(wire.closed, null);
    });

    test('an exchange that somebody else declared: ERROR with the words of the broker, to those bound to it alone', async () => {
        const name = unique('theirs');
        await h.management.put(`/exchanges/${h.vhostPath}/${name}`, { type: 'topic' });
        const other = await client(gw);
        const queue = fresh(h);
        await subscribe(other, `/queue/${queue}`, { ack: 'client' });
        const wire = await client(gw);
        await subscribe(wire, `/exchange/${name}/k`, { ack: 'client' });
        await h.management.delete(`/exchanges/${h.vhostPath}/${name}`);
        const error = await wire.errorFrame();
        assert.equal(error.headers.message, 'not_found');
        assert.match(error.body, new RegExp(`no exchange '${name}' in vhost`));
        await send(ann, `/queue/${queue}`, 'undisturbed');
        assert.equal((await message(other, 'undisturbed')).headers.redelivered, 'false');
    });

    test('the AMQP connection "private": subscriptions are put back, unacknowledged messages come again', async () => {
        const name = fresh(h);
        const key = unique('cut.');
        const wire = await client(gw);
        const receipts = await client(gw);
        await subscribe(wire, `/queue/${name}`, { id: 'queue', ack: 'client' });
        await subscribe(wire, `/topic/${key}`, { id: 'topic', ack: 'client' });
        await send(ann, `/queue/${name}`, 'acked');
        await ack(wire, await message(wire, 'acked'));
        await send(ann, `/queue/${name}`, 'unacked');
        const old = await message(wire, 'unacked');
        await cut(h, gw, 'private 0');
        const again = await message(wire, 'unacked');
        assert.equal(again.headers.redelivered, 'true');
        assert.equal(again.headers.gap, undefined, 'a durable queue lost nothing');
        assert.equal(again.headers.subscription, 'queue');
        wire.send('ACK', { id: old.headers.ack }); // of the lost channel: not to be told to the broker, no mistake of the client
        await ack(wire, again);
        const next = await firstAgain(wire, `/topic/${key}`);
        assert.equal(next.headers.gap, 'true', 'an exclusive queue died with its connection');
        await wire.disconnect();
        assert.equal((await count(h, name)).messages, 0);
        await receipts.disconnect();
    });

    test('the same, of a queue and a stream that had to exist, when messages of both look like a stream\'s', async () => {
        const [name, real] = [fresh(h), fresh(h)];
        const wire = await client(gw);
        const channel = await (await h.amqp()).createChannel();
        await channel.assertQueue(name, { durable: true });
        await channel.assertQueue(real, { durable: true, arguments: { 'x-queue-type': 'stream' } });
        const headers = { 'x-stream-offset': 7 };
        channel.sendToQueue(name, Buffer.from('taken from a stream'), { headers });
        for (const [id, queue] of Object.entries({ a: name, b: real })) {
            await subscribe(wire, `/amq/queue/${queue}`, { id, ack: 'client-individual' });
        }
        await message(wire, 'taken from a stream');
        for (const body of ['one', 'two', 'three']) {
            await send(ann, `/amq/queue/${real}`, body);
        }
        await ack(wire, await message(wire, 'one'));
        await message(wire, 'two');
        await message(wire, 'three');
        await cut(h, gw, 'private 0');
        assert.equal((await message(wire, 'taken from a stream')).headers.redelivered, 'true');
        await message(wire, 'two'); // the stream is read on at the oldest that was not acknowledged
        await message(wire, 'three');
        channel.sendToQueue(name, Buffer.from('more'), { headers });
        await ack(wire, await message(wire, 'more'));
        await wire.disconnect();
    });

    test('a durable subscription under a stream of messages, cut twice: none lost, order kept', async () => {
        const name = fresh(h);
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { ack: 'client-individual' });
        const total = 400;
        const first = new Map();
        let cuts = 0;
        let failed;
        const sending = (async () => {
            for (let i = 0; i < total; i++) {
                await send(ann, `/queue/${name}`, `${i}`);
            }
        })().catch((error) => (failed = error));
        while (first.size < total) {
            const got = await message(wire);
            if (!first.has(got.body)) {
                first.set(got.body, first.size);
            }
            wire.send('ACK', { id: got.headers.ack });
            if (cuts < 2 && first.size >= (cuts + 1) * 120) {
                cuts++;
                await cut(h, gw, 'private 0');
            }
        }
        await sending;
        assert.equal(failed, undefined);
        assert.deepEqual([...first.keys()], Array.from({ length: total }, (_, i) => `${i}`), 'first seen in order');
    });
});

describe('the broker', () => {
    test('restarts: durable queues keep what was not acknowledged, every subscription is put back', async () => {
        const name = fresh(h);
        const key = unique('restart.');
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { id: 'queue', ack: 'client' });
        await subscribe(wire, `/topic/${key}`, { id: 'topic', ack: 'client' });
        for (let i = 0; i < 3; i++) {
            await send(ann, `/queue/${name}`, `${i}`, { persistent: 'true' });
        }
        const [, second] = await messages(wire, 3);
        await ack(wire, second);
        h.counter = undefined;
        await h.services('restart-rabbit');
        const again = await message(wire, '2', { timeout: 60000 });
        assert.equal(again.headers.redelivered, 'true');
        await send(ann, `/queue/${name}`, 'after');
        await message(wire, 'after');
        const next = await firstAgain(wire, `/topic/${key}`);
        assert.equal(next.headers.gap, 'true');
        assert.equal(next.headers.subscription, 'topic');
        await wire.disconnect();
        await waitFor(async () => (await queueInfo(h, name))?.consumers === 0, { what: 'no consumer' });
    });
});

describe('where the broker tells nothing (a virtual host without amq.rabbitmq.event)', () => {
    let own;
    let there;
    before(async () => {
        own = await harness({ vhost: true, config: { route: openRoutes(), broker: { sweep_ms: 500 } } });
        there = await own.gateway();
    });
    after(() => own.close());

    async function again(wire, destination) {
        const sender = await client(there);
        let n = 0;
        const is = (frame) => frame.command === 'MESSAGE' && frame.body.startsWith('again');
        await waitFor(
            async () => {
                await send(sender, destination, `again ${n++}`);
                return wire.frames.some(is);
            },
            { every: 50, what: 'a message again' },
        );
    }

    test('a binding is back within the sweep', async () => {
        const wire = await client(there);
        await subscribe(wire, '/topic/swept', { 'x-queue-name': 'swept' });
        const [binding] = await own.management.get(`/bindings/${own.vhostPath}/e/amq.topic/q/swept`);
        await own.management.delete(`/bindings/${own.vhostPath}/e/amq.topic/q/swept/${binding.properties_key}`);
        await again(wire, '/topic/swept');
    });

    test('an exchange that we declare is back within the sweep, with what is bound to it', async () => {
        const wire = await client(there);
        await subscribe(wire, '/fanout/swept', { ack: 'client' });
        await own.management.delete(`/exchanges/${own.vhostPath}/swept`);
        await again(wire, '/fanout/swept');
    });

    test('an exchange of others: ERROR not_found within the sweep', async () => {
        await own.management.put(`/exchanges/${own.vhostPath}/theirs`, { type: 'topic' });
        const wire = await client(there);
        await subscribe(wire, '/exchange/theirs/k', { ack: 'client' });
        await own.management.delete(`/exchanges/${own.vhostPath}/theirs`);
        assert.equal((await wire.errorFrame()).headers.message, 'not_found');
    });
});
