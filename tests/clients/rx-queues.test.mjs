// What @stomp/rx-stomp does with queues: remote procedure calls by temporary and by own reply queues, receipts, acknowledgements.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RxStomp, RxStompRPC } from '@stomp/rx-stomp';
import { firstValueFrom, take, toArray } from 'rxjs';
import { unique, waitFor } from '../lib/harness.mjs';
import { endAll } from './families.mjs';
import { isPlugin, target } from './target.mjs';

// Promises of streams have no deadline of their own.
const LIMIT = { timeout: 30000 };

let h;
let gw;
let credentials;
const all = [];

before(async () => {
    ({ h, gw, credentials } = await target());
});

after(async () => {
    await Promise.all(all.map((rx) => rx.deactivate({ force: true })));
    endAll();
    await h.close();
});

async function active(options = {}, gateway = gw) {
    const rx = new RxStomp();
    rx.configure({
        brokerURL: `${gateway.url}?${unique()}`,
        connectHeaders: { ...credentials },
        reconnectDelay: 100,
        heartbeatIncoming: 1000,
        heartbeatOutgoing: 1000,
        ...options,
    });
    all.push(rx);
    rx.activate();
    await firstValueFrom(rx.connected$);
    return rx;
}

// Watches, and is back when the subscription stands.
async function watch(rx, destination, onMessage, subHeaders = {}) {
    const receipt = unique('r');
    const isThere = rx.asyncReceipt(receipt);
    const subscription = rx.watch({ destination, subHeaders: { ...subHeaders, receipt } }).subscribe(onMessage);
    await isThere;
    return subscription;
}

// Answers every request with its body in capitals, `times` times.
async function server(queue, { rx, times = 1 } = {}) {
    const serving = rx ?? (await active());
    await watch(serving, queue, (request) => {
        const { 'reply-to': destination, 'correlation-id': id } = request.headers;
        for (let i = 0; i < times; i++) {
            serving.publish({ destination, body: `${request.body.toUpperCase()} ${i}`, headers: { 'correlation-id': id } });
        }
    });
    return serving;
}

test('rpc() by /temp-queue: each caller has its own answers', LIMIT, async () => {
    const queue = unique('/queue/rpc-');
    await server(queue);
    const callers = [new RxStompRPC(await active()), new RxStompRPC(await active())];
    const calls = Array.from({ length: 40 }, (_, i) => firstValueFrom(callers[i % 2].rpc({ destination: queue, body: `call ${i}` })));
    const answers = await Promise.all(calls);
    assert.deepEqual(
        answers.map((message) => message.body),
        Array.from({ length: 40 }, (_, i) => `CALL ${i} 0`),
    );
    assert.deepEqual(new Set(answers.map((message) => message.headers.subscription)), new Set(['/temp-queue/rpc-replies']));
    assert.equal(new Set(answers.map((message) => message.headers.destination)).size, 2);
});

test('stream(): several answers to one request', LIMIT, async () => {
    const queue = unique('/queue/rpc-');
    await server(queue, { times: 5 });
    const rpc = new RxStompRPC(await active());
    const answers = await firstValueFrom(rpc.stream({ destination: queue, body: 'count' }).pipe(take(5), toArray()));
    assert.deepEqual(
        answers.map((message) => message.body),
        ['COUNT 0', 'COUNT 1', 'COUNT 2', 'COUNT 3', 'COUNT 4'],
    );
});

test('a request through an exchange: whoever knows the reply queue may answer', LIMIT, async () => {
    const room = unique('/topic/rpc.');
    await server(room);
    const rpc = new RxStompRPC(await active());
    const answer = await firstValueFrom(rpc.rpc({ destination: room, body: 'anyone', headers: { 'correlation-id': 'mine' } }));
    assert.equal(answer.body, 'ANYONE 0');
    assert.equal(answer.headers['correlation-id'], 'mine');
});

for (const [what, prefix, subHeaders] of [
    ['queue', '/queue/replies-', {}],
    ['room', '/topic/replies.', {}],
    ['exclusive queue of a room', '/topic/replies.', { exclusive: 'true', 'auto-delete': 'true', 'x-queue-name': unique('replies-') }],
]) {
    test(`a reply queue of one's own: a ${what}`, LIMIT, async () => {
        const queue = unique('/queue/rpc-');
        await server(queue);
        const rx = await active();
        const rpc = new RxStompRPC(rx, {
            replyQueueName: unique(prefix),
            setupReplyQueue: (name, stomp) => stomp.watch({ destination: name, subHeaders }),
        });
        for (const word of ['one', 'two']) {
            const answer = await firstValueFrom(rpc.rpc({ destination: queue, body: word }));
            assert.equal(answer.body, `${word.toUpperCase()} 0`);
        }
    });
}

