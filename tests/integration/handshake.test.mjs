// The way to a WebSocket: subprotocols, paths, origins, extensions, and requests that are none of it.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { harness, waitFor } from '../lib/harness.mjs';
import { Canary, OPCODE, Raw, upgradeRequest } from '../lib/raw.mjs';
import { Wire } from '../lib/wire.mjs';

const SECRET = 'this file is not served';
const folder = await mkdtemp(path.join(tmpdir(), 'stompgate-files-'));
await mkdir(path.join(folder, 'public'));
await writeFile(path.join(folder, 'public/index.html'), '<title>served</title>');
await writeFile(path.join(folder, 'secret.txt'), SECRET);

const h = await harness();
let gw;
let canary;

before(async () => {
    gw = await h.gateway({
        gateway: {
            files: path.join(folder, 'public'),
            origins: ['https://app.example.org', 'http://app.example.org:8080', 'https://*.example.net'],
        },
        limits: { handshake_ms: 1000 },
    });
    canary = await Canary.start(gw);
});

after(async () => {
    await canary?.stop();
    await h.close();
    await rm(folder, { recursive: true });
});

// One handshake on a connection of its own: the response, or null.
async function shake(where, headers) {
    const raw = await Raw.open(gw.port);
    const answer = await raw.upgrade(where, headers, { timeout: 5000 });
    raw.end();
    return answer;
}

function shakeProtocol(...offers) {
    return shake(
        '/ws',
        offers.map((offer) => ['Sec-WebSocket-Protocol', offer]),
    );
}

