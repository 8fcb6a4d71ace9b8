// Queues, acknowledgements, transactions and durable subscriptions by the clients of stomp.js, as they are used on RabbitMQ's plugin.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { unique, waitFor } from '../lib/harness.mjs';
import { endAll, families, modern, open, stompjs4 } from './families.mjs';
import { isPlugin, target } from './target.mjs';

const REDELIVERY_MS = 5000; // what the clients' own specs wait for

let h;
let gw;
let credentials;

before(async () => {
    ({ h, gw, credentials } = await target());
});

after(async () => {
    endAll();
    await h.close();
});

function login(family = modern[0], options = {}) {
    return open(family, gw, { headers: { ...credentials }, ...options });
}

// RabbitMQ's plugin (3.10) closes before the RECEIPT that some clients wait for is out (rabbitmq-server#6737).
async function leave(talker) {
    const left = talker.close();
    await (isPlugin ? Promise.race([left, talker.until(() => talker.closes.length > 0, 'the close')]) : left);
}

// A subscription that stands, and what it heard.
async function listen(talker, destination, headers = {}) {
    const heard = [];
    const subscription = await talker.subscribe(destination, (message) => heard.push(message), headers);
    const hears = (n, timeout) =>
        waitFor(() => heard.length >= n, { every: 5, timeout, what: `${n} messages instead of ${heard.length}; ${talker.told()}` });
    return { heard, subscription, hears, bodies: () => heard.map((message) => message.body) };
}

async function fill(queue, bodies, headers = {}) {
    const talker = await login();
    for (const body of bodies) {
        await talker.say(queue, body, headers);
    }
    await leave(talker);
}

// What a newcomer gets: n messages, and behind them one that was sent later, so that n are all. "b!" was redelivered.
async function drain(queue, n, { headers, timeout } = {}) {
    const talker = await login();
    const { heard, hears } = await listen(talker, queue, headers);
    await hears(n, timeout);
    await talker.say(queue, 'the end', headers);
    await hears(n + 1);
    const words = heard.map((message) => message.body + (message.headers.redelivered === 'true' ? '!' : ''));
    await leave(talker);
    assert.equal(words.pop(), 'the end');
    return words;
}

function numbers(n) {
    return Array.from({ length: n }, (_, i) => `${i}`);
}

function inOrder(words) {
    return [...words].sort((a, b) => a - b);
}

describe('a queue, as each client has it', { concurrency: true }, () => {
    for (const family of families) {
        test(`${family.name}: what waits comes in order, is acknowledged, and comes once`, async () => {
            const queue = unique('/queue/each-');
            await fill(queue, ['a', 'b', 'c']);
            const talker = await login(family);
            const { heard, hears, bodies } = await listen(talker, queue, { ack: 'client-individual' });
            await hears(3);
            assert.deepEqual(bodies(), ['a', 'b', 'c']);
            heard[0].ack();
            heard[2].ack();
            await talker.say(queue, 'd'); // what was said before has been done
            await hears(4);
            await leave(talker);
            assert.deepEqual(await drain(queue, 2), ['b!', 'd!']);
        });
    }
});

