// Each limit of the configuration, on it and one over: what stands on it goes through; what goes over gets one ERROR and a close.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, openRoutes, unique, waitFor } from '../lib/harness.mjs';
import * as queues from '../lib/private.mjs';
import { Canary, OPCODE, Raw } from '../lib/raw.mjs';
import { accepted, refusal } from '../lib/refusal.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

const LIMITS = {
    frame_before_connect_bytes: 1024,
    headers: 12,
    header_name_bytes: 40,
    header_value_bytes: 1000,
    header_block_bytes: 4096,
    body_bytes: 1 << 20,
    fragments: 1024,
    subscriptions: 5,
    unconfirmed: 10,
    unconfirmed_bytes: 65536,
    parked_bytes: 65536,
    connect_ms: 700,
    half_frame_ms: 700,
    close_linger_ms: 1000,
};
const TOO_BIG = { message: 'Frame too large', code: 1009 };

const h = await harness();
let gw;
let canary;

before(async () => {
    gw = await h.gateway({ limits: LIMITS });
    canary = await Canary.start(gw);
});

after(async () => {
    await canary?.stop();
    await h.close();
});

// A SEND with these headers behind destination and receipt, both ways: accepted with its RECEIPT.
async function sends(headers, body, pairs) {
    await accepted(gw, async (wire) => {
        wire.send('SEND', pairs ?? { destination: '/topic/limits', receipt: 'r', ...headers }, body);
        await wire.receipt('r');
    });
}

function refuses(headers, body, expected) {
    const wrong = (wire) => wire.send('SEND', { destination: '/topic/limits', receipt: 'r', ...headers }, body);
    return refusal(gw, { wrong, receipt: 'r', ...TOO_BIG, ...expected });
}

function custom(n) {
    return Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, 'v']));
}

describe('headers', () => {
    test('as many as there may be', () => sends(custom(LIMITS.headers - 2)));
    test('one more', () => refuses(custom(LIMITS.headers - 1), '', { body: /too many headers/ }));
    test('ten thousand', () => refuses(custom(10000), '', { body: /too many headers/ }));

    test('a name as long as it may be', () => sends({ ['n'.repeat(LIMITS.header_name_bytes)]: 'v' }));
    test('a name that is longer', () => refuses({ ['n'.repeat(LIMITS.header_name_bytes + 1)]: 'v' }, '', { body: /name is too long/ }));

    test('a value as long as it may be', () => sends({ x: 'v'.repeat(LIMITS.header_value_bytes) }));
    test('a value that is longer', () => refuses({ x: 'v'.repeat(LIMITS.header_value_bytes + 1) }, '', { body: /value is too long/ }));

    test('a value that is a megabyte long, in pieces', () =>
        refusal(gw, {
            wrong: async (wire) => {
                wire.raw('SEND\ndestination:/topic/limits\nreceipt:r\nx:');
                for (let i = 0; i < 64 && !wire.closed; i++) {
                    wire.raw('v'.repeat(16384));
                }
            },
            receipt: 'r',
            body: /value is too long/,
            ...TOO_BIG,
        }));

    // The block: all lines with their line feeds, the empty one too.
    const fixed = 'destination:/topic/limits\nreceipt:r\n\n'.length;
    const block = (size) => {
        const headers = {};
        let rest = size - fixed;
        for (let i = 0; rest > 0; i++) {
            const part = rest > 1600 ? 800 : Math.min(rest, 1000);
            headers[`b${i}`] = 'v'.repeat(part - 4);
            rest -= part;
        }
        return headers;
    };
    test('a block as large as it may be', () => sends(block(LIMITS.header_block_bytes)));
    test('a block that is larger', () => refuses(block(LIMITS.header_block_bytes + 1), '', { body: /headers are too long in sum/ }));
});

