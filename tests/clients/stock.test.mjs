// Every stock client, unmodified, asked the same: connect, subscribe, send, be told of errors, leave. See families.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { decodeFrame } from '../lib/wire.mjs';
import { begin, endAll, families, modern, Observed, open, webstompClient } from './families.mjs';

const EMOJI = 'ça va? 日本語 🎉👩‍👩‍👧🇪🇺 \u{10ffff} "quoted"\ttab';

let h;
let gateways;
let ear; // a client that is in nobody's way, on the other gateway

before(async () => {
    h = await harness({
        config: {
            gateway: { anonymous: true },
            user: [{ login: 'ann', password: 'pass:word \\ 🔑' }],
            heartbeat: { send_ms: 1000, receive_ms: 1000 },
        },
    });
    gateways = await Promise.all([h.gateway(), h.gateway()]);
    ear = await open(modern[0], gateways[1], { client: { heartbeatIncoming: 0, heartbeatOutgoing: 0 } });
});

after(async () => {
    endAll();
    await h.close();
    checkMessages();
});

// Clients parse anything else badly: each message is one whole frame or one LF, text when it is UTF-8, else binary.
function checkMessages() {
    const received = Observed.all.flatMap((socket) => socket.received);
    assert.ok(received.length > 500);
    for (const { data, isBinary } of received) {
        assert.equal(isBinary, !Buffer.from(data.toString()).equals(data));
        const frame = decodeFrame(data);
        if (frame) {
            const end = frame.bytes.byteOffset - frame.raw.byteOffset + frame.bytes.length;
            assert.equal(frame.raw.subarray(end).toString().trimEnd(), '\0');
        }
    }
}

// A room that two clients are in: what the second hears, in order.
async function pair(family, headers) {
    const room = unique('/topic/pair.');
    const heard = [];
    const other = [];
    const talker = await open(family, gateways[0]);
    await ear.subscribe(room, (message) => other.push(message));
    await talker.subscribe(room, (message) => heard.push(message), headers);
    return { room, heard, other, talker };
}

function bodies(messages) {
    return messages.map((message) => message.body);
}

function hears(talker, messages, n) {
    return talker.until(() => messages.length >= n, `${n} messages instead of ${messages.length}`);
}

describe('connecting', { concurrency: true }, () => {
    for (const family of families) {
        test(`${family.name} gets ${family.version} by ${family.subprotocol ?? 'no subprotocol'}, and all CONNECTED must have`, async () => {
            const talker = await open(family, gateways[0]);
            const { headers } = talker.connected;
            assert.equal(headers.version, family.version);
            assert.equal(headers['heart-beat'], '1000,1000');
            assert.match(headers.server, /^stompgate\/\d/);
            assert.match(headers.session, /./);
            assert.equal(headers['user-name'], 'anonymous');
            if (family.isObserved) {
                assert.equal(talker.socket.protocol, family.subprotocol);
            }
            await talker.close();
        });

        test(`${family.name} logs in with a name and a password of colons, backslashes and an emoji`, async () => {
            const talker = await open(family, gateways[0], { headers: { login: 'ann', passcode: 'pass:word \\ 🔑', host: '/' } });
            assert.equal(talker.connected.headers['user-name'], 'ann');
            await talker.close();
        });

        test(`${family.name} is told why it is not let in, and closed`, async () => {
            const talker = begin(family, gateways[0], { headers: { login: 'ann', passcode: 'wrong' } });
            await talker.until(() => talker.errors.length === 1 && talker.closes.length > 0, 'ERROR and the close');
            assert.equal(talker.errors[0].headers.message, 'Bad CONNECT');
            assert.match(talker.errors[0].body, /^Access refused for user 'ann'/);
            assert.equal(talker.connected, undefined);
        });
    }

    for (const [subprotocol, version] of [
        ['v10.stomp', '1.0'],
        ['v11.stomp', '1.1'],
        ['v12.stomp', '1.2'],
    ]) {
        test(`webstomp-client that offers ${subprotocol} alone speaks ${version}`, async () => {
            const talker = await open(webstompClient, gateways[0], { client: { protocols: [subprotocol] } });
            assert.equal(talker.socket.protocol, subprotocol);
            assert.equal(talker.connected.headers.version, version);
            const heard = [];
            await talker.subscribe(`/topic/${talker.url.split('?')[1]}`, (message) => heard.push(message.body));
            await talker.say(`/topic/${talker.url.split('?')[1]}`, EMOJI);
            await hears(talker, heard, 1);
            assert.deepEqual(heard, [EMOJI]);
            await talker.close();
        });
    }
});