describe('subprotocols', () => {
    for (const [offers, echoed] of [
        [['v12.stomp, v11.stomp, v10.stomp'], 'v12.stomp'],
        [['v10.stomp, v11.stomp, v12.stomp'], 'v12.stomp'],
        [['v11.stomp, v12.stomp, v10.stomp'], 'v12.stomp'],
        [['v10.stomp,v11.stomp'], 'v11.stomp'],
        [['v11.stomp, v10.stomp'], 'v11.stomp'],
        [['v10.stomp'], 'v10.stomp'],
        [['v11.stomp'], 'v11.stomp'],
        [['v12.stomp'], 'v12.stomp'],
        [['mqtt, v10.stomp, v11.stomp, chat'], 'v11.stomp'],
        [['v13.stomp, v10.stomp'], 'v10.stomp'],
        [['-, v10.stomp'], 'v10.stomp'],
        [['v10.stomp, -, v11.stomp'], 'v11.stomp'],
        [['v10.stomp , \tv12.stomp'], 'v12.stomp'],
        [['v10.stomp, v10.stomp'], 'v10.stomp'],
        [['v10.stomp', 'v12.stomp'], 'v12.stomp'],
        [['v12.stomp', 'v10.stomp'], 'v12.stomp'],
        [['v10.stomp, v11.stomp', 'mqtt'], 'v11.stomp'],
        [['mqtt', 'v11.stomp'], 'v11.stomp'],
    ]) {
        test(`${JSON.stringify(offers)}: ${echoed}`, async () => {
            const answer = await shakeProtocol(...offers);
            assert.equal(answer.status, 101);
            assert.deepEqual(answer.all('sec-websocket-protocol'), [echoed]);
        });
    }

    test('none offered is accepted and none echoed', async () => {
        const answer = await shake('/ws', {});
        assert.equal(answer.status, 101);
        assert.deepEqual(answer.all('sec-websocket-protocol'), []);
        const wire = await Wire.open(gw.url, { protocols: [] });
        assert.equal((await wire.connect()).headers.version, '1.2');
        await wire.disconnect();
    });

    for (const offer of [
        'mqtt',
        'V12.STOMP',
        'v12.stompx',
        'v12',
        'http',
        '-',
        'http, not a subprotocol',
        'http,',
        'not a subprotocol',
        'v12 .stomp',
        'raw',
        'default',
        `v12.stomp${'x'.repeat(60)}`,
        'x'.repeat(2000),
    ]) {
        test(`only unknown ones: ${offer.slice(0, 40)}: 400`, async () => {
            const answer = await shakeProtocol(offer);
            assert.equal(answer?.status, 400);
            assert.deepEqual(answer.all('sec-websocket-protocol'), []);
        });
    }

    test('what one handshake was offered is forgotten by the next', async () => {
        const offers = ['v10.stomp', 'v12.stomp, v11.stomp', undefined, 'v11.stomp', 'mqtt', 'v10.stomp, v12.stomp', undefined, 'v10.stomp'];
        const expected = ['v10.stomp', 'v12.stomp', undefined, 'v11.stomp', undefined, 'v12.stomp', undefined, 'v10.stomp'];
        for (const [i, offer] of offers.entries()) {
            const answer = await shake('/ws', { 'Sec-WebSocket-Protocol': offer });
            assert.equal(answer.status, offer === 'mqtt' ? 400 : 101);
            assert.equal(answer.header('sec-websocket-protocol'), expected[i]);
        }
    });

    test('handshakes that overlap do not mix', async () => {
        const requests = [
            ['v10.stomp', 'v10.stomp'],
            ['v11.stomp, v12.stomp', 'v12.stomp'],
            ['v10.stomp, v11.stomp', 'v11.stomp'],
        ];
        const raws = await Promise.all(requests.map(() => Raw.open(gw.port)));
        const texts = requests.map(([offer]) => upgradeRequest('/ws', { 'Sec-WebSocket-Protocol': offer }));
        for (const [i, raw] of raws.entries()) {
            raw.write(texts[i].slice(0, -2)); // all but the end of the head
        }
        for (const [i, raw] of [...raws.entries()].reverse()) {
            raw.write(texts[i].slice(-2));
        }
        for (const [i, raw] of raws.entries()) {
            const answer = await raw.response();
            assert.deepEqual(answer.all('sec-websocket-protocol'), [requests[i][1]]);
            raw.end();
        }
    });

    test('another version of WebSocket is told which one is spoken', async () => {
        const answer = await shake('/ws', { 'Sec-WebSocket-Version': '8' });
        assert.deepEqual([answer.status, answer.header('sec-websocket-version')], [426, '13']);
    });

    test('the subprotocol does not bind the version', async () => {
        const wire = await Wire.open(gw.url, { protocols: ['v10.stomp'] });
        assert.equal(wire.socket.protocol, 'v10.stomp');
        assert.equal((await wire.connect({ 'accept-version': '1.1,1.2' })).headers.version, '1.2');
        await wire.disconnect();
    });
});

describe('paths', () => {
    for (const [where, status] of [
        ['/ws', 101],
        ['/ws/', 101],
        ['/ws?token=x', 101],
        ['/ws/?token=x&y=/ws/info', 101],
        ['/', 404],
        ['/wsx', 404],
        ['/ws/info', 404],
        ['/ws/123/abc/websocket', 404],
        ['/WS', 404],
        ['/x/ws', 404],
        ['/healthz', 404],
        ['/history?destination=/topic/a', 404],
        ['/index.html', 404],
        [`/${'w'.repeat(3000)}`, 404],
    ]) {
        test(`upgrade of ${where.slice(0, 40)}: ${status}`, async () => {
            assert.equal((await shake(where, { 'Sec-WebSocket-Protocol': 'v12.stomp' }))?.status, status);
        });
    }

    for (const where of ['/ws', '/ws/', '/ws?x=1']) {
        test(`GET ${where} without upgrade: 426`, async () => {
            const raw = await Raw.open(gw.port);
            const answer = await raw.write(`GET ${where} HTTP/1.1\r\nHost: x\r\n\r\n`).response();
            assert.equal(answer.status, 426);
            assert.equal(answer.header('upgrade'), 'websocket');
            raw.end();
        });
    }
});

