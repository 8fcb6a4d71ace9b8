// Bad input after the handshake: garbage, frames out of place, wrong credentials, bad headers and destinations, floods. Each gets one
// ERROR that names the cause, then the close; nobody else notices.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { Canary, OPCODE, Raw } from '../lib/raw.mjs';
import { refusal } from '../lib/refusal.mjs';
import { Wire } from '../lib/wire.mjs';

const sha512 = execFileSync('openssl', ['passwd', '-6', '-salt', 'pepper', 'tr0ub4dor'], { encoding: 'utf8' }).trim();
const yescrypt = execFileSync('perl', ['-e', 'print crypt("correct horse", q($y$j9T$F5Jx5fExrKuPp53xLKQ..1$))'], { encoding: 'utf8' });
const USERS = [
    { login: 'ann', password: 'secret' },
    { login: 'bob', password_hash: sha512 },
    { login: 'eve', password_hash: yescrypt },
];
const ANN = { login: 'ann', passcode: 'secret' };

const h = await harness();
let gw;
let canary;

before(async () => {
    gw = await h.gateway({
        gateway: { anonymous: false },
        user: USERS,
        route: [
            { prefix: '/topic/closed/', exchange: 'amq.headers', type: 'any', send: [], subscribe: ['bob'] },
            { prefix: '/topic/' },
        ],
    });
    canary = await Canary.start(gw, { connect: ANN });
});

after(async () => {
    await canary?.stop();
    assert.equal(await gw.metric('stompgate_broker_channel_errors_total'), 0, 'no client closed a channel');
    assert.equal(await gw.metric('stompgate_broker_connects_total'), 2, 'no client closed a connection of ours');
    await h.close();
});

const refuse = (expected) => refusal(gw, { connect: ANN, ...expected });

describe('before CONNECT', () => {
    const first = (wrong, expected) => refusal(gw, { connect: null, wrong, ...expected });
    for (const command of ['SEND', 'SUBSCRIBE', 'UNSUBSCRIBE', 'BEGIN', 'DISCONNECT', 'ACK', 'MESSAGE', 'CONNECTED', 'HELO']) {
        test(`${command} in place of CONNECT`, () =>
            first((wire) => wire.send(command, { destination: '/topic/a', id: '1', receipt: 'r' }), {
                message: 'Illegal command',
                body: /CONNECT first/,
                receipt: 'r',
                code: 1008,
            }));
    }

    for (const [what, text, code = 1002] of [
        ['JSON', '{"type":"connect"}\n\n\0', 1008],
        ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n\0'],
        ['HTML', '<html></html>\n\n\0', 1008],
        ['SockJS', '["CONNECT\\naccept-version:1.2\\n\\n\\u0000"]\n\n\0'],
        ['bytes of every value', Buffer.from(Array.from({ length: 256 }, (_, i) => 255 - i))],
        ['bytes without sense', Buffer.from('de70adbe00ef00ffc0c1fe', 'hex')],
        ['a lower case connect', 'connect\naccept-version:1.2\n\n\0', 1008],
        ['a CONNECT with a body', 'CONNECT\naccept-version:1.2\n\nbody\0'],
        ['a CONNECT with a content-length', 'CONNECT\naccept-version:1.2\ncontent-length:4\n\nbody\0'],
    ]) {
        const message = code === 1002 ? 'Malformed frame' : 'Illegal command';
        test(what, () => first((wire) => wire.raw(text), { message, code }));
    }

    test('STOMP in place of CONNECT is the same', async () => {
        const wire = await Wire.open(gw.url);
        wire.send('STOMP', { 'accept-version': '1.2', host: '/', ...ANN });
        assert.equal((await wire.next()).command, 'CONNECTED');
        await wire.disconnect();
    });

    for (const [what, headers, message] of [
        ['a version that is not spoken', { 'accept-version': '2.0,1.3' }, 'Version mismatch'],
        ['no version in the list', { 'accept-version': '' }, 'Version mismatch'],
        ['a heart-beat of one number', { 'heart-beat': '1000' }, 'Processing error'],
        ['a heart-beat of words', { 'heart-beat': 'a,b' }, 'Processing error'],
        ['a negative heart-beat', { 'heart-beat': '-1,0' }, 'Processing error'],
    ]) {
        test(`CONNECT with ${what}`, () => first((wire) => wire.send('CONNECT', { 'accept-version': '1.2', ...ANN, ...headers }), { message, code: 1008 }));
    }
});

