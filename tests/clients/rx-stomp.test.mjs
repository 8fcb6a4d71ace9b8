// What @stomp/rx-stomp builds on the client: streams that outlive connections, receipts as promises, queued publishing, correlated errors.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { RxStomp, RxStompState } from '@stomp/rx-stomp';
import { firstValueFrom, take, toArray } from 'rxjs';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { endAll, Observed } from './families.mjs';

// Promises of streams have no deadline of their own.
const LIMIT = { timeout: 30000 };

let h;
let gw;
const all = [];

before(async () => {
    h = await harness({ config: { heartbeat: { send_ms: 1000, receive_ms: 1000 } } });
    gw = await h.gateway();
});

after(async () => {
    await Promise.all(all.map((rx) => rx.deactivate({ force: true })));
    endAll();
    await h.close();
});

// An RxStomp with its own URL, by which its sockets are found. Not yet activated.
function make(gateway, options = {}) {
    const rx = new RxStomp();
    rx.url = `${gateway.url}?${unique()}`;
    rx.configure({ brokerURL: rx.url, reconnectDelay: 100, heartbeatIncoming: 1000, heartbeatOutgoing: 1000, ...options });
    all.push(rx);
    return rx;
}

async function active(options) {
    const rx = make(gw, options);
    rx.activate();
    await firstValueFrom(rx.connected$);
    return rx;
}

function sent(rx, command) {
    const pieces = Observed.all.filter((socket) => socket.url === rx.url).flatMap((socket) => socket.sent);
    return pieces.map(String).filter((piece) => piece.startsWith(`${command}\n`));
}

// Watches, and is back when the subscription stands.
async function watch(rx, destination, subHeaders = {}) {
    const heard = [];
    const receipt = unique('r');
    const isThere = rx.asyncReceipt(receipt);
    const subscription = rx.watch({ destination, subHeaders: { ...subHeaders, receipt } }).subscribe((message) => heard.push(message.body));
    await isThere;
    return { heard, subscription };
}

function hears(heard, n) {
    return waitFor(() => heard.length >= n, { every: 5, what: `${n} messages` });
}

test('states, and what the server says of itself', LIMIT, async () => {
    const rx = make(gw);
    const states = firstValueFrom(rx.connectionState$.pipe(take(5), toArray()));
    const greeting = firstValueFrom(rx.serverHeaders$);
    rx.activate();
    await firstValueFrom(rx.connected$);
    const headers = await greeting;
    assert.equal(headers.version, '1.2');
    assert.equal(headers['user-name'], 'anonymous');
    await rx.deactivate();
    const { CLOSED, CONNECTING, OPEN, CLOSING } = RxStompState;
    assert.deepEqual(await states, [CLOSED, CONNECTING, OPEN, CLOSING, CLOSED]);
});

test('watch() before there is a connection, and what was published then, in order', LIMIT, async () => {
    const rx = make(gw);
    const room = unique('/topic/early.');
    const heard = [];
    rx.watch(room).subscribe((message) => heard.push(message.body));
    for (let i = 0; i < 20; i++) {
        rx.publish({ destination: room, body: `early ${i}` });
    }
    assert.throws(() => rx.publish({ destination: room, body: 'never', retryIfDisconnected: false }), /not connected/);
    rx.activate();
    await hears(heard, 20);
    assert.deepEqual(
        heard,
        Array.from({ length: 20 }, (_, i) => `early ${i}`),
    );
    await rx.deactivate();
});

test('asyncReceipt() and watchForReceipt(): of SUBSCRIBE, SEND and UNSUBSCRIBE', LIMIT, async () => {
    const rx = await active();
    const room = unique('/topic/receipts.');
    const { heard } = await watch(rx, room);
    const receipts = Array.from({ length: 50 }, (_, i) => `${room} ${i}`);
    const confirmed = Promise.all(receipts.map((receipt) => rx.asyncReceipt(receipt)));
    for (const [i, receipt] of receipts.entries()) {
        rx.publish({ destination: room, body: `${i}`, headers: { receipt } });
    }
    const frames = await confirmed;
    assert.deepEqual(
        frames.map((frame) => frame.headers['receipt-id']),
        receipts,
    );
    await hears(heard, 50);
    const one = new Promise((resolve) => rx.watchForReceipt('one: of \\ all', resolve));
    rx.publish({ destination: room, body: 'last', headers: { receipt: 'one: of \\ all' } });
    assert.equal((await one).headers['receipt-id'], 'one: of \\ all');

    const gone = rx.asyncReceipt('gone');
    const second = rx.watch({ destination: unique('/topic/brief.'), unsubHeaders: { receipt: 'gone' } }).subscribe();
    second.unsubscribe();
    await gone;
    await rx.deactivate();
});