for (const family of [...modern, stompjs4]) {
    describe(family.name, { concurrency: true }, () => {
        async function taken(ack, headers = {}) {
            const queue = unique('/queue/taken-');
            await fill(queue, ['a', 'b', 'c', 'd']);
            const talker = await login(family);
            const ear = await listen(talker, queue, { ack, ...headers });
            await ear.hears(4);
            return { queue, talker, ...ear };
        }

        test('ack:client acknowledges all before', async () => {
            const { queue, talker, heard } = await taken('client');
            heard[2].ack({ receipt: 'acked' });
            talker.expectReceipt('acked');
            await talker.receipt('acked');
            await leave(talker);
            assert.deepEqual(await drain(queue, 1), ['d!']);
        });

        test('ack:client acknowledges all before of its own subscription alone (RabbitMQ: of the connection)', async () => {
            const { queue, talker } = await taken('client');
            const other = unique('/queue/other-');
            const { heard, hears } = await listen(talker, other, { ack: 'client' });
            await talker.say(other, 'x');
            await hears(1);
            heard[0].ack();
            await leave(talker);
            assert.deepEqual(await drain(queue, isPlugin ? 0 : 4), isPlugin ? [] : ['a!', 'b!', 'c!', 'd!']);
        });

        test('nack: it comes again, to one who may take it', async () => {
            const { queue, talker, heard, hears } = await taken('client-individual');
            heard[1].nack();
            await hears(5);
            assert.equal(heard[4].body, 'b');
            assert.equal(heard[4].headers.redelivered, 'true');
            [heard[0], heard[2], heard[3], heard[4]].forEach((message) => message.ack());
            await leave(talker);
            assert.deepEqual(await drain(queue, 0), []);
        });

        test('nack with requeue:false drops it, or makes a dead letter of it', async () => {
            const dead = unique('dead-');
            const shape = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead };
            const queue = unique('/queue/living-');
            const talker = await login(family);
            const letters = await listen(talker, `/queue/${dead}`);
            const { heard, hears } = await listen(talker, queue, { ack: 'client-individual', ...shape });
            await talker.say(queue, 'x', shape);
            await hears(1);
            heard[0].nack({ requeue: 'false' });
            await letters.hears(1);
            assert.deepEqual(letters.bodies(), ['x']);
            await leave(talker);
        });

        test('ack() and the end in one tick: it does not come again', async () => {
            const { queue, talker, heard } = await taken('client-individual');
            heard.forEach((message) => message.ack());
            await leave(talker);
            assert.deepEqual(await drain(queue, 0), []);
        });

        test('the end without ack(): all comes again, in the time that the specs allow', async () => {
            const { queue, talker } = await taken('client-individual');
            await leave(talker);
            assert.deepEqual(await drain(queue, 4, { timeout: REDELIVERY_MS }), ['a!', 'b!', 'c!', 'd!']);
        });

        test('a socket that breaks: the same', async () => {
            const { queue, talker } = await taken('client');
            talker.socket.terminate();
            assert.deepEqual(await drain(queue, 4, { timeout: REDELIVERY_MS }), ['a!', 'b!', 'c!', 'd!']);
        });

        test('prefetch-count: no more than that is in hand', async () => {
            const queue = unique('/queue/prefetch-');
            await fill(queue, ['a', 'b', 'c', 'd']);
            const [one, two] = [await login(family), await login(family)];
            const first = await listen(one, queue, { ack: 'client-individual', 'prefetch-count': '2' });
            await first.hears(2);
            const second = await listen(two, queue, { ack: 'client-individual', 'prefetch-count': '1' });
            await second.hears(1);
            await one.say(unique('/topic/nobody.'), 'x'); // one more would have come before this RECEIPT
            assert.deepEqual([first.bodies(), second.bodies()], [['a', 'b'], ['c']]);
            first.heard[0].ack();
            await first.hears(3);
            assert.deepEqual(first.bodies(), ['a', 'b', 'd']);
            await leave(one);
            await second.hears(1);
            second.heard[0].ack();
            await second.hears(2);
            await leave(two);
        });

        test('transactions: SEND and ACK count with commit(), and never with abort()', async () => {
            const { queue, talker, heard, hears } = await taken('client-individual');
            const [kept, dropped] = [talker.transaction(), talker.transaction()];
            talker.send(queue, 'kept', { transaction: kept.id });
            talker.send(queue, 'dropped', { transaction: dropped.id });
            heard[0].ack({ transaction: kept.id });
            heard[1].ack({ transaction: dropped.id });
            heard[2].nack({ transaction: dropped.id });
            await talker.say(queue, 'outside');
            await hears(5);
            dropped.abort();
            kept.commit();
            await hears(6);
            assert.deepEqual([heard[4].body, heard[5].body, heard.length], ['outside', 'kept', 6]);
            await leave(talker);
            assert.deepEqual(await drain(queue, 5), ['b!', 'c!', 'd!', 'outside!', 'kept!']);
        });

        test('a durable subscription hears what was said while it was away, until it unsubscribes', async () => {
            const room = unique('/topic/durable.');
            const headers = { id: unique('durable-'), durable: 'true', 'auto-delete': 'false', ack: 'client' };
            async function come(n) {
                const talker = await login(family);
                const ear = await listen(talker, room, headers);
                await ear.hears(n);
                ear.heard.at(-1)?.ack();
                return { talker, ...ear };
            }
            await leave((await come(0)).talker);
            await fill(room, ['one', 'two']);
            const second = await come(2);
            assert.deepEqual(second.bodies(), ['one', 'two']);
            assert.deepEqual(new Set(second.heard.map((message) => message.headers.destination)), new Set([room]));
            second.talker.expectReceipt('gone');
            second.subscription.unsubscribe({ durable: 'true', 'auto-delete': 'false', receipt: 'gone' });
            await second.talker.receipt('gone');
            await leave(second.talker);
            await fill(room, ['to nobody']);
            const third = await come(0);
            await third.talker.say(room, 'now');
            await third.hears(1);
            assert.deepEqual(third.bodies(), ['now']);
            third.subscription.unsubscribe({ durable: 'true', 'auto-delete': 'false' });
            await leave(third.talker);
        });

        test('x-queue-name: two who name one queue share what is said in the room', async () => {
            const room = unique('/topic/shared.');
            const shape = { 'x-queue-name': unique('shared-'), durable: 'true', 'auto-delete': 'true', exclusive: 'false' };
            const ears = [];
            for (const id of ['one', 'two']) {
                ears.push(await listen(await login(family), room, { ...shape, id }));
            }
            await fill(room, numbers(20));
            await waitFor(() => ears[0].heard.length + ears[1].heard.length === 20, { what: 'all of it, once' });
            assert.deepEqual(inOrder(ears.flatMap((ear) => ear.bodies())), numbers(20));
            assert.ok(ears.every((ear) => ear.heard.length > 0));
        });
    });
}

