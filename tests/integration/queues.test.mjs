// Private subscriptions against the real broker: every kind of destination, what stands in the management API, ack modes, redelivery,
// prefetch, durable subscriptions, request and reply, and what a refusal costs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import { ack, client, count, message, messages, nack, queueInfo, refused, send, subscribe, unsubscribe } from '../lib/private.mjs';

let h;
let gw;
let ann;
before(async () => {
    h = await harness({ config: { route: openRoutes(), broker: { sweep_ms: 1000 } } });
    gw = await h.gateway();
    ann = await client(gw);
});
after(() => h.close());

// A queue that the test made and that goes with it.
async function declare(name, options = {}) {
    const connection = await h.amqp();
    const channel = await connection.createChannel();
    await channel.assertQueue(name, options);
    h.defer(() => h.management.delete(`/queues/${h.vhostPath}/${encodeURIComponent(name)}`).catch(() => {}));
    return channel;
}

const numbers = (n) => Array.from({ length: n }, (_, i) => i);

// A name for a queue that the gateway makes; deleted at the end.
function fresh(prefix = 'q') {
    const name = unique(prefix);
    h.defer(() => h.management.delete(`/queues/${h.vhostPath}/${name}`).catch(() => {}));
    return name;
}

describe('destinations', () => {
    for (const spell of [(name) => `/queue/${name}`, (name) => name]) {
        test(`${spell('N')}: SEND and SUBSCRIBE declare a durable queue, and it outlives them`, async () => {
            const name = fresh();
            const wire = await client(gw);
            await send(wire, spell(name), 'before');
            await subscribe(wire, spell(name));
            const first = await message(wire, 'before');
            assert.equal(first.headers.destination, spell(name));
            assert.equal(first.headers.subscription, 's');
            await send(wire, spell(name), 'after');
            await message(wire, 'after');
            await wire.disconnect();
            const info = await queueInfo(h, name);
            assert.deepEqual([info.durable, info.auto_delete, info.exclusive], [true, false, false]);
            await waitFor(async () => (await count(h, name)).messages === 0, { what: 'both to be acknowledged' });
        });
    }

    test('/amq/queue/N: exists, or ERROR with the words of the broker', async () => {
        const name = unique('amq');
        await declare(name, { durable: false });
        const wire = await client(gw);
        await subscribe(wire, `/amq/queue/${name}`);
        await send(wire, `/amq/queue/${name}`, 'there');
        await message(wire, 'there');
        const error = await refused(wire, 'SUBSCRIBE', { id: 't', destination: '/amq/queue/nobody.knows', receipt: 'r' });
        assert.equal(error.headers.message, 'not_found');
        assert.match(error.body, /^NOT_FOUND - no queue 'nobody\.knows' in vhost '\/'/);
        assert.equal(error.headers['receipt-id'], 'r');
        await wire.waitClosed();
        const sender = await client(gw);
        const returned = await refused(sender, 'SEND', { destination: '/amq/queue/nobody.knows', receipt: 'r' }, 'lost');
        assert.equal(returned.headers['receipt-id'], 'r');
    });

    test('/exchange/X/K and /topic/K with client acks: a queue of its own, exclusive, gone with the session', async () => {
        const wire = await client(gw);
        await subscribe(wire, '/topic/own.*', { ack: 'client' });
        await subscribe(wire, '/exchange/amq.direct/own', { id: 'x', ack: 'client-individual' });
        await send(ann, '/topic/own.a', 'topic');
        await send(ann, '/exchange/amq.direct/own', 'direct');
        assert.equal((await message(wire, 'topic')).headers.subscription, 's');
        const direct = await message(wire, 'direct');
        assert.equal(direct.headers.subscription, 'x');
        assert.equal(direct.headers.destination, '/exchange/amq.direct/own');
        const names = async () => (await h.management.get(`/bindings/${h.vhostPath}`)).filter((b) => /^own(\.\*)?$/.test(b.routing_key));
        const bound = await names();
        assert.equal(bound.length, 2);
        assert.ok(bound.every((b) => b.destination.startsWith('stomp-subscription-')));
        await wire.disconnect();
        await waitFor(async () => (await names()).length === 0, { what: 'both queues to go' });
    });

    test('/exchange/X of type headers: x-match and x-bind-… bind by headers', async () => {
        const name = unique('headers');
        await h.management.put(`/exchanges/${h.vhostPath}/${name}`, { type: 'headers' });
        h.defer(() => h.management.delete(`/exchanges/${h.vhostPath}/${name}`));
        const wire = await client(gw);
        await subscribe(wire, `/exchange/${name}`, { ack: 'client', 'x-match': 'all', 'x-bind-kind': 'a', 'x-bind-size': 'l' });
        await send(ann, `/exchange/${name}`, 'half', { kind: 'a', size: 's' });
        await send(ann, `/exchange/${name}`, 'whole', { kind: 'a', size: 'l' });
        assert.equal((await message(wire)).body, 'whole');
    });

    test('/exchange/X that is not there: ERROR not_found, and the other subscriptions of others go on', async () => {
        const name = fresh();
        const other = await client(gw);
        await subscribe(other, `/queue/${name}`, { ack: 'client' });
        const wire = await client(gw);
        const error = await refused(wire, 'SUBSCRIBE', { id: 's', destination: '/exchange/not.there/k', ack: 'client', receipt: 'r' });
        assert.equal(error.headers.message, 'not_found');
        assert.match(error.body, /no exchange 'not\.there' in vhost '\/'/);
        await wire.waitClosed();
        await send(ann, `/queue/${name}`, 'still');
        const delivered = await message(other, 'still');
        assert.equal(delivered.headers.redelivered, 'false');
        await ack(other, delivered);
    });

    test('request and reply between clients of two gateways', async () => {
        const second = await h.gateway();
        const name = fresh('rpc');
        const server = await client(second);
        await subscribe(server, `/queue/${name}`, { ack: 'client' });
        const asker = await client(gw);
        for (const round of ['1', '2']) {
            asker.send('SEND', { destination: `/queue/${name}`, 'reply-to': '/temp-queue/answers', 'correlation-id': round }, `question ${round}`);
            const question = await message(server, `question ${round}`);
            assert.match(question.headers['reply-to'], /^\/reply-queue\/stomp\.gen-[\w-]{22}$/);
            await send(server, question.headers['reply-to'], `answer ${round}`, { 'correlation-id': question.headers['correlation-id'] });
            await ack(server, question);
            const answer = await message(asker, `answer ${round}`);
            assert.equal(answer.headers.subscription, '/temp-queue/answers');
            assert.equal(answer.headers['correlation-id'], round);
            assert.equal(`/reply-queue/${answer.headers.destination.slice('/queue/'.length)}`, question.headers['reply-to']);
        }
        await asker.disconnect();
        await second.stop();
    });
});