for (const family of families) {
    describe(family.name, () => {
        test('several subscriptions: each callback gets its own messages, in order', async () => {
            const talker = await open(family, gateways[0]);
            const word = unique('many');
            const names = [`/topic/${word}.a`, `/topic/${word}.b`, `/topic/${word}/c`, `/topic/${word}.*`, `/fanout/${word}`];
            const heard = Object.fromEntries(names.map((name) => [name, []]));
            for (const name of names) {
                await talker.subscribe(name, (message) => heard[name].push(message));
            }
            for (let i = 0; i < 40; i++) {
                talker.send(names[i % 3], `${i}`, {});
                talker.send(names[4], `${i}`, {});
            }
            const numbers = Array.from({ length: 40 }, (_, i) => `${i}`);
            await hears(talker, heard[names[3]], 40);
            await hears(talker, heard[names[4]], 40);
            for (const [i, name] of names.slice(0, 3).entries()) {
                await hears(talker, heard[name], Math.ceil((40 - i) / 3));
                assert.deepEqual(
                    bodies(heard[name]),
                    numbers.filter((n) => n % 3 === i),
                );
                assert.ok(heard[name].every((message) => message.headers.destination === name));
            }
            assert.deepEqual(bodies(heard[names[3]]), numbers);
            assert.deepEqual(bodies(heard[names[4]]), numbers);
            const ids = heard[names[4]].map((message) => message.headers['message-id']);
            assert.equal(new Set(ids).size, 40);
            await talker.close();
            await h.management.delete(`/exchanges/${h.vhostPath}/${word}`);
        });

        test('what is unsubscribed hears no more', async () => {
            const talker = await open(family, gateways[0]);
            const room = unique('/topic/leave.');
            const first = [];
            const second = [];
            const subscription = await talker.subscribe(room, (message) => first.push(message.body), { id: 'leaver' });
            await talker.subscribe(room, (message) => second.push(message.body));
            await talker.say(room, 'to both');
            await hears(talker, first, 1);
            const receipt = unique('r');
            talker.expectReceipt(receipt);
            subscription.unsubscribe({ receipt });
            if (family.unsubscribeHeaders) {
                await talker.receipt(receipt);
            }
            await talker.say(room, 'to one');
            await hears(talker, second, 2);
            assert.deepEqual([first, second], [['to both'], ['to both', 'to one']]);
            if (family.isObserved) {
                const sent = talker.socket.frames('MESSAGE').filter((frame) => frame.headers.subscription === 'leaver');
                assert.deepEqual(bodies(sent), ['to both']);
            }
            await talker.close();
        });

        test('bodies arrive as they were sent, here and on another gateway', async () => {
            const { room, heard, other, talker } = await pair(family);
            const said = ['', 'plain', EMOJI, '\n\nbegins with lines', 'CR LF\r\nend\r\n', '  blanks  ', 'MESSAGE\nsubscription:x\n\nframe', 'é'.repeat(9999)];
            for (const body of said) {
                await talker.say(room, body, { 'content-type': 'text/plain' });
            }
            await hears(talker, heard, said.length);
            await hears(ear, other, said.length);
            assert.deepEqual(bodies(heard), said);
            assert.deepEqual(bodies(other), said);
            assert.ok(other.every((message) => message.headers['content-type'] === 'text/plain'));
            for (const body of said) {
                ear.send(room, body, {});
            }
            await hears(talker, heard, said.length * 2);
            assert.deepEqual(bodies(heard.slice(said.length)), said);
            await talker.close();
        });

        test('a body without content-length ends at its NULL', async () => {
            const { room, heard, talker } = await pair(family);
            talker.send(room, EMOJI, ...family.unmeasured);
            await hears(talker, heard, 1);
            assert.deepEqual(bodies(heard), [EMOJI]);
            if (family.isObserved) {
                assert.doesNotMatch(String(talker.socket.sent.at(-1)), /content-length/);
            }
            await talker.close();
        });

        test('1 MiB each way, of one and of three bytes a character', async () => {
            const { room, heard, other, talker } = await pair(family);
            const said = ['0123456789abcdef'.repeat(family.largest / 16), '日本語'.repeat(family.largest / 9)];
            for (const body of said) {
                await talker.say(room, body);
            }
            await hears(ear, other, 2);
            for (const body of said) {
                await ear.say(room, body);
            }
            await hears(talker, heard, 4);
            await hears(ear, other, 4);
            for (const messages of [heard, other]) {
                assert.ok(messages.every(({ body }, i) => body === said[i % 2])); // no diff of megabytes
            }
            if (family.isObserved && family.splits) {
                assert.ok(talker.socket.sent.length > family.largest / family.splits);
                assert.ok(talker.socket.sent.every((piece) => piece.length <= family.splits));
            }
            await talker.close();
        });

        // 2.3.3 and webstomp-client do not know escapes: what they send raw is understood, what they get is spelled as STOMP says.
        test('headers with colons, backslashes, line ends and emoji', async () => {
            const { room, heard, other, talker } = await pair(family);
            const headers = { 'x-url': 'http://host:80/a:b', 'x-emoji': 'ça 🎉', 'x-UPPER': 'lower', 'x-empty': '' };
            if (family.escapes) {
                Object.assign(headers, { 'x-slashes': 'C:\\dir\\', 'x-lines': 'one\ntwo\r\nthree' });
            }
            await talker.say(room, 'headers', headers);
            await hears(ear, other, 1);
            await hears(talker, heard, 1);
            const mine = family.escapes ? headers : { ...headers, 'x-url': 'http\\c//host\\c80/a\\cb' };
            for (const name of Object.keys(headers)) {
                assert.equal(other[0].headers[name], headers[name], name);
                assert.equal(heard[0].headers[name], mine[name], name);
            }
            assert.ok(!('receipt' in other[0].headers));
            await talker.close();
        });

        test('a transaction is heard when it is committed, and not at all when it is aborted', async () => {
            const { room, heard, talker } = await pair(family);
            const good = talker.transaction();
            const bad = talker.transaction();
            talker.expectReceipt('one');
            talker.send(room, 'one', { transaction: good.id, receipt: 'one' });
            talker.send(room, 'never', { transaction: bad.id });
            talker.send(room, 'two', { transaction: good.id });
            await talker.say(room, 'at once');
            await hears(talker, heard, 1);
            assert.ok(!talker.receipts.has('one')); // a receipt is a promise, and nothing was published yet
            bad.abort();
            good.commit();
            await talker.receipt('one');
            await hears(talker, heard, 3);
            await talker.say(room, 'last');
            await hears(talker, heard, 4);
            assert.deepEqual(bodies(heard), ['at once', 'one', 'two', 'last']);
            await talker.close();
        });

        test('an error is named, with the receipt that will not come, and the close follows', async () => {
            for (const destination of ['/nowhere/at-all', '/topic/wild.*', `/topic/${'x'.repeat(256)}`]) {
                const talker = await open(family, gateways[0]);
                talker.expectReceipt('hopeless');
                talker.send(destination, 'x', { receipt: 'hopeless' });
                await talker.until(() => talker.closes.length > 0, 'the close');
                assert.equal(talker.errors.length, 1, talker.told());
                const [error] = talker.errors;
                assert.match(error.headers.message, /^[A-Z][a-z]/);
                assert.equal(error.headers['receipt-id'], 'hopeless');
                assert.equal(error.headers['content-type'], 'text/plain');
                assert.match(error.body, /\w+ \w+/);
                assert.equal(talker.receipts.size, 0);
            }
        });

        test('leaves in order, and no close is told where nothing went wrong', async () => {
            const talker = await open(family, gateways[0]);
            await talker.close();
            if (family.isObserved) {
                await waitFor(() => talker.socket.readyState === talker.socket.CLOSED, { what: 'the socket to close' });
                assert.deepEqual(talker.socket.frames('ERROR'), []);
            }
            assert.deepEqual(talker.errors, []);
        });

        test('what it sends right before it leaves is heard', async () => {
            const room = unique('/topic/bye.');
            const other = [];
            await ear.subscribe(room, (message) => other.push(message.body));
            const said = [];
            for (let i = 0; i < 5; i++) {
                const talker = await open(family, gateways[0]);
                talker.send(room, `last words ${i} ${'.'.repeat(i * 20000)}`, {});
                talker.send(room, `bye ${i}`, {});
                talker.close();
                said.push(`last words ${i} ${'.'.repeat(i * 20000)}`, `bye ${i}`);
                await hears(ear, other, said.length);
            }
            assert.deepEqual(other, said);
        });
    });
}