test('one SUBSCRIBE for all who share a stream, one UNSUBSCRIBE after the last', LIMIT, async () => {
    const rx = await active();
    const room = unique('/topic/shared.');
    const stream = rx.watch({ destination: room, subHeaders: { receipt: 'shared' } });
    const heard = [[], []];
    const isThere = rx.asyncReceipt('shared');
    const [first, second] = heard.map((list) => stream.subscribe((message) => list.push(message.body)));
    await isThere;
    rx.publish({ destination: room, body: 'to both' });
    await hears(heard[1], 1);
    first.unsubscribe();
    rx.publish({ destination: room, body: 'to one' });
    await hears(heard[1], 2);
    assert.deepEqual(heard, [['to both'], ['to both', 'to one']]);
    assert.equal(sent(rx, 'UNSUBSCRIBE').length, 0);
    second.unsubscribe();
    assert.equal(sent(rx, 'SUBSCRIBE').length, 1);
    assert.equal(sent(rx, 'UNSUBSCRIBE').length, 1);
    await rx.deactivate();
});

test('many streams, each with its own messages; binary and a mebibyte among them', LIMIT, async () => {
    const rx = await active({ splitLargeFrames: true });
    const rooms = Array.from({ length: 30 }, () => unique('/topic/many.'));
    const watched = await Promise.all(rooms.map((room) => watch(rx, room)));
    for (let i = 0; i < 300; i++) {
        rx.publish({ destination: rooms[i % 30], body: `${i}` });
    }
    for (const [i, { heard }] of watched.entries()) {
        await hears(heard, 10);
        assert.deepEqual(
            heard,
            Array.from({ length: 10 }, (_, n) => `${i + 30 * n}`),
        );
    }
    const bytes = randomBytes(1024 * 1024);
    const isThere = rx.asyncReceipt('large');
    const large = unique('/topic/large.');
    const next = firstValueFrom(rx.watch(large, { receipt: 'large' }));
    await isThere;
    rx.publish({ destination: large, binaryBody: bytes });
    assert.equal(Buffer.compare(Buffer.from((await next).binaryBody), bytes), 0);
    await rx.deactivate();
});

test('an error reaches the stream that it is about, and the others come back', LIMIT, async () => {
    const errors = [];
    const rx = await active({ correlateErrors: (frame) => frame.headers.destination });
    rx.stompErrors$.subscribe((frame) => errors.push(frame));
    const room = unique('/topic/well.');
    const good = await watch(rx, room);
    const error = await new Promise((resolve) => rx.watch('/nowhere/to-be-found').subscribe({ error: resolve }));
    assert.equal(error.command, 'ERROR');
    assert.equal(error.headers.destination, '/nowhere/to-be-found');
    assert.match(error.headers.message, /^[A-Z]/);
    assert.equal(errors.length, 1);
    await waitFor(() => sent(rx, 'SUBSCRIBE').filter((frame) => frame.includes(room)).length === 2, { what: 'to subscribe again' });
    await waitFor(
        () => {
            rx.publish({ destination: room, body: 'well again' });
            return good.heard.length > 0;
        },
        { what: 'to hear again' },
    );
    assert.equal(sent(rx, 'SUBSCRIBE').filter((frame) => frame.includes('/nowhere')).length, 1);
    await rx.deactivate();
});

test('streams outlive the gateway: killed, and started again on its port', LIMIT, async () => {
    const first = await h.gateway();
    const rx = make(first);
    const room = unique('/topic/outlive.');
    rx.activate();
    await firstValueFrom(rx.connected$);
    const { heard } = await watch(rx, room);
    rx.publish({ destination: room, body: 'before' });
    await hears(heard, 1);
    await first.kill();
    await waitFor(() => !rx.connected(), { what: 'to notice' });
    rx.publish({ destination: room, body: 'meanwhile' }); // kept by the client, sent behind its SUBSCRIBE
    const second = await h.gateway({ gateway: { port: first.port } });
    await hears(heard, 2);
    rx.publish({ destination: room, body: 'after' });
    await hears(heard, 3);
    assert.deepEqual(heard, ['before', 'meanwhile', 'after']);
    await rx.deactivate();
    await second.stop();
});

test('a token that is fetched before each connect', LIMIT, async () => {
    const gateway = await h.gateway({ gateway: { anonymous: false }, user: [{ login: 'ann', password: 'fresh' }] });
    const passwords = ['stale', 'stale', 'fresh'];
    const errors = [];
    const rx = make(gateway, {
        beforeConnect: async (self) => self.stompClient.configure({ connectHeaders: { login: 'ann', passcode: passwords.shift() } }),
    });
    rx.stompErrors$.subscribe((frame) => errors.push(frame.headers.message));
    rx.activate();
    await firstValueFrom(rx.connected$);
    assert.deepEqual(errors, ['Bad CONNECT', 'Bad CONNECT']);
    assert.equal((await firstValueFrom(rx.serverHeaders$))['user-name'], 'ann');
    await rx.deactivate();
    await gateway.stop();
});

test('what is published right before deactivate() is heard', LIMIT, async () => {
    const room = unique('/topic/bye.');
    const ear = await active();
    const { heard } = await watch(ear, room);
    for (let i = 0; i < 5; i++) {
        const rx = await active();
        rx.publish({ destination: room, body: `bye ${i}` });
        await rx.deactivate();
    }
    await hears(heard, 5);
    assert.deepEqual(heard, ['bye 0', 'bye 1', 'bye 2', 'bye 3', 'bye 4']);
    await ear.deactivate();
});