describe('queues as they stand at the broker', () => {
    test('x-… headers become arguments of the right type, on SEND and on SUBSCRIBE', async () => {
        const args = {
            'x-message-ttl': 600000,
            'x-max-length': 1000,
            'x-overflow': 'reject-publish',
            'x-dead-letter-exchange': '',
            'x-dead-letter-routing-key': 'nowhere',
            'x-single-active-consumer': true,
            'x-max-priority': 5,
            'x-queue-mode': 'lazy',
        };
        const bySend = fresh('args');
        const bySubscribe = fresh('args');
        const wire = await client(gw);
        await send(wire, `/queue/${bySend}`, 'x', args);
        await subscribe(wire, `/queue/${bySubscribe}`, { ...args, 'auto-delete': 'true' });
        assert.deepEqual((await queueInfo(h, bySend)).arguments, args);
        const info = await queueInfo(h, bySubscribe);
        assert.deepEqual(info.arguments, args);
        assert.equal(info.auto_delete, true);
        await wire.disconnect();
        await waitFor(async () => (await count(h, bySubscribe)) === null, { what: 'the auto-delete queue to go' });
    });

    test('another declaration of the same queue: ERROR precondition_failed, and the session alone is closed', async () => {
        const name = fresh();
        await send(ann, `/queue/${name}`, 'x');
        for (const [command, extra] of [['SUBSCRIBE', { id: 's' }], ['SEND', {}]]) {
            const wire = await client(gw);
            const error = await refused(wire, command, { destination: `/queue/${name}`, 'x-max-length': '7', receipt: 'r', ...extra });
            assert.equal(error.headers.message, 'precondition_failed');
            assert.match(error.body, /^PRECONDITION_FAILED - inequivalent arg 'x-max-length'/);
            assert.equal(error.headers['receipt-id'], 'r');
            await wire.waitClosed();
        }
        await send(ann, `/queue/${name}`, 'y');
    });

    test('a SUBSCRIBE that shaped its queue is not contradicted by the SENDs of its session', async () => {
        const name = fresh();
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { 'auto-delete': 'true', 'x-message-ttl': '60000' });
        await send(wire, `/queue/${name}`, 'mine');
        await message(wire, 'mine');
    });

    test('a SEND that shaped its queue is not contradicted by the SUBSCRIBE and the SENDs of its session', async () => {
        const name = fresh();
        const wire = await client(gw);
        await send(wire, `/queue/${name}`, 'one', { 'x-max-length': '5' });
        await subscribe(wire, `/queue/${name}`);
        await message(wire, 'one');
        await unsubscribe(wire);
        await send(wire, `/queue/${name}`, 'two');
        assert.equal((await queueInfo(h, name)).arguments['x-max-length'], 5);
    });

    test('UNSUBSCRIBE and SUBSCRIBE in one write, with the same id: the consumer is the new one', async () => {
        const names = [fresh(), fresh()];
        const wire = await client(gw);
        await subscribe(wire, `/queue/${names[0]}`);
        for (let i = 1; i <= 50; i++) {
            wire.send('UNSUBSCRIBE', { id: 's' });
            wire.send('SUBSCRIBE', { id: 's', destination: `/queue/${names[i % 2]}` });
        }
        await send(wire, `/queue/${names[0]}`, 'x');
        assert.equal((await message(wire)).body, 'x');
        await waitFor(async () => (await count(h, names[0])).consumers === 1 && (await count(h, names[1])).consumers === 0, {
            what: 'one consumer in all',
        });
    });

    test('exclusive: locked for others of the same gateway and of another, deleted when its session leaves', async () => {
        const second = await h.gateway();
        const name = unique('excl');
        const owner = await client(gw);
        await subscribe(owner, `/queue/${name}`, { exclusive: 'true' });
        for (const [gateway, destination] of [[gw, `/queue/${name}`], [gw, `/amq/queue/${name}`], [second, `/amq/queue/${name}`]]) {
            const wire = await client(gateway);
            const error = await refused(wire, 'SUBSCRIBE', { id: 's', destination, exclusive: 'true', receipt: 'r' });
            assert.equal(error.headers.message, 'resource_locked', destination);
            assert.match(error.body, /^RESOURCE_LOCKED - cannot obtain exclusive access to locked queue/);
        }
        await send(owner, `/queue/${name}`, 'mine');
        await message(owner, 'mine');
        await owner.disconnect();
        // at once: who comes right after it waits for the deletion
        const next = await client(gw);
        await subscribe(next, `/queue/${name}`, { exclusive: 'true' });
        await send(next, `/queue/${name}`, 'fresh');
        await message(next, 'fresh');
        next.terminate();
        await waitFor(async () => (await queueInfo(h, name)) === null, { what: 'the exclusive queue to go' });
        await second.stop();
    });

    test('a SUBSCRIBE that fails behind its declaration leaves no queue behind', async () => {
        // x-match is wrong, which the broker finds out when the queue that was just declared is bound
        const exchange = unique('headers');
        await h.management.put(`/exchanges/${h.vhostPath}/${exchange}`, { type: 'x-consistent-hash' }).catch(() => {});
        for (const flags of [{ exclusive: 'true', 'auto-delete': 'false' }, { exclusive: 'false', 'auto-delete': 'true' }]) {
            const name = unique('left');
            const wire = await client(gw);
            const error = await refused(wire, 'SUBSCRIBE', {
                id: 's',
                destination: '/exchange/amq.rabbitmq.trace/left',
                'x-queue-name': name,
                ack: 'client',
                ...flags,
            });
            assert.ok(error.headers.message);
            await wire.waitClosed();
            await waitFor(async () => (await queueInfo(h, name)) === null, { what: 'no queue' });
        }
    });

    test('quorum: durable, client acks, x-delivery-limit', async () => {
        const name = fresh('quorum');
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { 'x-queue-type': 'quorum', 'x-delivery-limit': '2', ack: 'client-individual' });
        await send(wire, `/queue/${name}`, 'again', { 'x-queue-type': 'quorum', 'x-delivery-limit': '2' });
        await nack(wire, await message(wire, 'again'), { requeue: 'true' });
        const second = await message(wire, 'again');
        assert.equal(second.headers.redelivered, 'true');
        assert.equal(second.headers['x-delivery-count'], '1');
        await ack(wire, second);
        const info = await queueInfo(h, name);
        assert.equal(info.arguments['x-queue-type'], 'quorum');
        assert.equal(info.arguments['x-delivery-limit'], 2);
    });

    test('stream: x-stream-offset reads it again from the start, or from the end', async () => {
        const name = fresh('stream');
        const stream = { 'x-queue-type': 'stream' };
        const bodies = Array.from({ length: 50 }, (_, i) => `${i}`);
        for (const body of bodies) {
            ann.send('SEND', { destination: `/queue/${name}`, ...stream }, body);
        }
        await send(ann, `/queue/${name}`, 'last', stream);
        for (let round = 0; round < 2; round++) {
            const wire = await client(gw);
            await subscribe(wire, `/queue/${name}`, { ...stream, ack: 'client-individual', 'prefetch-count': '10', 'x-stream-offset': 'first' });
            for (const body of [...bodies, 'last']) {
                const next = await message(wire);
                assert.equal(next.body, body);
                wire.send('ACK', { id: next.headers.ack });
            }
            await wire.disconnect();
        }
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { ...stream, ack: 'client', 'prefetch-count': '10', 'x-stream-offset': 'next' });
        await send(ann, `/queue/${name}`, 'new', stream);
        assert.equal((await message(wire)).body, 'new');
    });

    test('stream: a NACK and an UNSUBSCRIBE in the middle cost nobody the connection', async () => {
        const [name, other] = [fresh('stream'), fresh()];
        const stream = { 'x-queue-type': 'stream' };
        const [wire, neighbour] = [await client(gw), await client(gw)];
        await subscribe(neighbour, `/queue/${other}`, { ack: 'client' });
        await send(ann, `/queue/${other}`, 'kept');
        const kept = await message(neighbour, 'kept');
        await subscribe(wire, `/queue/${name}`, { ...stream, ack: 'client', 'prefetch-count': '10', 'x-stream-offset': 'first' });
        for (let i = 0; i < 100; i++) {
            ann.send('SEND', { destination: `/queue/${name}`, ...stream }, `${i}`);
        }
        const found = await messages(wire, 5);
        await nack(wire, found[2]);
        await nack(wire, found[4], { requeue: 'false' });
        await unsubscribe(wire);
        await ack(neighbour, kept);
        assert.deepEqual([wire.closed, neighbour.closed], [null, null]);
        assert.ok(!neighbour.frames.some((frame) => frame.command === 'MESSAGE'), 'nothing came again');
    });

    test('consumers explain themselves: connection, tag, prefetch', async () => {
        const name = fresh();
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { id: 'my id', 'prefetch-count': '7', 'x-priority': '-3', ack: 'client' });
        const described = async () => (await queueInfo(h, name)).consumer_details?.find((c) => c.channel_details.connection_name);
        const info = await waitFor(described, { what: 'the consumer in the API' });
        assert.match(info.consumer_tag, new RegExp(`^stompgate ${gw.config.gateway.name}\\.0-[0-9a-f]+ T_my id$`));
        assert.equal(info.prefetch_count, 7);
        assert.equal(info.ack_required, true);
        assert.deepEqual(info.arguments, { 'x-priority': -3 });
        const where = info.channel_details.connection_name;
        const find = async () => (await h.management.get('/connections')).find((c) => c.name === where && c.client_properties);
        const connection = await waitFor(find, { what: 'the connection in the API' });
        assert.equal(connection.client_properties.connection_name, `stompgate ${gw.config.gateway.name}.0 private 0`);
    });
});