describe('bodies', () => {
    const whole = 'b'.repeat(LIMITS.body_bytes);

    test('1 MiB there and back', async () => {
        await accepted(gw, async (wire) => {
            wire.send('SUBSCRIBE', { id: 's', destination: '/topic/big', receipt: 's' });
            await wire.receipt('s');
            wire.send('SEND', { destination: '/topic/big', receipt: 'r' }, whole);
            await wire.receipt('r');
            const { bytes } = await wire.next((frame) => frame.command === 'MESSAGE');
            assert.equal(bytes.length, LIMITS.body_bytes);
            assert.ok(bytes.equals(Buffer.from(whole)));
        });
    });

    test('1 MiB with a content-length, NULs in it', async () => {
        const body = Buffer.alloc(LIMITS.body_bytes, 0);
        await accepted(gw, async (wire) => {
            wire.send('SUBSCRIBE', { id: 's', destination: '/topic/nul', receipt: 's' });
            await wire.receipt('s');
            wire.raw(encodeFrame('SEND', { destination: '/topic/nul', 'content-length': body.length }, body));
            const { bytes } = await wire.next((frame) => frame.command === 'MESSAGE');
            assert.ok(bytes.equals(body));
        });
    });

    test('one byte more', () => refuses({}, `${whole}b`, { body: /body is too long/ }));
    test('one byte more is refused when it is announced', () => refuses({ 'content-length': LIMITS.body_bytes + 1 }, '', { body: /body is too long/ }));
    for (const length of ['2147483648', '4294967296', '9223372036854775808', '18446744073709551621', '9'.repeat(300)]) {
        test(`content-length ${length.slice(0, 24)}`, () => refuses({ 'content-length': length }, 'abc', { body: /body is too long/ }));
    }

    test('no NUL ever', () =>
        refusal(gw, {
            wrong: async (wire) => {
                wire.raw('SEND\ndestination:/topic/limits\nreceipt:r\n\n');
                for (let i = 0; i < 40 && !wire.closed; i++) {
                    wire.raw('b'.repeat(32768));
                }
            },
            receipt: 'r',
            body: /body is too long/,
            ...TOO_BIG,
        }));
});

describe('routing keys', () => {
    const subscribe = { message: 'Invalid destination', code: 1008, receipt: 'r', body: /255 bytes/ };
    for (const [what, key, isRight] of [
        ['of 254 bytes', 'k'.repeat(254), true],
        ['of 255 bytes', 'k'.repeat(255), true],
        ['of 255 bytes with slashes', 'abcd/'.repeat(50) + 'abcde', true],
        ['of 255 bytes with a character of four at the end', `${'k'.repeat(251)}😀`, true],
        ['of 255 bytes when decoded', `${'k'.repeat(252)}%2F%2F%2F`, true],
        ['of 256 bytes', 'k'.repeat(256), false],
        ['of 256 bytes with a character of two across the border', `${'k'.repeat(254)}é`, false],
        ['of 300 bytes', 'k'.repeat(300), false],
        ['of 256 bytes when decoded', `${'k'.repeat(255)}%2F`, false],
    ]) {
        const destination = `/topic/${key}`;
        if (isRight) {
            test(`${what}: arrives`, () =>
                accepted(gw, async (wire) => {
                    wire.send('SUBSCRIBE', { id: 's', destination, receipt: 's' });
                    await wire.receipt('s');
                    wire.send('SEND', { destination, receipt: 'r' }, 'here');
                    await wire.receipt('r');
                    const message = await wire.next((frame) => frame.command === 'MESSAGE');
                    assert.deepEqual([message.headers.destination, message.body], [destination, 'here']);
                }));
        } else {
            test(`${what}: refused for SEND`, () => refusal(gw, { wrong: (wire) => wire.send('SEND', { destination, receipt: 'r' }), ...subscribe }));
            test(`${what}: refused for SUBSCRIBE`, () =>
                refusal(gw, { wrong: (wire) => wire.send('SUBSCRIBE', { id: 's', destination, receipt: 'r' }), ...subscribe }));
        }
    }
});

