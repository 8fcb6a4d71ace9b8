// Clients of Node that speak STOMP over plain TCP: stompit, which closes its half of the connection behind DISCONNECT and then waits for the
// RECEIPT, and stompjs 2.3.3 by Stomp.overTCP(). RabbitMQ's own plugin is asked the same.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import stompit from 'stompit';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { config } from './target.mjs';

const require = createRequire(import.meta.url);
const Stomp2 = require('stompjs-2');

const LIMIT = { timeout: 30000 };
const credentials = { login: 'guest', passcode: 'guest' };

let h;
let ports;
const all = [];

before(async () => {
    h = await harness({ config });
    const gw = await h.gateway();
    ports = { gateway: gw.tcpPort, plugin: Number(process.env.STOMPGATE_PEER_STOMP.split(':')[1]) };
});

after(async () => {
    all.forEach((client) => client.destroy());
    await h.close();
});

function promised(call) {
    return new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))));
}

// A stompit client, and what it takes to use it with await.
async function connect(port, headers = {}) {
    const options = { host: '127.0.0.1', port, connectHeaders: { host: '/', ...credentials, ...headers }, resetDisconnect: false };
    const client = await promised((done) => stompit.connect(options, done));
    const errors = [];
    client.on('error', (error) => errors.push(error));
    all.push(client);
    const withReceipt = (call) => new Promise((onReceipt, onError) => call({ onReceipt, onError }));
    return {
        client,
        errors,
        send: (destination, body, more = {}) => withReceipt((options) => client.sendString({ destination, ...more }, body, options)),
        ack: (message, more = {}) => withReceipt((options) => client.ack(message, more, options)),
        nack: (message, more = {}) => withReceipt((options) => client.nack(message, more, options)),
        leave: () => promised((done) => client.disconnect(done)),
    };
}

// Messages of a subscription: { headers, body, message }.
function listen({ client }, destination, headers = {}) {
    const heard = [];
    const subscription = client.subscribe({ destination, ...headers }, (error, message) => {
        const pieces = [];
        message?.on('data', (piece) => pieces.push(piece)).on('end', () => {
            heard.push({ headers: message.headers, body: Buffer.concat(pieces), message });
        });
    });
    const hears = (n) => waitFor(() => heard.length >= n, { every: 5, what: `${n} messages instead of ${heard.length}` });
    return { heard, subscription, hears, texts: () => heard.map(({ body }) => body.toString()) };
}

for (const server of ['gateway', 'plugin']) {
    describe(`stompit, at the ${server}`, () => {
        for (const version of ['1.0', '1.1', '1.2']) {
            test(`${version}: a queue, acknowledged one by one`, LIMIT, async () => {
                const queue = unique('/queue/stompit-');
                const ann = await connect(ports[server], { 'accept-version': version });
                assert.equal(ann.client.headers.version, version);
                const { heard, hears, texts } = listen(ann, queue, { ack: 'client-individual' });
                for (const body of ['a', 'b', 'c']) {
                    await ann.send(queue, body);
                }
                await hears(3);
                assert.deepEqual(texts(), ['a', 'b', 'c']);
                await ann.ack(heard[1].message);
                await ann.leave();
                const bob = await connect(ports[server]);
                const rest = listen(bob, queue);
                await rest.hears(2);
                assert.deepEqual(rest.texts(), ['a', 'c']);
                assert.deepEqual(rest.heard.map(({ headers }) => headers.redelivered), ['true', 'true']);
                await bob.leave();
                assert.deepEqual([...ann.errors, ...bob.errors], []);
            });
        }

        test('nack, transactions, unsubscribe', LIMIT, async () => {
            const queue = unique('/queue/stompit-');
            const ann = await connect(ports[server]);
            const { heard, hears, subscription, texts } = listen(ann, queue, { ack: 'client-individual' });
            const transaction = ann.client.begin();
            const aborted = ann.client.begin();
            transaction.send({ destination: queue }).end('kept');
            aborted.send({ destination: queue }).end('dropped');
            aborted.abort();
            transaction.commit();
            await hears(1);
            await ann.nack(heard[0].message);
            await hears(2);
            assert.deepEqual(texts(), ['kept', 'kept']);
            await ann.ack(heard[1].message);
            subscription.unsubscribe();
            await ann.send(queue, 'for others');
            await ann.leave();
            assert.equal(heard.length, 2);
            assert.deepEqual(ann.errors, []);
        });

        test('bodies of bytes, in streams', LIMIT, async () => {
            const room = unique('/topic/stompit.');
            const ann = await connect(ports[server], { 'heart-beat': '1000,1000' });
            const { heard, hears } = listen(ann, room);
            const bytes = randomBytes(300000);
            // Without a content-length nothing but the NUL ends a body.
            const said = [bytes, Buffer.from([0, 1, 0, 255, 0]), Buffer.from('größe')];
            for (const body of said) {
                const frame = ann.client.send({ destination: room, 'content-length': body.length, 'content-type': 'application/octet-stream' });
                for (let i = 0; i < body.length; i += 50000) {
                    frame.write(body.subarray(i, i + 50000));
                }
                frame.end();
            }
            await hears(3);
            assert.ok(heard.every(({ body }, i) => body.equals(said[i])));
            await ann.leave();
        });

        test('what is sent right before the end of its half arrives', LIMIT, async () => {
            const queue = unique('/queue/stompit-');
            const ann = await connect(ports[server]);
            for (let i = 0; i < 500; i++) {
                ann.client.sendString({ destination: queue }, `${i}`);
            }
            await ann.leave();
            const bob = await connect(ports[server]);
            const { hears, texts } = listen(bob, queue);
            await hears(500);
            assert.deepEqual(texts(), Array.from({ length: 500 }, (_, i) => `${i}`));
            await bob.leave();
        });
    });

    test(`stompjs 2.3.3 by Stomp.overTCP(), at the ${server}: queues, acknowledgements, transactions`, LIMIT, async () => {
        const client = Stomp2.overTCP('127.0.0.1', ports[server]);
        Object.assign(client, { debug: null, heartbeat: { incoming: 1000, outgoing: 1000 } });
        await new Promise((resolve, reject) => client.connect({ ...credentials, host: '/' }, resolve, reject));
        const queue = unique('/queue/stompjs-');
        const heard = [];
        const subscription = client.subscribe(queue, (message) => heard.push(message), { ack: 'client' });
        const transaction = client.begin();
        ['1', '2'].forEach((body) => client.send(queue, { transaction: transaction.id }, body));
        client.send(queue, { 'x-header': 'größe' }, 'x'.repeat(100000));
        await waitFor(() => heard.length === 1, { what: 'what is outside' });
        transaction.commit();
        await waitFor(() => heard.length === 3, { what: 'the transaction' });
        assert.deepEqual(heard.map(({ body }) => body.slice(0, 2)), ['xx', '1', '2']);
        assert.equal(heard[0].headers['x-header'], 'größe');
        heard[2].nack();
        await waitFor(() => heard.length === 6, { what: 'all of them again' });
        assert.deepEqual(new Set(heard.slice(3).map(({ headers }) => headers.redelivered)), new Set(['true']));
        heard[5].ack();
        subscription.unsubscribe();
        await new Promise((resolve) => client.disconnect(resolve));
        const ann = await connect(ports[server]);
        const rest = listen(ann, queue);
        await ann.send(queue, 'the end');
        await rest.hears(1);
        assert.deepEqual(rest.texts(), ['the end']);
        await ann.leave();
    });
}