describe('credentials', () => {
    for (const [login, passcode] of [
        ['ann', 'secret'],
        ['bob', 'tr0ub4dor'],
        ['eve', 'correct horse'],
    ]) {
        test(`${login} is let in`, async () => {
            const wire = await Wire.open(gw.url);
            const connected = await wire.connect({ login, passcode });
            assert.equal(connected.headers['user-name'], login);
            await wire.disconnect();
        });
    }

    for (const [what, headers] of [
        ['a wrong password', { login: 'ann', passcode: 'Secret' }],
        ['a password and more', { login: 'ann', passcode: 'secret ' }],
        ['an empty password', { login: 'ann', passcode: '' }],
        ['no password', { login: 'ann' }],
        ["somebody else's password", { login: 'ann', passcode: 'tr0ub4dor' }],
        ['a wrong password for a hash', { login: 'bob', passcode: 'secret' }],
        ['the hash as the password', { login: 'bob', passcode: sha512 }],
        ['an empty password for a hash', { login: 'eve', passcode: '' }],
        ['no password for a hash', { login: 'eve' }],
        ['a password beyond what crypt takes', { login: 'eve', passcode: 'x'.repeat(2000) }],
        ['a user who does not exist', { login: 'nobody', passcode: 'secret' }],
        ['a user in capitals', { login: 'ANN', passcode: 'secret' }],
        ['the user anonymous', { login: 'anonymous', passcode: '' }],
        ['the user *', { login: '*', passcode: '*' }],
        ['an empty login', { login: '', passcode: '' }],
        ['a password without a login', { passcode: 'secret' }],
        ['no login at all', {}],
    ]) {
        test(`${what}: refused`, async () => {
            const error = await refusal(gw, {
                connect: null,
                wrong: (wire) => wire.send('CONNECT', { 'accept-version': '1.2', receipt: 'x', ...headers }),
                message: 'Bad CONNECT',
                body: /^Access refused for user '/,
                code: 1008,
                receipt: undefined,
            });
            const shown = headers.login === undefined ? 'anonymous' : headers.login;
            assert.equal(error.body, `Access refused for user '${shown}'\n`);
        });
    }

    test('what follows a wrong password in the same bytes is not executed', async () => {
        const room = unique('room');
        const hearer = await Wire.open(gw.url);
        await hearer.connect(ANN);
        hearer.send('SUBSCRIBE', { id: 's', destination: `/topic/${room}`, receipt: 'r' });
        await hearer.receipt('r');
        for (const login of ['ann', 'bob']) {
            await refusal(gw, {
                connect: null,
                wrong: (wire) => wire.raw(`CONNECT\naccept-version:1.2\nlogin:${login}\npasscode:no\n\n\0SEND\ndestination:/topic/${room}\n\nstolen\0`),
                message: 'Bad CONNECT',
                code: 1008,
            });
        }
        hearer.send('SEND', { destination: `/topic/${room}` }, 'mine');
        assert.equal((await hearer.next()).body, 'mine');
        await hearer.disconnect();
    });

    test('what follows a slow check of a right password in the same bytes is executed in order', async () => {
        const wire = await Wire.open(gw.url);
        wire.raw(
            'CONNECT\naccept-version:1.2\nlogin:bob\npasscode:tr0ub4dor\n\n\0SUBSCRIBE\nid:1\ndestination:/topic/quick\nreceipt:a\n\n\0SEND\ndestination:/topic/quick\nreceipt:b\n\nhi\0',
        );
        assert.equal((await wire.next()).command, 'CONNECTED');
        assert.equal((await wire.next()).headers['receipt-id'], 'a');
        assert.equal((await wire.next((frame) => frame.command === 'MESSAGE')).body, 'hi');
        await wire.receipt('b');
        await wire.disconnect();
    });

    test('no password is in the log', () => {
        assert.deepEqual(gw.log(/tr0ub4dor|correct horse|passcode/), []);
    });
});