test('reconnecting clients go on where they were: unacknowledged messages come again', async () => {
    for (const family of modern) {
        const queue = unique('/queue/again-');
        await fill(queue, ['a', 'b']);
        const heard = [];
        const talker = await login(family, { client: { reconnectDelay: 100 } });
        const listenAgain = () => talker.listen(queue, (message) => heard.push(message), { ack: 'client-individual' });
        talker.client.onConnect = listenAgain;
        listenAgain();
        await talker.until(() => heard.length === 2, 'two messages');
        heard[0].ack();
        await talker.say(unique('/topic/nobody.'), 'x'); // the ACK has been done
        talker.client.forceDisconnect();
        await talker.until(() => heard.length === 3, 'one of them again');
        assert.equal(heard[2].body, 'b');
        assert.equal(heard[2].headers.redelivered, 'true');
        heard[2].ack();
        await leave(talker);
        assert.deepEqual(await drain(queue, 0), []);
    }
});

for (const [what, end] of [
    ['killed', (gateway) => gateway.kill()],
    ['stopped in order', (gateway) => gateway.stop()],
]) {
    test(`a gateway is ${what}: what was not acknowledged comes again, and nothing else`, { skip: isPlugin }, async () => {
        const first = await h.gateway();
        const queue = unique('/queue/outlive-');
        const heard = [];
        const talkers = await Promise.all(
            modern.map((family) => open(family, first, { headers: { ...credentials }, client: { reconnectDelay: 100 } })),
        );
        for (const talker of talkers) {
            const receipt = unique('r');
            const headers = { ack: 'client-individual', 'prefetch-count': '4', receipt };
            const listenAgain = () => talker.listen(queue, (message) => heard.push({ talker, message }), headers);
            talker.client.onConnect = listenAgain;
            talker.expectReceipt(receipt);
            listenAgain();
            await talker.receipt(receipt);
        }
        await fill(queue, numbers(12));
        await waitFor(() => heard.length === 12, { what: 'twelve messages, four for each' });
        const acked = heard.splice(0, 12).slice(0, 6).map(({ message, talker }) => {
            const receipt = unique('r');
            talker.expectReceipt(receipt);
            message.ack({ receipt });
            return { body: message.body, receipt, talker };
        });
        for (const { receipt, talker } of acked) {
            await talker.receipt(receipt);
        }
        await end(first);
        const second = await h.gateway({ gateway: { port: first.port } });
        await waitFor(() => heard.length >= 6, { what: 'the other six once more' });
        const bodies = [...heard.map(({ message }) => message.body), ...acked.map(({ body }) => body)];
        assert.deepEqual(inOrder(bodies), numbers(12));
        assert.deepEqual(new Set(heard.map(({ message }) => message.headers.redelivered)), new Set(['true']));
        heard.forEach(({ message }) => message.ack());
        await Promise.all(talkers.map(leave));
        assert.deepEqual(await drain(queue, 0), []);
        await second.stop();
    });
}

test('when all have left, the gateway has neither a channel nor a consumer for them', { skip: isPlugin }, async () => {
    endAll();
    for (const name of ['channels', 'consumers']) {
        await waitFor(async () => (await gw.metric(`stompgate_private_${name}`)) === 0, { what: `no ${name}` });
    }
    assert.ok((await gw.metric('stompgate_private_acks_total')) > 0);
});