describe('before CONNECTED', () => {
    const connectOf = (size) => {
        const head = 'CONNECT\naccept-version:1.2\nx:';
        return `${head}${'v'.repeat(size - head.length - 3)}\n\n\0`;
    };

    test('a CONNECT as large as it may be', async () => {
        const wire = await Wire.open(gw.url);
        wire.raw(connectOf(LIMITS.frame_before_connect_bytes - 20)); // its one long value stays under header_value_bytes
        await wire.next((frame) => frame.command === 'CONNECTED');
        await wire.disconnect();
    });

    test('a CONNECT that is larger', () =>
        refusal(gw, {
            connect: null,
            wrong: (wire) => wire.raw(`CONNECT\naccept-version:1.2\nx:${'v'.repeat(800)}\ny:${'v'.repeat(300)}\n\n\0`),
            body: /frame is too long/,
            ...TOO_BIG,
        }));

    test('a large body in place of a CONNECT', () =>
        refusal(gw, { connect: null, wrong: (wire) => wire.send('SEND', { destination: '/topic/a' }, 'b'.repeat(5000)), body: /frame is too long/, ...TOO_BIG }));

    test('no CONNECT in time', async () => {
        const began = Date.now();
        await refusal(gw, { connect: null, wrong: () => {}, message: 'Login timeout', body: /700 ms/, code: 1008 });
        assert.ok(Date.now() - began >= 650);
    });

    test('heart-beats and PINGs in place of a CONNECT', () =>
        refusal(gw, {
            connect: null,
            wrong: (wire) => {
                const timer = setInterval(() => (wire.closed ? clearInterval(timer) : wire.raw('\n') || wire.socket.ping()), 50);
            },
            message: 'Login timeout',
            code: 1008,
        }));

    test('half a CONNECT, one byte at a time', () =>
        refusal(gw, {
            connect: null,
            wrong: (wire) => {
                wire.raw('CONNECT\n');
                const timer = setInterval(() => (wire.closed ? clearInterval(timer) : wire.raw('a')), 50);
            },
            message: /^(Frame incomplete|Login timeout)$/,
            code: 1008,
        }));
});

describe('half a frame', () => {
    for (const [what, begin, drip] of [
        ['and then nothing', 'SEND\ndestination:/topic/a\n', ''],
        ['and then a byte at a time', 'SEND\ndestination:/topic/a\n\n', 'x'],
        ['and then a header at a time', 'SEND\n', 'x:\n'],
        ['of a body that was announced', 'SEND\ndestination:/topic/a\ncontent-length:1000\n\nabc', ''],
    ]) {
        test(what, async () => {
            const began = Date.now();
            await refusal(gw, {
                wrong: (wire) => {
                    wire.raw(begin);
                    const timer = setInterval(() => (wire.closed ? clearInterval(timer) : drip && wire.raw(drip)), 100);
                },
                message: 'Frame incomplete',
                body: /700 ms/,
                code: 1008,
            });
            assert.ok(Date.now() - began >= 650);
        });
    }

    test('half a WebSocket frame ends as well', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        raw.write(Buffer.from([0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4, ...Buffer.from('SEND\n').map((byte, i) => byte ^ [1, 2, 3, 4][i & 3])]));
        assert.equal((await raw.closeFrame({ timeout: 5000 })).code, 1008);
        raw.end();
    });
});

