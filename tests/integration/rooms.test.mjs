// Very many rooms: all hear again after a cut connection while others of the broker work on, and joins and leaves in a storm cost the
// broker one bind for each room. How fast is measured by bench/recover.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cut } from '../lib/private.mjs';
import { harness, sleep, unique, waitFor } from '../lib/harness.mjs';
import { Wire } from '../lib/wire.mjs';

const LINGER_MS = 400;
const CLIENTS = 10;

let h;
before(async () => {
    h = await harness({ config: { broker: { reconnect_min_ms: 50, reconnect_max_ms: 300, linger_ms: LINGER_MS } } });
});
after(() => h.close());

async function clients(gw, n) {
    const wires = await Promise.all(Array.from({ length: n }, () => Wire.open(gw.url)));
    await Promise.all(wires.map((wire) => wire.connect()));
    return wires;
}

// Room i belongs to client i % CLIENTS.
async function subscribeAll(wires, word, rooms) {
    for (let i = 0; i < rooms; i++) {
        wires[i % wires.length].send('SUBSCRIBE', { id: `s${i}`, destination: `/topic/${word}.${i}`, receipt: `r${i}` });
    }
    for (let i = 0; i < rooms; i++) {
        await wires[i % wires.length].receipt(`r${i}`);
    }
}

// Publishes with plain AMQP to each room, and waits until all have heard it.
async function tellAll(channel, wires, word, rooms, text) {
    for (let i = 0; i < rooms; i++) {
        channel.publish('amq.topic', `${word}.${i}`, Buffer.from(text));
    }
    await channel.waitForConfirms();
    const heard = () => wires.flatMap((wire) => wire.frames.filter((frame) => frame.command === 'MESSAGE' && frame.body === text));
    await waitFor(() => new Set(heard().map((frame) => frame.headers.subscription)).size === rooms, { what: `${rooms} rooms to hear ${text}` });
    assert.equal(heard().length, rooms, 'each once');
    wires.forEach((wire) => wire.frames.splice(0));
}

// Somebody else's publishes, one after the other, until stopped. Gives how many were confirmed.
async function bystander() {
    const channel = await (await h.amqp()).createConfirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true, arguments: { 'x-max-length': 10 } });
    let isOver = false;
    let confirmed = 0;
    const all = (async () => {
        while (!isOver) {
            await new Promise((resolve, reject) => channel.sendToQueue(queue, Buffer.from('x'), {}, (error) => (error ? reject(error) : resolve())));
            confirmed++;
        }
    })();
    return {
        count: () => confirmed,
        async stop() {
            isOver = true;
            await all;
        },
    };
}

describe('the connection of 2,000 rooms is cut', () => {
    for (const { name, bindMax, prefixes } of [
        { name: 'bound one by one', bindMax: 5000, prefixes: 0 },
        { name: 'heard by the prefix', bindMax: 500, prefixes: 1 },
    ]) {
        test(`${name}: all hear again, others go on`, async () => {
            const rooms = 2000;
            const gw = await h.gateway({ broker: { bind_max: bindMax } });
            const word = unique('cut');
            const wires = await clients(gw, CLIENTS);
            const channel = await (await h.amqp()).createConfirmChannel();
            const other = await bystander();
            await subscribeAll(wires, word, rooms);
            await tellAll(channel, wires, word, rooms, 'before');
            const gaps = await gw.metric('stompgate_gaps_total');
            await cut(h, gw, 'live');
            await waitFor(async () => (await gw.metric('stompgate_gaps_total')) > gaps, { what: 'the gap to be seen' });
            const confirmed = other.count();
            await tellAll(channel, wires, word, rooms, 'after');
            const isSettled = async () =>
                (await gw.metric('stompgate_bindings_waiting')) === 0 && (await gw.metric('stompgate_binding_prefixes')) === prefixes;
            await waitFor(isSettled, { what: 'the bindings to stand as they did' });
            await tellAll(channel, wires, word, rooms, 'settled');
            assert.ok(other.count() > confirmed, 'the bystander was served');
            await other.stop();
            await gw.stop();
        });
    }
});

describe('joins and leaves in a storm', () => {
    const counts = async (gw) => ({ binds: await gw.metric('stompgate_binds_total'), unbinds: await gw.metric('stompgate_unbinds_total') });

    test('one room that is never empty for longer than the linger is bound once', async () => {
        const gw = await h.gateway();
        const destination = unique('/topic/flap.');
        const [wire] = await clients(gw, 1);
        for (let i = 0; i < 500; i++) {
            wire.send('SUBSCRIBE', { id: `j${i}`, destination, receipt: `j${i}` });
            wire.send('UNSUBSCRIBE', { id: `j${i}`, receipt: `l${i}` });
            await wire.receipt(`l${i}`);
        }
        await waitFor(async () => (await gw.metric('stompgate_rooms')) === 0, { what: 'the room to go' });
        await waitFor(async () => (await counts(gw)).unbinds === 1, { what: 'one unbind' });
        assert.deepEqual(await counts(gw), { binds: 1, unbinds: 1 });
        await gw.stop();
    });

    test('1,000 rooms that are left and joined again within the linger are bound once each', async () => {
        const rooms = 1000;
        const gw = await h.gateway({ broker: { linger_ms: 60000 } });
        const word = unique('flap');
        for (let round = 0; round < 3; round++) {
            const wires = await clients(gw, CLIENTS);
            await subscribeAll(wires, word, rooms);
            wires.forEach((wire) => wire.socket.close());
            await waitFor(async () => (await gw.metric('stompgate_sessions')) === 0, { what: 'everybody to be gone' });
        }
        await sleep(1100); // what /metrics says is of the last second
        assert.deepEqual(await counts(gw), { binds: rooms, unbinds: 0 });
        await gw.stop();
    });
});
