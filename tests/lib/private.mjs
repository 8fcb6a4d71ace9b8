// What the suites of private subscriptions share: a short way to say SUBSCRIBE, SEND and ACK over a wire, and to make queues and look at
// them.
import assert from 'node:assert/strict';
import { unique, waitFor } from './harness.mjs';
import { Wire } from './wire.mjs';

export async function client(gw, headers) {
    const wire = await Wire.open(gw.url);
    await wire.connect(headers);
    return wire;
}

// Waits for the RECEIPT: the consumer stands.
export async function subscribe(wire, destination, headers = {}) {
    const receipt = unique('sub');
    wire.send('SUBSCRIBE', { id: 's', destination, receipt, ...headers });
    return wire.receipt(receipt);
}

export async function unsubscribe(wire, id = 's', headers = {}) {
    const receipt = unique('unsub');
    wire.send('UNSUBSCRIBE', { id, receipt, ...headers });
    return wire.receipt(receipt);
}

// Waits for the RECEIPT: the broker has it.
export async function send(wire, destination, body, headers = {}) {
    const receipt = unique('send');
    wire.send('SEND', { destination, receipt, ...headers }, body);
    return wire.receipt(receipt);
}

// Waits for the RECEIPT: the broker has handled it.
export async function ack(wire, message, { command = 'ACK', ...headers } = {}) {
    const receipt = unique('ack');
    wire.send(command, { id: message.headers.ack, receipt, ...headers });
    return wire.receipt(receipt);
}

export const nack = (wire, message, headers = {}) => ack(wire, message, { command: 'NACK', ...headers });

export function message(wire, body, options) {
    return wire.next((frame) => frame.command === 'MESSAGE' && (body === undefined || frame.body === body), options);
}

// The next n MESSAGEs, in the order they came.
export async function messages(wire, n, options) {
    const is = (frame) => frame.command === 'MESSAGE';
    const enough = () => wire.closed || (wire.frames.length >= n && wire.frames.filter(is).length >= n);
    await waitFor(enough, { what: `${n} messages`, every: 5, ...options });
    const found = new Set(wire.frames.filter(is).slice(0, n));
    wire.frames = wire.frames.filter((frame) => !found.has(frame));
    assert.equal(found.size, n, `closed: ${JSON.stringify(wire.closed)}`);
    return [...found];
}

// An ERROR and what follows it.
export async function refused(wire, command, headers, body) {
    wire.send(command, headers, body);
    return wire.errorFrame();
}

// A queue that the test made and that goes with it.
export async function declare(h, name, options = {}) {
    const connection = await h.amqp();
    const channel = await connection.createChannel();
    await channel.assertQueue(name, options);
    h.defer(() => h.management.delete(`/queues/${h.vhostPath}/${encodeURIComponent(name)}`).catch(() => {}));
    return channel;
}

// A name for a queue that the gateway makes; deleted at the end.
export function fresh(h, prefix = 'q') {
    const name = unique(prefix);
    h.defer(() => h.management.delete(`/queues/${h.vhostPath}/${name}`).catch(() => {}));
    return name;
}

// The management API's view of a queue; null: there is none. Its counts lag behind; `count()` does not.
export function queueInfo(h, name) {
    return h.management.get(`/queues/${h.vhostPath}/${encodeURIComponent(name)}`);
}

// Messages that are ready and consumers, as the queue itself says now. null: there is none.
export async function count(h, name) {
    h.counter ??= await h.amqp();
    const channel = await h.counter.createChannel();
    channel.on('error', () => {});
    try {
        const { messageCount, consumerCount } = await channel.checkQueue(name);
        await channel.close();
        return { messages: messageCount, consumers: consumerCount };
    } catch {
        return null;
    }
}

// Cuts an AMQP connection of the gateway as an administrator would in the UI.
export async function cut(h, gw, side) {
    const name = `stompgate ${gw.config.gateway.name}.0 ${side}`;
    const found = await waitFor(
        async () => (await h.management.get('/connections')).find((c) => c.client_properties?.connection_name === name),
        { what: `the connection "${name}" in the management API` },
    );
    await h.management.delete(`/connections/${encodeURIComponent(found.name)}`);
}