describe('frames in pieces', () => {
    // Each half of the character becomes one of three bytes: the body is longer than its content-length.
    for (const family of families.filter(({ splits, isObserved }) => splits && isObserved)) {
        test(`${family.name}: an emoji that the client cuts in two is a framing error that is told`, async () => {
            const talker = await open(family, gateways[0]);
            const say = (filler) => talker.send('/topic/cut', `${'x'.repeat(filler)}🎉${'y'.repeat(family.splits)}`, {});
            say(family.splits);
            const at = talker.socket.sent.slice(-3).join('').indexOf('🎉');
            await talker.say('/topic/cut', 'the character before was whole');
            say(3 * family.splits - 1 - at);
            assert.match(talker.socket.sent.at(-3), /[\ud800-\udbff]$/);
            await talker.until(() => talker.closes.length > 0, 'the close');
            assert.equal(talker.errors.length, 1, talker.told());
            assert.match(talker.errors[0].body, /content-length/);
        });
    }
});

describe('heart-beats', { concurrency: true }, () => {
    for (const family of families) {
        test(`${family.name}: both ways, once a second, and nobody is cut off`, async () => {
            const talker = await open(family, gateways[0]);
            if (family.isObserved) {
                await talker.until(() => talker.socket.beats >= 4, 'four heart-beats');
                const sent = talker.socket.sent.filter((piece) => piece.length === 1);
                assert.ok(sent.length >= 2, `${sent.length} heart-beats of the client`);
            } else {
                await new Promise((resolve) => setTimeout(resolve, 4000)); // longer than either side is patient
            }
            const heard = [];
            const room = unique('/topic/beat.');
            await talker.subscribe(room, (message) => heard.push(message.body));
            await talker.say(room, 'still here');
            await hears(talker, heard, 1);
            assert.deepEqual([talker.errors, talker.closes], [[], []]);
            await talker.close();
        });
    }
});