describe('origins', () => {
    const refused = [
        'null',
        'https://evil.example.com',
        'https://example.org',
        'https://app.example.org.evil.com',
        'https://evilapp.example.org',
        'https://app.example.org.',
        'http://app.example.org',
        'https://app.example.org:8443',
        'http://app.example.org:8081',
        'https://app.example.org:80',
        'ftp://app.example.org',
        'https://app.example.org@evil.com',
        'https://app.example.org/path',
        'https://app.example.org https://evil.com',
        'https://example.net',
        'https://evilexample.net',
        'https://x.example.net.evil.com',
        'https://*.example.net',
        'http://x.example.net',
        'https://äpp.example.org',
        'https://xn--pp-wia.example.org',
        'https://app.example.org%00.evil.com',
        '//app.example.org',
        'app.example.org',
        'https://',
        'https://[::1]',
        'file://',
        'chrome-extension://abcdefgh',
        'http://127.0.0.1:1',
        'http://127.0.0.10',
        'x'.repeat(5000),
    ];
    for (const origin of refused) {
        test(`${origin.slice(0, 50)}: 403`, async () => {
            const before403 = await gw.metric('stompgate_handshake_refused_total');
            const answer = await shake('/ws', { Origin: origin, 'Sec-WebSocket-Protocol': 'v12.stomp' });
            assert.equal(answer?.status, 403);
            assert.equal(await gw.metric('stompgate_handshake_refused_total'), before403 + 1);
        });
    }

    for (const [what, pairs] of [
        ['a good one first', ['https://app.example.org', 'https://evil.com']],
        ['a good one last', ['https://evil.com', 'https://app.example.org']],
        ['the same good one', ['https://app.example.org', 'https://app.example.org']],
    ]) {
        test(`two Origin headers, ${what}: 403`, async () => {
            const answer = await shake(
                '/ws',
                pairs.map((origin) => ['Origin', origin]),
            );
            assert.equal(answer?.status, 403);
        });
    }

    // A page chooses its URL, but not its Origin: what is decoded from a URL must not become a header.
    const whole = 'Host: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
    for (const injected of [
        '\r\nOrigin: https://app.example.org\r\nX:',
        '\nOrigin: https://app.example.org\nX:',
        ' HTTP/1.1\r\nOrigin: https://app.example.org\r\n\r\n',
        '\r\nHost: evil.example.com\r\nX:',
        '\r\n\r\n',
        '\n\n',
        `\r\n${whole}`,
        ` HTTP/1.1\r\n${whole}`,
    ]) {
        test(`a URL with ${JSON.stringify(injected.slice(0, 40))} changes no Origin`, async () => {
            const coded = [...injected].map((c) => (/\w/.test(c) ? c : `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`)).join('');
            for (const where of [`/ws?x${coded}`, `/ws${coded}`]) {
                const answer = await shake(where, { Origin: 'https://evil.example.com' });
                assert.ok([null, 400, 403, 404].includes(answer && answer.status), answer?.first);
            }
        });
    }

    for (const origin of ['https://app.example.org', 'https://APP.example.org', 'https://app.example.org:443', 'http://app.example.org:8080', 'https://a.b.example.net']) {
        test(`${origin}: let in`, async () => {
            assert.equal((await shake('/ws', { Origin: origin }))?.status, 101);
        });
    }

    test('the origin of the gateway itself is let in', async () => {
        const headers = { Host: `localhost:${gw.port}`, Origin: `http://localhost:${gw.port}` };
        assert.equal((await shake('/ws', headers))?.status, 101);
    });

    test('no session came of a refused one', async () => {
        await waitFor(async () => (await gw.metric('stompgate_sessions')) === 2, { what: 'the sessions to be the two of the canary' });
    });
});

