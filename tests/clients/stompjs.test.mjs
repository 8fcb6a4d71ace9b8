// What @stomp/stompjs 5, 6 and 7 can besides what all clients can: binary bodies, ways to spell frames, factories, and coming back by itself.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Versions } from '@stomp/stompjs';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { decodeFrame } from '../lib/wire.mjs';
import { begin, endAll, modern, Observed, open, stompjs4, webstompClient } from './families.mjs';

const MIB = 1024 * 1024;
const EMOJI = 'ça va? 日本語 🎉👩‍👩‍👧';
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

let h;
let gw;

before(async () => {
    h = await harness({ config: { heartbeat: { send_ms: 1000, receive_ms: 1000 } } });
    gw = await h.gateway();
});

after(async () => {
    endAll();
    await h.close();
});

async function inRoom(family, client) {
    const talker = await open(family, gw, { client });
    const room = unique('/topic/room.');
    const heard = [];
    await talker.subscribe(room, (message) => heard.push(message));
    const hears = (n) => talker.until(() => heard.length >= n, `${n} messages instead of ${heard.length}`);
    return { talker, room, heard, hears };
}

function areEqual(a, b) {
    return Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
}

// A WebSocket as React Native has it: text ends at the first NULL.
class Chopped extends Observed {
    set onmessage(listener) {
        super.onmessage = ({ data }) => listener({ data: typeof data === 'string' ? data.replace(/\0.*$/s, '') : data });
    }
}

// One that loses the client's heart-beats.
class Mute extends Observed {
    send(data, ...rest) {
        if (data !== '\n') {
            super.send(data, ...rest);
        }
    }
}

