// Private subscriptions against the real broker: every kind of destination, what stands in the management API, durable subscriptions,
// request and reply. acks.test.mjs has what is done with the messages.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import { ack, client, count, declare, fresh, message, messages, nack, queueInfo, refused, send, subscribe, unsubscribe } from '../lib/private.mjs';

let h;
let gw;
let ann;
before(async () => {
    h = await harness({ config: { route: openRoutes(), broker: { sweep_ms: 1000 } } });
    gw = await h.gateway();
    ann = await client(gw);
});
after(() => h.close());

describe('destinations', () => {
    for (const spell of [(name) => `/queue/${name}`, (name) => name]) {
        test(`${spell('N')}: SEND and SUBSCRIBE declare a durable queue, and it outlives them`, async () => {
            const name = fresh(h);
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
        await declare(h, name, { durable: false });
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
        const name = fresh(h);
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
        const name = fresh(h, 'rpc');
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
        const bySend = fresh(h, 'args');
        const bySubscribe = fresh(h, 'args');
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
        const name = fresh(h);
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
        const name = fresh(h);
        const wire = await client(gw);
        await subscribe(wire, `/queue/${name}`, { 'auto-delete': 'true', 'x-message-ttl': '60000' });
        await send(wire, `/queue/${name}`, 'mine');
        await message(wire, 'mine');
    });

    test('a SEND that shaped its queue is not contradicted by the SUBSCRIBE and the SENDs of its session', async () => {
        const name = fresh(h);
        const wire = await client(gw);
        await send(wire, `/queue/${name}`, 'one', { 'x-max-length': '5' });
        await subscribe(wire, `/queue/${name}`);
        await message(wire, 'one');
        await unsubscribe(wire);
        await send(wire, `/queue/${name}`, 'two');
        assert.equal((await queueInfo(h, name)).arguments['x-max-length'], 5);
    });

    test('UNSUBSCRIBE and SUBSCRIBE in one write, with the same id: the consumer is the new one', async () => {
        const names = [fresh(h), fresh(h)];
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
        // The broker finds out that the gateway's user may not read the exchange when it binds the queue that was just declared.
        const user = unique('user');
        await h.management.put(`/users/${user}`, { password: 'x', tags: '' });
        h.defer(() => h.management.delete(`/users/${user}`));
        await h.management.put(`/permissions/${h.vhostPath}/${user}`, { configure: '.*', write: '.*', read: '^(?!amq\\.direct$).*' });
        const poor = await h.gateway({ broker: { user, password: 'x' } });
        for (const flags of [{ exclusive: 'true', 'auto-delete': 'false' }, { exclusive: 'false', 'auto-delete': 'true' }]) {
            const name = unique('left');
            const wire = await client(poor);
            const error = await refused(wire, 'SUBSCRIBE', {
                id: 's',
                destination: '/exchange/amq.direct/left',
                'x-queue-name': name,
                ack: 'client',
                ...flags,
            });
            assert.equal(error.headers.message, 'access_refused');
            assert.match(error.body, /^ACCESS_REFUSED - access to exchange 'amq\.direct'/);
            await wire.waitClosed();
            await waitFor(async () => (await count(h, name)) === null, { what: 'no queue' });
        }
        await poor.stop();
    });

    test('quorum: durable, client acks, x-delivery-limit', async () => {
        const name = fresh(h, 'quorum');
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
        const name = fresh(h, 'stream');
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
        const [name, other] = [fresh(h, 'stream'), fresh(h)];
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

    test('a queue that had to exist, whose messages look like a stream\'s: a NACK costs nobody the connection, and no message', async () => {
        const [name, real, other] = [fresh(h), fresh(h, 'stream'), fresh(h)];
        const [wire, neighbour] = [await client(gw), await client(gw)];
        await subscribe(neighbour, `/queue/${other}`, { ack: 'client' });
        await send(ann, `/queue/${other}`, 'kept');
        const kept = await message(neighbour, 'kept');
        const channel = await (await h.amqp()).createChannel();
        await channel.assertQueue(name, { durable: true });
        channel.sendToQueue(name, Buffer.from('taken from a stream'), { headers: { 'x-stream-offset': 7 } });
        await channel.assertQueue(real, { durable: true, arguments: { 'x-queue-type': 'stream' } });
        for (const [id, queue] of Object.entries({ a: name, b: real })) {
            await subscribe(wire, `/amq/queue/${queue}`, { id, ack: 'client-individual' });
        }
        await send(ann, `/amq/queue/${real}`, 'streamed');
        await nack(wire, await message(wire, 'taken from a stream'));
        await nack(wire, await message(wire, 'streamed'));
        await ack(neighbour, kept);
        assert.deepEqual([wire.closed, neighbour.closed], [null, null]);
        await wire.disconnect();
        await waitFor(async () => (await count(h, name)).messages === 1, { what: 'the message in its queue again' });
    });

    test('consumers explain themselves: connection, tag, prefetch', async () => {
        const name = fresh(h);
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
        const channel = await declare(h, name, { durable: true, autoDelete: false });
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
        const name = fresh(h, 'shared');
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