describe('what is no handshake', () => {
    const get = (where, ...lines) => `GET ${where} HTTP/1.1\r\n${['Host: x', ...lines].join('\r\n')}\r\n\r\n`;
    for (const [what, bytes] of Object.entries({
        'Upgrade: h2c': upgradeRequest('/ws', { Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABkAARAAAAAAAIAAAAA' }),
        'Upgrade: h2c on /': upgradeRequest('/', { Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABkAARAAAAAAAIAAAAA' }),
        'Upgrade: bogus': upgradeRequest('/ws', { Upgrade: 'bogus' }),
        'Upgrade: websocket, h2c': upgradeRequest('/ws', { Upgrade: 'websocket, h2c' }),
        'Upgrade: a long word': upgradeRequest('/ws', { Upgrade: 'websocket'.repeat(300) }),
        'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
        CONNECT: 'CONNECT x HTTP/1.1\r\n\r\n',
        'CONNECT host:port': 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n',
        TRACE: 'TRACE / HTTP/1.1\r\nHost: x\r\nX-Secret: a\r\n\r\n',
        POST: 'POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc',
        'POST of a large body': 'POST /history HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nabc',
        'POST in chunks': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        'an upgrade by POST': upgradeRequest('/ws').replace('GET', 'POST'),
        PUT: 'PUT /index.html HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na',
        DELETE: 'DELETE /index.html HTTP/1.1\r\nHost: x\r\n\r\n',
        OPTIONS: 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
        HEAD: 'HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
        'an unknown method': 'BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n',
        'a URL that names another host': 'GET http://evil.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n',
        'HTTP/0.9': 'GET /\r\n\r\n',
        'HTTP/9.9': 'GET / HTTP/9.9\r\n\r\n',
        garbage: 'hello?\r\n\r\n\r\n\r\n',
        'bytes of every value': Buffer.from(Array.from({ length: 256 }, (_, i) => 255 - i)),
        'a TLS ClientHello': Buffer.from('16030100c8010000c40303' + 'ab'.repeat(180) + '0d0a0d0a', 'hex'),
        'STOMP without a WebSocket': 'CONNECT\naccept-version:1.2\nhost:/\n\n\0\r\n\r\n',
        'headers beyond the limit': get('/healthz', ...Array.from({ length: 400 }, (_, i) => `X-${i}: ${'x'.repeat(60)}`)),
        'one header beyond the limit': get('/healthz', `X-Long: ${'x'.repeat(40000)}`),
        'a path beyond the limit': get(`/${'a'.repeat(40000)}`),
        'another version of WebSocket': upgradeRequest('/ws', { 'Sec-WebSocket-Version': '8' }),
        'no key': upgradeRequest('/ws', { 'Sec-WebSocket-Key': undefined }),
        'an empty key': upgradeRequest('/ws', { 'Sec-WebSocket-Key': '' }),
        'a long key': upgradeRequest('/ws', { 'Sec-WebSocket-Key': 'A'.repeat(4000) }),
        'no Host': 'GET /healthz HTTP/1.1\r\n\r\n',
        'a NUL in the path': get('/index.html\0.txt'),
        'a coded NUL in the path': get('/index.html%00.txt'),
        'a broken code in the path': get('/%zz%'),
    })) {
        test(`${what}: closed or answered at once`, async () => {
            const raw = await Raw.open(gw.port);
            const answer = await raw.write(bytes).response({ timeout: 1500 });
            assert.notEqual(answer?.status, 101);
            assert.doesNotMatch(answer?.first ?? '', /h2c|101/);
            raw.end();
            assert.equal((await gw.get('/healthz')).status, 200);
        });
    }

    for (const where of [
        '/../secret.txt',
        '/../../../../../../../../etc/passwd',
        '/%2e%2e/secret.txt',
        '/%2e%2e%2fsecret.txt',
        '/..%2fsecret.txt',
        '/..\\secret.txt',
        '/..%5csecret.txt',
        '/x/../../secret.txt',
        '/./../secret.txt',
        '/%252e%252e/secret.txt',
        '//etc/passwd',
        '/public/../../secret.txt',
        '/....//secret.txt',
        '/%c0%ae%c0%ae/secret.txt',
        '/index.html/../../secret.txt',
        '/ws/../../secret.txt',
        '/healthz/../../secret.txt',
        '/?/../secret.txt',
        '/~root/.profile',
        `${folder}/secret.txt`,
    ]) {
        test(`GET ${where.replace(folder, '(absolute)')} gives nothing from outside`, async () => {
            const raw = await Raw.open(gw.port);
            const answer = await raw.write(get(where, 'Connection: close')).response({ timeout: 1500 });
            assert.doesNotMatch(answer?.body ?? '', /root:|not served/);
            if (answer?.status === 200) {
                assert.match(answer.body, /<title>served/, 'the page itself, and nothing else');
            }
            raw.end();
        });
    }

    test('a file that is served is served', async () => {
        const { status, body, headers } = await gw.get('/index.html');
        assert.deepEqual([status, body], [200, '<title>served</title>']);
        assert.equal(headers.get('x-content-type-options'), 'nosniff');
        assert.equal((await gw.get('/nothing.html')).status, 404);
    });

    test('five hundred bad upgrades in a row, some on one connection', async () => {
        for (let i = 0; i < 50; i++) {
            const raws = await Promise.all(Array.from({ length: 10 }, () => Raw.open(gw.port)));
            for (const [n, raw] of raws.entries()) {
                raw.write(upgradeRequest(n % 2 ? '/ws' : '/nowhere', { Upgrade: n % 3 ? 'bogus' : 'websocket', Origin: 'https://evil.example' }));
                raw.write(upgradeRequest('/ws', { Upgrade: 'bogus' }));
            }
            for (const raw of raws) {
                assert.notEqual((await raw.response({ timeout: 5000 }))?.status, 101);
                raw.end();
            }
        }
        assert.equal((await gw.get('/healthz')).status, 200);
    });
});

describe('compression', () => {
    for (const extension of [
        'permessage-deflate',
        'permessage-deflate; client_max_window_bits',
        'permessage-deflate; client_max_window_bits=15',
        'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
        'permessage-deflate; server_no_context_takeover',
        'permessage-deflate; client_no_context_takeover',
        'permessage-deflate; server_max_window_bits=8',
        'permessage-deflate; server_max_window_bits="10"; client_max_window_bits="10"',
        'permessage-deflate; client_max_window_bits, permessage-deflate',
        'permessage-deflate;client_max_window_bits=16',
        'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
        'permessage-deflate; unknown',
        '\tpermessage-deflate\t',
        'x-webkit-deflate-frame',
        'x-webkit-deflate-frame; no_context_takeover',
        'deflate-frame, permessage-deflate',
        'permessage-compress; method=deflate',
        'permessage-bzip2',
        'PERMESSAGE-DEFLATE',
        'permessage-deflat, permessage-deflate-',
        ',,,permessage-deflate;;;',
        `permessage-deflate; x="${'y'.repeat(1000)}"`,
    ]) {
        test(`${extension.slice(0, 50)} is not negotiated`, async () => {
            const answer = await shake('/ws', { 'Sec-WebSocket-Extensions': extension });
            assert.ok(answer === null ? extension.length > 500 : answer.status === 101, `${answer?.first}`);
            assert.deepEqual(answer?.all('sec-websocket-extensions') ?? [], []);
        });
    }

    test('a client that would compress does not', async () => {
        const wire = await Wire.open(gw.url, { perMessageDeflate: { threshold: 0 } });
        assert.equal(wire.socket.extensions, '');
        await wire.connect();
        await wire.disconnect();
    });

    // What a client may send only where the extension was agreed on; inflated, it would be 64 MiB.
    test('a compressed message closes with 1002, offered or not', async () => {
        const bomb = deflateRawSync(Buffer.alloc(1 << 26, '\n'));
        for (const headers of [{}, { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_no_context_takeover' }]) {
            const raw = await Raw.open(gw.port);
            await raw.upgrade('/ws', headers);
            await raw.connect();
            raw.frame(OPCODE.text, bomb, { rsv: 4 });
            assert.equal((await raw.closeFrame({ timeout: 3000 })).code, 1002);
            raw.end();
        }
    });

    for (const [what, opcode, options] of [
        ['RSV1', OPCODE.text, { rsv: 4 }],
        ['RSV2', OPCODE.text, { rsv: 2 }],
        ['RSV3', OPCODE.binary, { rsv: 1 }],
        ['an unknown opcode', 3, {}],
        ['an unknown control opcode', 11, {}],
        ['a continuation of nothing', OPCODE.continuation, {}],
        ['a PING in fragments', OPCODE.ping, { fin: false }],
    ]) {
        test(`a frame with ${what} closes with 1002`, async () => {
            const raw = await Raw.open(gw.port);
            await raw.upgrade();
            await raw.connect();
            raw.frame(opcode, 'x', options);
            await raw.next((frame) => frame.opcode === OPCODE.close && frame.payload.readUInt16BE(0) === 1002, { timeout: 3000 });
            raw.end();
        });
    }

    test('who does not answer the close frame is cut all the same', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        raw.frame(OPCODE.text, 'x', { rsv: 4 });
        assert.equal((await raw.closeFrame({ timeout: 3000 })).code, 1002);
        await raw.waitClosed({ timeout: 8000 });
    });

    test('a PING of 126 bytes ends the connection', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        raw.frame(OPCODE.ping, 'x'.repeat(126));
        await raw.waitClosed({ timeout: 3000 });
    });

    test('text that is not UTF-8 closes with 1007', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        raw.frame(OPCODE.text, Buffer.from([0xc3, 0x28]));
        assert.equal((await raw.closeFrame({ timeout: 3000 })).code, 1007);
        raw.frame(OPCODE.close, Buffer.from([3, 239]));
        await raw.waitClosed({ timeout: 3000 });
    });

    for (const [what, opcode, code] of [
        ['1007', OPCODE.text, 1007],
        ['1002', 3, 1002],
    ]) {
        test(`nothing comes behind a close frame with ${what}, and nothing is taken`, async () => {
            const raw = await Raw.open(gw.port);
            await raw.upgrade();
            await raw.connect();
            const wire = await Wire.open(gw.url);
            await wire.connect();
            raw.stomp('SUBSCRIBE', { id: 's', destination: '/topic/behind-close', receipt: 's' });
            await raw.next((frame) => frame.payload.toString().startsWith('RECEIPT'));
            wire.send('SUBSCRIBE', { id: 's', destination: '/topic/from-behind', receipt: 's' });
            await wire.receipt('s');
            raw.frame(opcode, Buffer.from([0xc3, 0x28]));
            raw.stomp('SEND', { destination: '/topic/from-behind' }, 'x');
            assert.equal((await raw.closeFrame({ timeout: 3000 })).code, code);
            for (const receipt of ['1', '2', '3']) {
                wire.send('SEND', { destination: '/topic/behind-close', receipt });
                await wire.receipt(receipt);
            }
            raw.frame(OPCODE.close, Buffer.from([code >> 8, code & 255]));
            await raw.waitClosed({ timeout: 3000 });
            assert.deepEqual(raw.frames, []);
            assert.deepEqual(wire.frames, []);
            wire.terminate();
        });
    }

    test('the reason of a close frame that is not UTF-8 closes with 1007 as well', async () => {
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        raw.frame(OPCODE.close, Buffer.from([3, 232, 0xc3, 0x28]));
        assert.equal((await raw.closeFrame({ timeout: 3000 })).code, 1007);
        raw.end();
    });
});

describe('the deadline of the handshake', () => {
    for (const [what, first, drip] of [
        ['nothing is sent', '', ''],
        ['half a request is sent', 'GET /ws HTTP/1.1\r\nHost: x\r\nX-A:', ''],
        ['one byte at a time is sent', 'GET /ws HTTP/1.1\r\n', 'x'],
        ['one header at a time is sent', 'GET /ws HTTP/1.1\r\n', 'X-A: b\r\n'],
    ]) {
        test(`holds when ${what}`, async () => {
            const began = Date.now();
            const raw = await Raw.open(gw.port);
            raw.write(first);
            const timer = setInterval(() => raw.closed || raw.write(drip), 100);
            timer.unref();
            await raw.waitClosed({ timeout: 4000 });
            clearInterval(timer);
            const took = Date.now() - began;
            assert.ok(took > 900, `closed after ${took} ms`);
        });
    }
});