test('webstomp-client in its binary mode', async () => {
    const talker = await open(webstompClient, gateways[0], { client: { binary: true } });
    const room = unique('/topic/bin.');
    const heard = [];
    await talker.subscribe(room, (message) => heard.push(message.body));
    const said = [EMOJI, '日本'.repeat(20000), ''];
    for (const body of said) {
        await talker.say(room, body);
    }
    await hears(talker, heard, said.length);
    assert.deepEqual(heard, said);
    await talker.until(() => talker.socket.sent.some((piece) => piece.length === 1), 'a heart-beat of its own');
    assert.ok(talker.socket.sent.every((piece) => piece instanceof Uint8Array));
    await talker.say(room, 'after it');
    await talker.close();
});

test('all of them, on two gateways, in one room: each hears everybody, in order', async () => {
    const room = unique('/topic/all.');
    const N = 50;
    const talkers = await Promise.all(families.map((family, i) => open(family, gateways[i % 2])));
    const heard = talkers.map(() => []);
    await Promise.all(talkers.map((talker, i) => talker.subscribe(room, (message) => heard[i].push(message.body))));
    for (let n = 0; n < N; n++) {
        talkers.forEach((talker, i) => talker.send(room, `${i} ${n} ${EMOJI}`, {}));
    }
    const wanted = talkers.map((_, i) => Array.from({ length: N }, (_, n) => `${i} ${n} ${EMOJI}`));
    for (const [i, talker] of talkers.entries()) {
        await hears(talker, heard[i], N * talkers.length);
        const bySender = talkers.map((_, sender) => heard[i].filter((body) => body.startsWith(`${sender} `)));
        assert.deepEqual(bySender, wanted, `what ${talker.family.name} heard`);
    }
    await Promise.all(talkers.map((talker) => talker.close()));
});