describe('subscriptions', () => {
    const subscribe = (wire, i) => wire.send('SUBSCRIBE', { id: `s${i}`, destination: `/topic/limits.${i}`, receipt: `r${i}` });

    test('as many as there may be, again and again', () =>
        accepted(gw, async (wire) => {
            for (let i = 0; i < LIMITS.subscriptions; i++) {
                subscribe(wire, i);
                await wire.receipt(`r${i}`);
            }
            for (let i = LIMITS.subscriptions; i < 30; i++) {
                wire.send('UNSUBSCRIBE', { id: `s${i - 1}` });
                subscribe(wire, i);
                await wire.receipt(`r${i}`);
            }
        }));

    test('one more', () =>
        refusal(gw, {
            wrong: async (wire) => {
                for (let i = 0; i <= LIMITS.subscriptions; i++) {
                    subscribe(wire, i);
                    if (i < LIMITS.subscriptions) {
                        await wire.receipt(`r${i}`);
                    }
                }
            },
            message: 'Too many subscriptions',
            receipt: `r${LIMITS.subscriptions}`,
            code: 1008,
        }));

    test('ten thousand in one go', async () => {
        const wire = await Wire.open(gw.url);
        await wire.connect();
        const all = Array.from({ length: 10000 }, (_, i) => encodeFrame('SUBSCRIBE', { id: `s${i}`, destination: `/topic/bomb.${i}`, receipt: `r${i}` }));
        wire.raw(Buffer.concat(all));
        const error = await wire.errorFrame();
        assert.equal(error.headers.message, 'Too many subscriptions');
        assert.equal(error.headers['receipt-id'], `r${LIMITS.subscriptions}`);
        await wire.waitClosed();
        assert.equal(wire.closed.code, 1008);
        await waitFor(async () => (await gw.metric('stompgate_subscriptions')) === 1, { what: "only the canary's subscription to be left" });
    });
});

describe('unacknowledged messages', () => {
    const EACH = 50000;

    async function filled() {
        const name = unique('unacked');
        h.defer(() => h.management.delete(`/queues/${h.vhostPath}/${name}`));
        const channel = await (await h.amqp()).createConfirmChannel();
        await channel.assertQueue(name);
        for (let i = 0; i < EACH; i++) {
            if (!channel.sendToQueue(name, Buffer.from(`${i}`))) {
                await new Promise((resolve) => channel.once('drain', resolve));
            }
        }
        await channel.waitForConfirms();
        return name;
    }

    test('a hundred thousand in one session: one ACK settles half of them, the others go back, and nobody else notices', async () => {
        const own = await h.gateway({ route: openRoutes() });
        const other = await Canary.start(own);
        const names = [await filled(), await filled()];
        const wire = await queues.client(own);
        const got = [];
        for (const [i, name] of names.entries()) {
            await queues.subscribe(wire, `/queue/${name}`, { id: `s${i}`, ack: 'client', 'prefetch-count': EACH });
            got.push(await queues.messages(wire, EACH, { timeout: 120000 }));
        }
        const last = got[0].at(-1);
        assert.deepEqual([last.headers.subscription, last.body], ['s0', `${EACH - 1}`]);
        await queues.ack(wire, last);
        await wire.disconnect();
        await waitFor(async () => (await queues.count(h, names[1])).messages === EACH, { what: 'the others to be in their queue again' });
        assert.equal((await queues.count(h, names[0])).messages, 0);
        await other.stop();
        await own.stop();
    });

    test('a subscription that would be allowed too many', () =>
        refusal(gw, {
            wrong: async (wire) => {
                for (let i = 0; i < 5; i++) {
                    wire.send('SUBSCRIBE', { id: `s${i}`, destination: '/topic/limits', ack: 'client', 'prefetch-count': 65535, receipt: `r${i}` });
                }
                for (let i = 0; i < 4; i++) {
                    await wire.receipt(`r${i}`);
                }
            },
            message: 'Too many unacknowledged messages',
            body: /262144/,
            receipt: 'r4',
            code: 1008,
        }));
});

describe('unconfirmed SENDs', () => {
    for (const [what, n, size] of [
        ['many more than may be unconfirmed', 500, 10],
        ['more bytes than may be unconfirmed and parked', 100, 20000],
    ]) {
        test(`${what}: all are confirmed in the end, in order`, () =>
            accepted(gw, async (wire) => {
                wire.send('SUBSCRIBE', { id: 's', destination: '/topic/flow', receipt: 's' });
                await wire.receipt('s');
                for (let i = 0; i < n; i++) {
                    wire.send('SEND', { destination: '/topic/flow', receipt: `r${i}`, n: i }, 'b'.repeat(size));
                }
                await waitFor(() => wire.closed || wire.frames.length === 2 * n, { what: `${2 * n} frames` });
                const ids = (command, header) => wire.frames.filter((frame) => frame.command === command).map((frame) => frame.headers[header]);
                const numbers = Array.from({ length: n }, (_, i) => i);
                assert.deepEqual(ids('MESSAGE', 'n'), numbers.map(String));
                assert.deepEqual(
                    ids('RECEIPT', 'receipt-id').map((id) => Number(id.slice(1))),
                    numbers,
                );
                wire.frames.length = 0;
            }));
    }
});

