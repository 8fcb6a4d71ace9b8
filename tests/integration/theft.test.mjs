// What nobody may reach, whatever the routes say: the queues of storage and of the gateways (threat A11). What is closed as it comes.
// And that no header of a SEND sends its message anywhere but to its destination, or costs anybody else anything (M1, M2, A8).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import { refusal } from '../lib/refusal.mjs';
import { Wire } from '../lib/wire.mjs';

const USERS = ['ann', 'eve'].map((login) => ({ login, password: 'secret' }));
const as = (login) => ({ login, passcode: 'secret' });

async function client(gw, login = 'ann') {
    const wire = await Wire.open(gw.url);
    await wire.connect(as(login));
    return wire;
}

describe('queues that are ours', () => {
    const store = unique('archive');
    const dead = unique('letters');
    let h;
    let gw;

    before(async () => {
        h = await harness({
            database: true,
            vhost: true,
            config: {
                user: USERS,
                store: { queue: store, dead_queue: dead },
                route: [...openRoutes({ store: true }), { prefix: '/jobs/', type: 'queue', send: ['*'], subscribe: ['*'], queues: ['*'] }],
            },
        });
        [gw] = await Promise.all([h.gateway(), h.worker()]);
    });
    after(() => h.close());

    // The storage queue has its worker and nobody else, and nothing but what goes to the database passes through it.
    async function untouched() {
        const channel = await (await h.amqp()).createChannel();
        await waitFor(async () => (await channel.checkQueue(store)).consumerCount === 1, { what: 'the worker alone to consume' });
        assert.equal((await channel.checkQueue(dead)).consumerCount, 0);
        assert.equal((await channel.checkQueue(dead)).messageCount, 0);
    }

    const doors = ['/queue/', '/amq/queue/', '/reply-queue/', '', '/jobs/'];
    for (const name of [store, dead, 'stompgate.store', 'amq.rabbitmq.reply-to', 'amq.topic']) {
        for (const door of doors) {
            for (const command of ['SUBSCRIBE', 'SEND']) {
                test(`${command} ${door}${name.replace(/[a-z0-9]{14}$/, '…')}`, async () => {
                    await refusal(gw, {
                        connect: as('ann'),
                        wrong: (wire) => wire.send(command, { destination: door + name, id: '1', receipt: 'r', ack: 'client' }, command === 'SEND' ? 'x' : undefined),
                        message: 'access_refused',
                        body: /keeps for itself/,
                        receipt: 'r',
                        code: 1008,
                    });
                });
            }
        }
    }

    test('the live queues of a gateway', async () => {
        const wire = await client(gw);
        wire.send('SUBSCRIBE', { id: '1', destination: '/topic/a', receipt: 'r' });
        await wire.receipt('r');
        const queues = await waitFor(
            async () => {
                const names = (await h.management.get(`/queues/${h.vhostPath}`)).map((queue) => queue.name);
                return names.some((name) => name.startsWith('stompgate.live.')) && names;
            },
            { what: 'the live queue in the management API' },
        );
        for (const name of queues.filter((each) => each.startsWith('stompgate.'))) {
            for (const door of doors) {
                await refusal(gw, {
                    connect: as('ann'),
                    wrong: (thief) => thief.send('SUBSCRIBE', { destination: door + name, id: '1', receipt: 'r' }),
                    message: 'access_refused',
                    receipt: 'r',
                    code: 1008,
                });
            }
        }
        await wire.disconnect();
    });

    for (const destination of ['/topic/a', '/exchange/amq.direct/a', '/fanout/theft']) {
        for (const [what, headers, body] of [
            ['x-queue-name', { 'x-queue-name': store }, /x-queue-name/],
            ['x-queue-name and durable', { 'x-queue-name': dead, durable: 'true' }, /x-queue-name/],
            ['dead letters', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': store }, /x-dead-letter-routing-key/],
            ['dead letters by the key of their own', { 'x-dead-letter-exchange': '' }, /x-dead-letter-routing-key/],
            ['dead letters into the events', { 'x-dead-letter-exchange': 'amq.rabbitmq.event' }, /x-dead-letter-exchange/],
        ]) {
            test(`SUBSCRIBE ${destination} with ${what}`, () =>
                refusal(gw, {
                    connect: as('ann'),
                    wrong: (wire) => wire.send('SUBSCRIBE', { destination, id: '1', receipt: 'r', ...headers }),
                    message: 'Invalid header',
                    body,
                    receipt: 'r',
                    code: 1008,
                }));
        }
    }

    for (const replyTo of [store, `/queue/${dead}`, `/reply-queue/${store}`, '/nowhere/at/all']) {
        test(`reply-to ${replyTo.replace(/[a-z0-9]{14}$/, '…')}`, () =>
            refusal(gw, {
                connect: as('ann'),
                wrong: (wire) => wire.send('SEND', { destination: '/topic/a', 'reply-to': replyTo, receipt: 'r' }, 'x'),
                message: 'Invalid header',
                body: /reply-to/,
                receipt: 'r',
                code: 1008,
            }));
    }

    test('are untouched by all that', async () => {
        await untouched();
        const wire = await client(gw);
        wire.send('SEND', { destination: '/topic/still.stored', receipt: 'r' }, 'stored');
        await wire.receipt('r');
        await waitFor(async () => (await h.sql("SELECT 1 FROM message WHERE routing_key = 'still.stored'")).length === 1, {
            what: 'the row',
        });
        await wire.disconnect();
    });
});

describe('rights', () => {
    let h;
    let gw;
    before(async () => {
        h = await harness({ vhost: true, config: { user: USERS } });
        gw = await h.gateway();
    });
    after(() => h.close());

    for (const destination of ['/queue/a', 'a', '/amq/queue/a', '/reply-queue/a', '/exchange/amq.direct/a', '/queue/stomp.gen-a', '/amq/queue/amq.gen-a']) {
        for (const command of ['SUBSCRIBE', 'SEND']) {
            test(`${command} ${destination} is closed as it comes`, () =>
                refusal(gw, {
                    connect: as('ann'),
                    wrong: (wire) => wire.send(command, { destination, id: '1', receipt: 'r' }, command === 'SEND' ? 'x' : undefined),
                    message: 'access_refused',
                    body: /^ACCESS_REFUSED - user 'ann' may not /,
                    receipt: 'r',
                    code: 1008,
                }));
        }
    }

    test('who is asked may answer, but not listen to the answers', async () => {
        const channel = await (await h.amqp()).createChannel();
        const { queue } = await channel.assertQueue('');
        assert.match(queue, /^amq\.gen-/);
        const wire = await client(gw);
        wire.send('SEND', { destination: `/reply-queue/${queue}`, receipt: 'r' }, 'answer');
        await wire.receipt('r');
        const answer = await waitFor(() => channel.get(queue, { noAck: true }), { what: 'the answer' });
        assert.equal(answer.content.toString(), 'answer');
        await wire.disconnect();
        await refusal(gw, {
            connect: as('ann'),
            wrong: (thief) => thief.send('SUBSCRIBE', { destination: `/reply-queue/${queue}`, id: '1', receipt: 'r' }),
            message: 'access_refused',
            receipt: 'r',
            code: 1008,
        });
        await channel.deleteQueue(queue);
    });

    for (const headers of [
        { 'x-queue-name': 'theirs' },
        { durable: 'true' },
        { 'auto-delete': 'false' },
        { 'x-message-ttl': '1000' },
        { 'x-dead-letter-exchange': 'amq.topic' },
        { 'x-queue-type': 'quorum', durable: 'true' },
    ]) {
        test(`SUBSCRIBE with ${JSON.stringify(headers)} needs the right to shape queues`, async () => {
            await refusal(gw, {
                connect: as('ann'),
                wrong: (wire) => wire.send('SUBSCRIBE', { destination: '/topic/a', id: 'mine', receipt: 'r', ...headers }),
                message: 'access_refused',
                body: /name, keep and shape queues/,
                receipt: 'r',
                code: 1008,
            });
            const names = (await h.management.get(`/queues/${h.vhostPath}`)).map((queue) => queue.name);
            assert.deepEqual(names.filter((name) => !name.startsWith('stompgate.')), []);
        });
    }

    test('acknowledging needs none', async () => {
        const wire = await client(gw);
        wire.send('SUBSCRIBE', { destination: '/topic/a', id: 'mine', ack: 'client', 'x-unknown': 'header', receipt: 'r' });
        await wire.receipt('r');
        await wire.disconnect();
    });
});

describe('headers of a SEND to a queue', () => {
    let h;
    before(async () => {
        // Without the right to shape queues: what the broker might refuse of that is its business.
        h = await harness({ vhost: true, config: { user: USERS, route: openRoutes().map((route) => ({ ...route, queues: [] })) } });
    });
    after(() => h.close());

    const names = [
        'CC', 'BCC', 'cc', 'user-id', 'expiration', 'priority', 'timestamp', 'reply-to', 'delivery-mode', 'type', 'app-id', 'correlation-id',
        'content-type', 'persistent', 'durable', 'exclusive', 'auto-delete', 'x-queue-name', 'x-message-ttl', 'x-expires', 'x-max-length',
        'x-dead-letter-exchange', 'x-dead-letter-routing-key', 'x-queue-type', 'x-death', 'x-received-from', 'x-delay', 'x-match', 'x-priority',
        'x-stream-offset', 'x-bind-a', 'x-stompgate-destination', 'x-stompgate-user', 'message-id', 'amqp-message-id', 'ack', 'gap', 'receipt-id',
        'routing-key', 'exchange', 'simpOrigDestination', 'selector',
    ];

    // A generator of its own, so that a failure can be seen again.
    function random(seed) {
        let state = seed;
        return (list) => {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            return list[(state >>> 8) % list.length];
        };
    }

    test('600 random sets of them: each message is where it was sent to or refused, and nobody else notices', async () => {
        const gw = await h.gateway();
        const channel = await (await h.amqp()).createChannel();
        const secret = unique('secret');
        await channel.assertQueue(secret);
        for (const exchange of ['amq.topic', 'amq.fanout', 'amq.direct', 'amq.headers']) {
            await channel.bindQueue(secret, exchange, exchange === 'amq.topic' ? '#' : secret);
        }
        const values = ['', '1', '-1', 'true', 'false', 'ann', 'eve', secret, `/queue/${secret}`, 'amq.topic', '99999999999999999999', 'abc', 'ü,;'];
        const pick = random(4711);
        const canary = await client(gw);
        canary.send('SUBSCRIBE', { id: 'c', destination: '/queue/canary', receipt: 'c' });
        await canary.receipt('c');
        const before = await Promise.all(['connects', 'channel_errors'].map((name) => gw.metric(`stompgate_broker_${name}_total`)));
        const sent = [];
        let wire;
        for (let i = 0; i < 600; i++) {
            wire ??= await client(gw, 'eve');
            const headers = {};
            for (let n = 0; n < 3; n++) {
                headers[pick(names)] = pick(values);
            }
            const destination = `/queue/t${i % 50}.${h.tag}`;
            wire.send('SEND', { destination, receipt: `r${i}`, ...headers }, `${destination}`);
            const answer = await wire.next((frame) => frame.headers['receipt-id'] === `r${i}`);
            if (answer.command === 'ERROR') {
                await wire.waitClosed();
                wire = undefined;
            } else {
                sent.push(destination);
            }
            if (i % 50 === 0) {
                canary.send('SEND', { destination: '/queue/canary', receipt: `c${i}` }, `${i}`);
                await canary.receipt(`c${i}`);
                await canary.next((frame) => frame.command === 'MESSAGE' && frame.body === `${i}`);
            }
        }
        assert.ok(sent.length > 50 && sent.length < 590, `${sent.length} were taken`);
        assert.equal((await channel.checkQueue(secret)).messageCount, 0, 'nothing went elsewhere');
        const now = await Promise.all(['connects', 'channel_errors'].map((name) => gw.metric(`stompgate_broker_${name}_total`)));
        assert.deepEqual(now, before, 'no connection was lost, no channel was closed');
        for (let i = 0; i < 50; i++) {
            const queue = `t${i}.${h.tag}`;
            for (let got = await channel.get(queue, { noAck: true }).catch(() => false); got; got = await channel.get(queue, { noAck: true })) {
                assert.equal(got.fields.exchange, '');
                assert.equal(got.content.toString(), `/queue/${queue}`);
                assert.equal(got.properties.userId, undefined);
                assert.equal(got.properties.headers['x-stompgate-user'], 'eve');
            }
        }
        await canary.disconnect();
        wire?.terminate();
    });
});