for (const family of modern) {
    describe(family.name, () => {
        test('binary bodies: every byte there is, and a mebibyte of any', async () => {
            const { talker, room, heard, hears } = await inRoom(family);
            const said = [ALL_BYTES, randomBytes(MIB), new Uint8Array([0]), new Uint8Array([0xff, 0xfe])];
            for (const binaryBody of said) {
                talker.send(room, undefined, { 'content-type': 'application/octet-stream' }, { binaryBody });
                await hears(said.indexOf(binaryBody) + 1);
            }
            assert.ok(heard.every((message, i) => areEqual(message.binaryBody, said[i])));
            assert.ok(heard.every((message) => message.headers['content-type'] === 'application/octet-stream'));
            await talker.close();
        });

        test('text and binary on one connection; a body reads as either', async () => {
            const { talker, room, heard, hears } = await inRoom(family);
            for (let i = 0; i < 20; i++) {
                const body = `${EMOJI} ${i}`;
                talker.send(room, ...(i % 2 ? [body, {}] : [undefined, {}, { binaryBody: new TextEncoder().encode(body) }]));
            }
            await hears(20);
            for (const [i, message] of heard.entries()) {
                assert.equal(message.body, `${EMOJI} ${i}`);
                assert.ok(areEqual(message.binaryBody, Buffer.from(`${EMOJI} ${i}`)));
            }
            assert.deepEqual(new Set(talker.socket.sent.map((piece) => typeof piece)), new Set(['string', 'object']));
            await talker.close();
        });

        test('forceBinaryWSFrames: everything but heart-beats is binary', async () => {
            const { talker, room, heard, hears } = await inRoom(family, { forceBinaryWSFrames: true });
            await talker.say(room, EMOJI, { 'x-header': 'a:b\\ü' });
            await hears(1);
            assert.equal(heard[0].body, EMOJI);
            assert.equal(heard[0].headers['x-header'], 'a:b\\ü');
            await talker.until(() => talker.socket.sent.includes('\n'), 'a heart-beat');
            assert.ok(talker.socket.sent.every((piece) => piece === '\n' || typeof piece === 'object'));
            await talker.say(room, 'after it');
            await talker.close();
        });

        test('splitLargeFrames: a mebibyte in pieces of 8 KiB, and of 100 characters', async () => {
            const { talker, room, heard, hears } = await inRoom(family, { splitLargeFrames: true });
            const said = ['0123456789abcdef'.repeat(MIB / 16), '日本'.repeat(MIB / 6), EMOJI];
            for (const body of said) {
                await talker.say(room, body);
            }
            await hears(3);
            assert.ok(heard.every((message, i) => message.body === said[i]));
            assert.ok(talker.socket.sent.length > 128 && talker.socket.sent.every((piece) => piece.length <= 8192));
            await talker.close();
            const small = await inRoom(family, { splitLargeFrames: true, maxWebSocketChunkSize: 100 });
            await small.talker.say(small.room, 'é'.repeat(5000), { 'x-long': 'v'.repeat(500) });
            await small.hears(1);
            assert.equal(small.heard[0].body, 'é'.repeat(5000));
            assert.equal(small.heard[0].headers['x-long'], 'v'.repeat(500));
            await small.talker.close();
        });

        test('an emoji that splitLargeFrames cuts in two is a framing error that is told', async () => {
            const talker = await open(family, gw, { client: { splitLargeFrames: true, maxWebSocketChunkSize: 1000 } });
            for (let filler = 0; filler < 1000 && !talker.socket.sent.some((piece) => /[\ud800-\udbff]$/.test(piece)); filler++) {
                talker.send('/topic/cut', `${'x'.repeat(800 + filler)}🎉`, {});
            }
            await talker.until(() => talker.closes.length > 0, 'the close');
            assert.equal(talker.errors.length, 1, talker.told());
            assert.match(talker.errors[0].body, /content-length/);
        });

        test('appendMissingNULLonIncoming, where text ends at its NULL', async () => {
            const { talker, room, heard, hears } = await inRoom(family, {
                appendMissingNULLonIncoming: true,
                webSocketFactory: () => new Chopped(`${gw.url}?chopped`, ['v12.stomp', 'v11.stomp', 'v10.stomp']),
            });
            for (const body of [EMOJI, 'x'.repeat(100000), '']) {
                await talker.say(room, body);
            }
            talker.send(room, undefined, {}, { binaryBody: ALL_BYTES });
            await hears(4);
            assert.deepEqual(
                heard.slice(0, 3).map((message) => message.body),
                [EMOJI, 'x'.repeat(100000), ''],
            );
            assert.ok(areEqual(heard[3].binaryBody, ALL_BYTES));
            await talker.close();
        });

        test('a webSocketFactory that offers no subprotocol', async () => {
            const { talker, room, heard, hears } = await inRoom(family, { webSocketFactory: () => new Observed(`${gw.url}?factory`) });
            assert.equal(talker.connected.headers.version, '1.2');
            assert.equal(Observed.all.at(-1).protocol, '');
            await talker.say(room, EMOJI);
            await hears(1);
            assert.equal(heard[0].body, EMOJI);
            await talker.close();
        });

        for (const version of ['1.0', '1.1', '1.2']) {
            test(`stompVersions: ${version} alone`, async () => {
                const { talker, room, heard, hears } = await inRoom(family, { stompVersions: new Versions([version]) });
                assert.equal(talker.connected.headers.version, version);
                assert.equal(talker.socket.protocol, `v${version.replace('.', '')}.stomp`);
                await talker.say(room, EMOJI, { 'x-url': 'http://host:80/' });
                await hears(1);
                assert.equal(heard[0].body, EMOJI);
                // In 1.1 these clients neither escape nor unescape: they see what STOMP 1.1 puts on the wire.
                assert.equal(heard[0].headers['x-url'], version === '1.1' ? 'http\\c//host\\c80/' : 'http://host:80/');
                await talker.close();
            });
        }

        test('receipts and messages that nobody asked for have callbacks of their own', async () => {
            const receipts = [];
            const messages = [];
            const talker = await open(family, gw, {
                client: { onUnhandledReceipt: (frame) => receipts.push(frame), onUnhandledMessage: (message) => messages.push(message) },
            });
            const room = unique('/topic/stray.');
            talker.listen(room, null, { id: 'mine', receipt: 'subscribed' }); // no callback
            await talker.until(() => receipts.length === 1, 'the receipt');
            assert.equal(receipts[0].headers['receipt-id'], 'subscribed');
            await talker.say(room, 'stray');
            await talker.until(() => messages.length === 1, 'the message');
            assert.equal(messages[0].headers.subscription, 'mine');
            await talker.close();
        });

        test('deactivate() ends it, with much unsaid, and activate() comes back', async () => {
            const talker = await open(family, gw);
            talker.send('/topic/deactivate', 'x'.repeat(MIB), {});
            await talker.client.deactivate(); // resolves in 6 and 7
            await talker.until(() => talker.closes.length === 1, 'the close');
            assert.equal(talker.client.connected, false);
            await talker.client.deactivate();
            talker.client.activate();
            await talker.until(() => talker.connects.length === 2, 'CONNECTED once more');
            await talker.say('/topic/deactivate', 'back');
            await talker.close();
            await talker.until(() => talker.closes.length === 2, 'the second close');
            assert.deepEqual(talker.errors, []);
        });

        test('deactivate() before CONNECTED', async () => {
            const talker = begin(family, gw);
            await talker.client.deactivate();
            await talker.until(() => talker.closes.length === 1 || talker.sockets.length === 0, 'the close');
            assert.deepEqual([talker.connects, talker.errors], [[], []]);
        });

        test('what is published right before the end is heard: deactivate(), forceDisconnect(), and one mebibyte', async () => {
            const { talker: ear, room, heard, hears } = await inRoom(family);
            const ends = [(client) => client.deactivate(), (client) => client.forceDisconnect()];
            for (const length of [10, 10, MIB]) {
                for (const end of ends) {
                    const talker = await open(family, gw);
                    talker.send(room, 'z'.repeat(length), {});
                    talker.send(room, 'bye', {});
                    end(talker.client);
                    await hears(2);
                    const lengths = heard.splice(0).map((message) => message.body.length);
                    assert.deepEqual(lengths, [length, 3]);
                }
            }
            await ear.close();
        });

        test('deactivate({ force: true }) leaves nothing behind', async () => {
            const gateway = await h.gateway({ broker: { linger_ms: 100 } });
            const talker = await open(family, gateway);
            await talker.subscribe('/topic/forced', () => {});
            const reaches = (metric, n) => waitFor(async () => (await gateway.metric(metric)) === n, { what: `${metric} to be ${n}` });
            await reaches('stompgate_rooms', 1);
            await talker.client.deactivate({ force: true });
            await reaches('stompgate_sessions', 0);
            await reaches('stompgate_rooms', 0);
            await gateway.stop();
        });
    });
}