describe('fragments', () => {
    const text = encodeFrame('SEND', { destination: '/topic/fragments', receipt: 'r' }, 'é'.repeat(900));

    async function opened() {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        return raw;
    }

    // The pieces as one WebSocket message.
    function fragments(raw, pieces, { last = true } = {}) {
        for (const [i, piece] of pieces.entries()) {
            raw.frame(i === 0 ? OPCODE.text : OPCODE.continuation, piece, { fin: last && i === pieces.length - 1 });
        }
    }

    for (const size of [1, 2, 3, 7, 100]) {
        test(`a frame in pieces of ${size * 2} bytes, inside characters, too`, async () => {
            const raw = await opened();
            const pieces = [];
            for (let at = 0; at < text.length; at += size * 2) {
                pieces.push(text.subarray(at, at + size * 2));
            }
            assert.ok(pieces.length <= LIMITS.fragments);
            fragments(raw, pieces);
            await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\nreceipt-id:r\n'));
            raw.end();
        });
    }

    test('PINGs between the pieces are answered', async () => {
        const raw = await opened();
        raw.frame(OPCODE.text, text.subarray(0, 10), { fin: false });
        raw.frame(OPCODE.ping, 'here?');
        assert.equal((await raw.next((frame) => frame.opcode === OPCODE.pong)).payload.toString(), 'here?');
        raw.frame(OPCODE.continuation, text.subarray(10));
        await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
        raw.end();
    });

    test('as many as there may be, twice', async () => {
        const raw = await opened();
        for (let i = 0; i < 2; i++) {
            fragments(raw, [...Array.from({ length: LIMITS.fragments - 1 }, () => '\n'), encodeFrame('SEND', { destination: '/topic/f', receipt: `n${i}` })]);
            await raw.next((frame) => frame.payload.toString().startsWith(`RECEIPT\nreceipt-id:n${i}\n`));
        }
        raw.end();
    });

    test('one more', async () => {
        const raw = await opened();
        fragments(raw, Array.from({ length: LIMITS.fragments + 1 }, () => '\n'));
        const { code, reason } = await raw.closeFrame();
        assert.deepEqual([code, reason], [1008, 'Too many fragments in one WebSocket message']);
        await raw.waitClosed({ timeout: 5000 });
    });

    test('nothing follows the close frame', async () => {
        const [raw, other] = [await opened(), await opened()];
        for (const one of [raw, other]) {
            one.stomp('SUBSCRIBE', { id: '0', destination: '/topic/behind', receipt: 's' });
            await one.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
        }
        fragments(raw, Array.from({ length: LIMITS.fragments + 1 }, () => '\n'));
        await raw.closeFrame();
        other.stomp('SEND', { destination: '/topic/behind' });
        await other.next((frame) => frame.payload.toString().startsWith('MESSAGE\n'));
        await raw.waitClosed({ timeout: 5000 });
        assert.deepEqual(raw.frames, []);
        other.end();
    });

    test('two hundred thousand empty ones', async () => {
        const raw = await opened();
        const sessions = await gw.metric('stompgate_closed_total{reactor="0",reason="limit"}');
        const empty = Buffer.from([0, 0x80, 0, 0, 0, 0]);
        raw.frame(OPCODE.text, '', { fin: false });
        for (let i = 0; i < 20; i++) {
            raw.write(Buffer.concat(Array.from({ length: 10000 }, () => empty)));
        }
        await raw.waitClosed({ timeout: 5000 });
        await waitFor(async () => (await gw.metric('stompgate_closed_total{reactor="0",reason="limit"}')) === sessions + 1);
    });
});