describe('frames that mean nothing here', () => {
    for (const command of ['HELLO', 'send', 'SENDX', 'GET', 'CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR', 'X'.repeat(20)]) {
        test(command, () => refuse({ wrong: (wire) => wire.send(command, { receipt: 'r' }), message: 'Bad command', body: new RegExp(`"${command}"`), receipt: 'r', code: 1008 }));
    }
    for (const command of ['CONNECT', 'STOMP']) {
        test(`a second ${command}`, () =>
            refuse({ wrong: (wire) => wire.send(command, { 'accept-version': '1.2', receipt: 'r' }), message: 'Illegal command', receipt: 'r', code: 1008 }));
    }
    for (const [command, headers, message] of [
        ['SEND', {}, 'Missing destination'],
        ['SUBSCRIBE', { id: '1' }, 'Missing destination'],
        ['SUBSCRIBE', { destination: '/topic/a' }, 'Missing header'],
        ['SUBSCRIBE', { destination: '/topic/a', id: '1', ack: 'sometimes' }, 'Processing error'],
        ['UNSUBSCRIBE', {}, 'Missing destination or id'],
        ['BEGIN', {}, 'Missing transaction'],
        ['COMMIT', {}, 'Missing transaction'],
        ['ABORT', {}, 'Missing transaction'],
        ['COMMIT', { transaction: 'none' }, 'Bad transaction'],
        ['ABORT', { transaction: 'none' }, 'Bad transaction'],
        ['SEND', { destination: '/topic/a', transaction: 'none' }, 'Bad transaction'],
    ]) {
        test(`${command} ${JSON.stringify(headers)}`, () =>
            refuse({ wrong: (wire) => wire.send(command, { ...headers, receipt: 'r' }), message, body: new RegExp(command === 'UNSUBSCRIBE' ? 'id' : '.'), receipt: 'r', code: 1008 }));
    }

    test('a subscription id for the second time', () =>
        refuse({
            wrong: async (wire) => {
                wire.send('SUBSCRIBE', { id: 'twice', destination: '/topic/a', receipt: 'first' });
                await wire.receipt('first');
                wire.send('SUBSCRIBE', { id: 'twice', destination: '/topic/b', receipt: 'r' });
            },
            message: 'Duplicated subscription identifier',
            body: /twice/,
            receipt: 'r',
            code: 1008,
        }));

    test('a transaction for the second time', () =>
        refuse({
            wrong: (wire) => {
                wire.send('BEGIN', { transaction: 't' });
                wire.send('BEGIN', { transaction: 't', receipt: 'r' });
            },
            message: 'Bad transaction',
            body: /begun already/,
            receipt: 'r',
            code: 1008,
        }));

    test('nothing behind a frame that was refused is executed', async () => {
        const room = unique('room');
        const hearer = await Wire.open(gw.url);
        await hearer.connect(ANN);
        hearer.send('SUBSCRIBE', { id: 's', destination: `/topic/${room}`, receipt: 'r' });
        await hearer.receipt('r');
        await refuse({ wrong: (wire) => wire.raw(`BOGUS\n\n\0SEND\ndestination:/topic/${room}\n\nlate\0BOGUS\n\n\0`), message: 'Bad command', code: 1008 });
        hearer.send('SEND', { destination: `/topic/${room}` }, 'mine');
        assert.equal((await hearer.next()).body, 'mine');
        await hearer.disconnect();
    });
});

describe('destinations', () => {
    const bad = [
        ['', 'Invalid destination', /blank/],
        ['topic/a', 'Unknown destination', /topic\/a/],
        ['/', 'Unknown destination'],
        ['//topic/a', 'Unknown destination'],
        ['/TOPIC/a', 'Unknown destination'],
        ['/nowhere/a', 'Unknown destination', /nowhere/],
        ['/topic', /destination$/],
        ['/topic/', 'Invalid destination'],
        ['/fanout/', 'Invalid destination'],
        ['/fanout/a/b', 'Invalid destination'],
        ['/fanout/amq.rabbitmq.trace', 'Invalid destination'],
        ['/fanout/amq.direct', 'Invalid destination'],
        ['/topic/a\x07b', 'Invalid destination', /control/],
        ['/topic/\x7f', 'Invalid destination', /control/],
        ['/topic/a\nb', 'Invalid destination', /control/],
        ['/exchange/amq.direct/a.b', 'access_refused'],
        ['/exchange/amq.rabbitmq.log/x', /access_refused|Invalid destination/],
        ['/topic/closed/a', 'access_refused'],
        ['/temp-queue/a', /destination$|supported/],
    ];
    for (const [destination, message, body] of bad) {
        for (const command of ['SEND', 'SUBSCRIBE']) {
            test(`${command} ${JSON.stringify(destination)}`, () =>
                refuse({ wrong: (wire) => wire.send(command, { destination, id: '1', receipt: 'r' }), message, body: body ?? /./, receipt: 'r', code: 1008 }));
        }
    }
    for (const destination of ['/topic/*', '/topic/a.*', '/topic/#', '/topic/a/#/b']) {
        test(`SEND ${destination}`, () =>
            refuse({ wrong: (wire) => wire.send('SEND', { destination, receipt: 'r' }), message: 'Invalid destination', body: /wildcard/, receipt: 'r', code: 1008 }));
    }
});