describe('coming back', { concurrency: true }, () => {
    // Subscribes whenever it is connected, as applications do.
    function stayer(family, gateway, room, more = {}) {
        const heard = [];
        const talker = begin(family, gateway, { client: { reconnectDelay: 100, ...more }, reconnectDelay: 100 });
        const stay = { talker, heard, subscribed: 0 };
        const onConnect = (frame) => {
            talker.connects.push(frame);
            const receipt = unique('r');
            talker.client.onUnhandledReceipt = (got) => (stay.subscribed += got.headers['receipt-id'] === receipt ? 1 : 0);
            talker.listen(room, (message) => heard.push(message), { receipt });
        };
        talker.client.onConnect = onConnect; // of 5 to 7
        if (talker.family === stompjs4) {
            talker.client.connectCallback = onConnect;
            talker.client.onreceipt = () => stay.subscribed++;
        }
        return stay;
    }

    const back = [...modern, stompjs4];

    async function speak(gateway, room, body, stays) {
        const speaker = await open(modern[0], gateway);
        await speaker.say(room, body);
        await speaker.close();
        for (const { talker, heard } of stays) {
            await talker.until(() => heard.some((message) => message.body === body), `to hear "${body}"`);
        }
    }

    for (const [what, end] of [
        ['killed', (gateway) => gateway.kill()],
        ['stopped in order', (gateway) => gateway.stop()],
    ]) {
        test(`after the gateway was ${what} and started again on its port`, async () => {
            const first = await h.gateway();
            const { port } = first;
            const room = unique('/topic/back.');
            const stays = back.map((family) => stayer(family, first, room));
            for (const stay of stays) {
                await stay.talker.until(() => stay.subscribed === 1, 'the subscription');
            }
            await speak(first, room, 'before', stays);
            await end(first);
            for (const { talker } of stays) {
                await talker.until(() => talker.closes.length > 0, 'the close');
            }
            if (what === 'stopped in order') {
                assert.deepEqual(new Set(stays.map(({ talker }) => talker.closes[0].code)), new Set([1001]));
                assert.ok(stays.every(({ talker }) => talker.closes[0].reason.length > 0));
            }
            const second = await h.gateway({ gateway: { port } });
            for (const stay of stays) {
                await stay.talker.until(() => stay.subscribed === 2, 'the second subscription');
            }
            await speak(second, room, 'after', stays);
            for (const { talker, heard } of stays) {
                assert.deepEqual(
                    heard.map((message) => message.body),
                    ['before', 'after'],
                );
                if (modern.includes(talker.family)) {
                    assert.equal(heard[0].headers.subscription, heard[1].headers.subscription); // their ids start anew
                }
                await talker.close();
            }
            await second.stop();
        });
    }

    test('after an ERROR of its own making', async () => {
        const room = unique('/topic/error.');
        const stays = modern.map((family) => stayer(family, gw, room));
        for (const stay of stays) {
            const { talker } = stay;
            await talker.until(() => stay.subscribed === 1, 'the subscription');
            talker.send('/nowhere', 'x', {});
            await talker.until(() => stay.subscribed === 2, 'the second subscription');
            assert.equal(talker.errors.length, 1);
            assert.equal(talker.closes.length, 1);
            assert.match(String(talker.closes[0].code), /^(1002|1008)$/);
            assert.ok(talker.closes[0].reason.length > 0);
        }
        await speak(gw, room, 'after', stays);
        await Promise.all(stays.map(({ talker }) => talker.close()));
    });

    for (const family of modern) {
        test(`${family.name}, after its heart-beats were lost on the way: it is told, and closed`, async () => {
            const sockets = [];
            const make = () => {
                const Kind = sockets.length === 0 ? Mute : Observed;
                sockets.push(new Kind(`${gw.url}?mute`, ['v12.stomp']));
                return sockets.at(-1);
            };
            const room = unique('/topic/mute.');
            const stay = stayer(family, gw, room, { webSocketFactory: make });
            await stay.talker.until(() => stay.subscribed === 2, 'the second subscription');
            assert.equal(stay.talker.errors[0].headers.message, 'Heart-beat missed');
            assert.equal(stay.talker.closes[0].code, 1008);
            await speak(gw, room, 'after', [stay]);
            await stay.talker.close();
        });
    }

    test('after the gateway said nothing for two heart-beats, and was cut off', async () => {
        const frozen = await h.gateway();
        const room = unique('/topic/frozen.');
        const able = modern.slice(0, 2); // 5 waits for the answer to its close frame
        const stays = able.map((family) => stayer(family, frozen, room, { discardWebsocketOnCommFailure: true }));
        for (const stay of stays) {
            await stay.talker.until(() => stay.subscribed === 1, 'the subscription');
        }
        process.kill(frozen.pid, 'SIGSTOP');
        try {
            for (const { talker } of stays) {
                await talker.until(() => talker.closes.length > 0, 'to give up');
            }
        } finally {
            process.kill(frozen.pid, 'SIGCONT');
        }
        for (const stay of stays) {
            await stay.talker.until(() => stay.subscribed === 2, 'the second subscription');
        }
        await speak(frozen, room, 'after', stays);
        await Promise.all(stays.map(({ talker }) => talker.close()));
        await waitFor(async () => (await frozen.metric('stompgate_sessions')) === 0, { what: 'the sessions that were cut off to go' });
    });
});

test('two thousand messages to 5, 6, 7 and webstomp-client come in order, each in a WebSocket message of its own', async () => {
    const room = unique('/topic/burst.');
    const numbers = Array.from({ length: 2000 }, (_, i) => String(i));
    const ears = await Promise.all([...modern, webstompClient].map((family) => open(family, gw)));
    const heard = ears.map(() => []);
    await Promise.all(ears.map((ear, i) => ear.subscribe(room, (message) => heard[i].push(message.body))));
    for (const number of numbers) {
        ears[0].send(room, number, {});
    }
    for (const [i, ear] of ears.entries()) {
        await ear.until(() => heard[i].length >= 2000, '2,000 messages');
        assert.deepEqual(heard[i], numbers);
        const frames = ear.socket.received.map(({ data }) => decodeFrame(data)).filter((frame) => frame?.command === 'MESSAGE');
        assert.equal(frames.length, 2000);
        await ear.close();
    }
});