test('calls go on after a reconnect, by a temporary queue that is new', LIMIT, async () => {
    const queue = unique('/queue/rpc-');
    await server(queue);
    const rx = await active();
    const rpc = new RxStompRPC(rx);
    const before = await firstValueFrom(rpc.rpc({ destination: queue, body: 'before' }));
    rx.stompClient.forceDisconnect();
    await waitFor(() => !rx.connected(), { what: 'to notice' });
    await firstValueFrom(rx.connected$);
    const after = await firstValueFrom(rpc.rpc({ destination: queue, body: 'after' }));
    assert.deepEqual([before.body, after.body], ['BEFORE 0', 'AFTER 0']);
    assert.notEqual(before.headers.destination, after.headers.destination);
    const [, name] = before.headers.destination.split('/queue/');
    await waitFor(async () => (await h.management.get(`/queues/%2F/${name}`)) === null, { what: 'the old one to be gone' });
});

test('caller and server on different gateways', LIMIT, async () => {
    const other = isPlugin ? gw : await h.gateway();
    const queue = unique('/queue/rpc-');
    await server(queue, { rx: await active({}, other) });
    const rpc = new RxStompRPC(await active());
    assert.equal((await firstValueFrom(rpc.rpc({ destination: queue, body: 'far' }))).body, 'FAR 0');
});

test('a RECEIPT of a SEND says that the message is in the queue', LIMIT, async () => {
    const name = unique('receipts-');
    const rx = await active();
    const ids = Array.from({ length: 50 }, (_, i) => `${name} ${i}`);
    const confirmed = Promise.all(ids.map((id) => rx.asyncReceipt(id)));
    for (const [i, receipt] of ids.entries()) {
        rx.publish({ destination: `/queue/${name}`, body: `${i}`, headers: { receipt, persistent: 'true' } });
    }
    await confirmed;
    await rx.deactivate();
    const channel = await (await h.amqp()).createChannel();
    const { messageCount } = await channel.checkQueue(name);
    assert.equal(messageCount, 50);
    for (let i = 0; i < 50; i++) {
        const message = await channel.get(name, { noAck: true });
        assert.equal(message.content.toString(), `${i}`);
        assert.equal(message.properties.deliveryMode, 2);
    }
});

test('receipts of ack(), nack(), commit() and UNSUBSCRIBE', LIMIT, async () => {
    const rx = await active();
    const queue = unique('/queue/acks-');
    const heard = [];
    const subscription = await watch(rx, queue, (message) => heard.push(message), { ack: 'client-individual' });
    ['a', 'b', 'c'].forEach((body) => rx.publish({ destination: queue, body }));
    await waitFor(() => heard.length === 3, { what: 'three messages' });
    const acked = rx.asyncReceipt('acked');
    heard[0].ack({ receipt: 'acked' });
    await acked;
    const nacked = rx.asyncReceipt('nacked');
    heard[1].nack({ receipt: 'nacked' });
    await nacked;
    await waitFor(() => heard.length === 4, { what: 'the one that was nacked' });
    assert.deepEqual([heard[3].body, heard[3].headers.redelivered], ['b', 'true']);
    const transaction = rx.stompClient.begin();
    heard[2].ack({ transaction: transaction.id });
    heard[3].ack({ transaction: transaction.id });
    transaction.commit();
    subscription.unsubscribe();
    await rx.deactivate();
    const channel = await (await h.amqp()).createChannel();
    await waitFor(async () => (await channel.checkQueue(queue.slice('/queue/'.length))).consumerCount === 0, { what: 'no consumer' });
    assert.equal((await channel.checkQueue(queue.slice('/queue/'.length))).messageCount, 0);
});

// (RabbitMQ's plugin closes before the ERROR is out.)
test('a queue that must be there and is not: the error reaches its stream', { ...LIMIT, skip: isPlugin }, async () => {
    const rx = await active();
    const errors = firstValueFrom(rx.stompErrors$);
    rx.watch(`/amq/queue/${unique('absent-')}`).subscribe({ error: () => {} });
    const { headers, body } = await errors;
    assert.equal(headers.message, 'not_found');
    assert.match(body, /^NOT_FOUND - no queue 'absent-\w+' in vhost '\/'/);
});

test('when all have left, no temporary queue is left', LIMIT, async () => {
    await Promise.all(all.map((rx) => rx.deactivate()));
    const isTemporary = ({ name, durable }) => !durable && /^(stomp\.gen|amq\.gen|replies)-/.test(name);
    const queues = () => h.management.get('/queues/%2F?columns=name,durable');
    await waitFor(async () => !(await queues()).some(isTemporary), { what: 'no temporary queue' });
});