describe('bytes that are no frame', () => {
    const head = 'SEND\ndestination:/topic/a\nreceipt:r\n';
    for (const [what, bytes, body] of [
        ['an undefined escape', `${head}x:\\t\n\n\0`, /escape/],
        ['a backslash at the end', `${head}x:\\\n\n\0`, /escape/],
        ['an escaped line feed in a name', `${head}x\\ny:1\n\n\0`, /control/],
        ['a line without a colon', `${head}nocolon\n\n\0`, /colon/],
        ['a header without a name', `${head}:value\n\n\0`, /empty name/],
        ['a carriage return alone', `${head}x:a\rb\n\n\0`, /line feed/],
        ['a NUL in a header', `${head}x:a\0b\n\n\0`, /NUL/],
        ['a control byte in a name', `${head}x\x01:1\n\n\0`, /control/],
        ['a header that is not UTF-8', Buffer.from(`${head}x:\xff\xfe\n\n\0`, 'latin1'), /UTF-8/],
        ['an overlong sequence in a header', Buffer.from(`${head}x:\xc0\xaf\n\n\0`, 'latin1'), /UTF-8/],
        ['a surrogate in a header', Buffer.from(`${head}x:\xed\xa0\x80\n\n\0`, 'latin1'), /UTF-8/],
        ...['-1', '+5', '0x10', '1e3', '5 ', ' 5', '', '5,5', '5.0', '٣'].map((n) => [`content-length "${n}"`, `${head}content-length:${n}\n\nhello\0`, /content-length/]),
        ['two content-lengths that differ', `${head}content-length:5\ncontent-length:4\n\nhello\0`, /content-length/],
        ['a body longer than its content-length', `${head}content-length:4\n\nhello\0`, /longer than content-length/],
        ['a SUBSCRIBE with a body', 'SUBSCRIBE\nid:1\ndestination:/topic/a\nreceipt:r\n\nbody\0', /body/],
    ]) {
        test(what, () => refuse({ wrong: (wire) => wire.raw(bytes), message: 'Malformed frame', body, receipt: 'r', code: 1002 }));
    }
    for (const [what, bytes] of [
        ['garbage between frames', 'SEND\ndestination:/topic/a\n\n\0\0\0garbage'],
        ['a command with a blank', 'SEND \ndestination:/topic/a\n\n\0'],
        ['a command without end', 'S'.repeat(5000)],
        ['a NUL in the command', 'SE\0ND\n\n\0'],
    ]) {
        test(what, () => refuse({ wrong: (wire) => wire.raw(bytes), message: 'Malformed frame', code: 1002 }));
    }
});