describe('acks', () => {
    // Ten messages, and the wire that got them.
    async function ten(headers) {
        const name = fresh('ack');
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
        const one = fresh('ack');
        const two = fresh('ack');
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
        const dead = fresh('dead');
        await declare(dead, { durable: true });
        const name = fresh('nack');
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
            const name = fresh('ack');
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
        const name = fresh('prefetch');
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
        const names = [fresh('many'), fresh('many'), fresh('many')];
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

describe('durable subscriptions', () => {
    // contracts/rabbitmq-stomp 1.4
    function pluginName(key, id) {
        const enc = (s) => (s === '' ? [0x6a] : [0x6b, s.length >> 8, s.length & 255, ...Buffer.from(s)]);
        const term = Buffer.from([0x83, 0x68, 0x02, ...enc(key), ...enc(id)]);
        return `stomp-subscription-${createHash('md5').update(term).digest('base64url')}`;
    }

    test('the queue that the plugin made is adopted with what waits in it, kept, and deleted on UNSUBSCRIBE', async () => {
        const key = unique('durable.');
        const name = pluginName(key, 'me');
        const channel = await declare(name, { durable: true, autoDelete: false });
        await channel.bindQueue(name, 'amq.topic', key);
        channel.publish('amq.topic', key, Buffer.from('waited'));
        await waitFor(async () => (await count(h, name)).messages === 1, { what: 'the message to wait' });
        const headers = { id: 'me', durable: 'true', 'auto-delete': 'false' };
        const wire = await client(gw);
        await subscribe(wire, `/topic/${key}`, headers);
        await message(wire, 'waited');
        await wire.disconnect();
        await send(ann, `/topic/${key}`, 'meanwhile');
        const again = await client(gw);
        await subscribe(again, `/topic/${key}`, headers);
        await message(again, 'meanwhile');
        await unsubscribe(again, 'me');
        assert.notEqual(await count(h, name), null, 'a plain UNSUBSCRIBE keeps it');
        await subscribe(again, `/topic/${key}`, headers);
        await unsubscribe(again, 'me', { durable: 'true' });
        assert.equal(await count(h, name), null);
    });

    test('x-queue-name: two sessions share one subscription', async () => {
        const name = fresh('shared');
        const key = unique('shared.');
        const wires = [await client(gw), await client(gw)];
        for (const wire of wires) {
            await subscribe(wire, `/topic/${key}`, { 'x-queue-name': name });
        }
        for (let i = 0; i < 10; i++) {
            await send(ann, `/topic/${key}`, `${i}`);
        }
        await waitFor(() => wires.every((w) => w.frames.length === 5), { what: 'five each' });
    });
});

describe('channels and connections', () => {
    test('are bounded: the session too many is told, and has its turn when another has left', async () => {
        const small = await h.gateway({ broker: { private_channels: 2, private_connections: 2 } });
        const name = fresh('bound');
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
        const name = fresh('term');
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
        const names = numbers(5).map(() => fresh('order'));
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
        const name = fresh('innocent');
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
        const name = fresh('innocent');
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
        for (const destination of [() => `/queue/${fresh('odd')}`, () => '/topic/odd', () => '/exchange/amq.headers/x']) {
            for (const headers of odd) {
                const wire = await client(gw);
                wire.send('SUBSCRIBE', { id: 's', ack: 'client', receipt: 'r', destination: destination(), ...headers });
                const first = await wire.next((frame) => frame.command === 'ERROR' || frame.command === 'RECEIPT');
                assert.doesNotMatch(first.body, /INTERNAL_ERROR/, JSON.stringify(headers));
                wire.send('SEND', { receipt: 'q', destination: destination(), ...headers }, 'x');
                await waitFor(() => wire.closed || wire.frames.some((f) => f.headers['receipt-id'] === 'q'), { what: JSON.stringify(headers) });
                assert.ok(!wire.frames.some((frame) => frame.body.includes('INTERNAL_ERROR')), JSON.stringify(headers));
                wire.terminate();
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
        const name = fresh('kept');
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