describe('headers that the broker would not take', () => {
    for (const [name, value] of [
        ['expiration', 'abc'],
        ['expiration', '-1'],
        ['expiration', '99999999999'],
        ['priority', '256'],
        ['priority', 'high'],
        ['timestamp', 'now'],
        ['reply-to', 'amq.rabbitmq.reply-to'],
        ['user-id', 'bob'],
        ['type', 'x'.repeat(256)],
        ['message-id', 'x'.repeat(256)],
        ['idempotency-key', 'x'.repeat(256)],
    ]) {
        test(`${name}: ${value.slice(0, 24)}`, () =>
            refuse({
                wrong: (wire) => wire.send('SEND', { destination: '/topic/a', receipt: 'r', [name]: value }),
                message: 'Invalid header',
                body: new RegExp(`^'${name}' must `),
                receipt: 'r',
                code: 1008,
            }));
    }

    test('what could route or forge goes nowhere, whatever its type looks like', async () => {
        const [open, secret] = [unique('open'), unique('secret')];
        const wire = await Wire.open(gw.url);
        await wire.connect(ANN);
        for (const room of [open, secret]) {
            wire.send('SUBSCRIBE', { id: room, destination: `/topic/${room}`, receipt: room });
            await wire.receipt(room);
        }
        const names = ['cc', 'Bcc', 'x-received-from', 'x-last-death-queue', 'delivery-mode', 'cluster-id', 'x-death', 'gap', 'subscription', 'ack', 'redelivered', 'amqp-message-id'];
        const own = ['stompgate-destination', 'stompgate-user', 'stompgate-key', 'Stompgate-Gap', 'user-id'];
        for (const name of [...names, ...own]) {
            for (const value of [name === 'user-id' ? 'ann' : secret, '7', '', 'é\n:\\'].slice(0, name === 'user-id' ? 1 : 4)) {
                wire.send('SEND', { destination: `/topic/${open}`, receipt: 'r', [name]: value }, name);
                await wire.receipt('r');
                const message = await wire.next((frame) => frame.command === 'MESSAGE');
                assert.deepEqual([message.headers.subscription, message.body], [open, name]);
                assert.equal(message.headers.destination, `/topic/${open}`);
                assert.deepEqual([message.headers.gap, message.headers.ack, message.headers.CC, message.headers.BCC], [undefined, undefined, undefined, undefined]);
            }
        }
        assert.deepEqual(wire.frames, []);
        await wire.disconnect();
    });

    test('line feeds and colons in what is echoed make no new header', async () => {
        const wire = await Wire.open(gw.url);
        await wire.connect(ANN);
        const evil = 'a\nmessage:forged\r\n\n\0:b\\c'.replace('\0', '');
        wire.send('SUBSCRIBE', { id: 'i', destination: '/topic/echo', receipt: evil });
        await wire.receipt(evil);
        wire.send('SEND', { destination: '/topic/echo', 'x-evil': evil, [`x:y\\z`]: evil });
        const message = await wire.next();
        assert.equal(message.headers['x-evil'], evil);
        assert.equal(message.headers['x:y\\z'], evil);
        assert.equal(message.headers.message, undefined);
        wire.send('BOGUS', { receipt: evil });
        const error = await wire.errorFrame();
        assert.equal(error.headers['receipt-id'], evil);
        assert.equal(error.headers.message, 'Bad command');
        await wire.waitClosed();
    });
});

describe('floods', () => {
    test('PINGs', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        raw.stomp('CONNECT', { 'accept-version': '1.2', ...ANN });
        await raw.next((frame) => frame.payload.toString().startsWith('CONNECTED\n'));
        for (let i = 0; i < 50000; i++) {
            raw.frame(i % 2 ? OPCODE.ping : OPCODE.pong, 'x'.repeat(i % 126));
        }
        raw.frame(OPCODE.ping, 'last');
        raw.stomp('SEND', { destination: '/topic/a', receipt: 'r' });
        await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT\n'));
        await raw.next((frame) => frame.opcode === OPCODE.pong);
        raw.end();
    });

    test('heart-beats and empty messages', async () => {
        const wire = await Wire.open(gw.url);
        await wire.connect(ANN);
        for (let i = 0; i < 20000; i++) {
            wire.raw(i % 2 ? '\n' : '');
        }
        wire.raw('\r\n'.repeat(100000));
        wire.send('SEND', { destination: '/topic/a', receipt: 'r' });
        await wire.receipt('r');
        await wire.disconnect();
    });

    test('connections that come and go', async () => {
        for (let i = 0; i < 20; i++) {
            const raws = await Promise.all(Array.from({ length: 20 }, () => Raw.open(gw.port)));
            await Promise.all(raws.map((raw, n) => (n % 3 ? raw.upgrade() : raw.write('GET /'))));
            raws.forEach((raw, n) => n % 2 && raw.isWebSocket && raw.stomp('CONNECT', { 'accept-version': '1.2', ...ANN }));
            raws.forEach((raw) => raw.socket.resetAndDestroy());
        }
        await waitFor(async () => (await gw.metric('stompgate_sessions')) === 2, { what: 'only the canary to be left' });
        await waitFor(async () => (await gw.metric('stompgate_connections')) === 3, { what: 'only the canary and this request to be left' });
    });
});
