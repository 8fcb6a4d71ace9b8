// TLS before anything is said: certificates at start and at SIGHUP, versions, what is no handshake, and who may come in.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { browser, harness, toToml, unique, waitFor } from '../lib/harness.mjs';
import { Canary, Raw } from '../lib/raw.mjs';
import { connectTls, makePair, openRaw, openssl, tlsConfig, trust } from '../lib/tls.mjs';
import { Wire } from '../lib/wire.mjs';

const HANDSHAKE_MS = 1500;

let h;
let pair;
let gw;

before(async () => {
    h = await harness();
    pair = await makePair(h.folder, 'one');
    gw = await h.gateway(tlsConfig(pair, { limits: { handshake_ms: HANDSHAKE_MS } }));
});

after(() => h.close());

function get(gateway, where, options) {
    return new Promise((resolve, reject) => {
        const request = https.get({ host: '127.0.0.1', port: gateway.tlsPort, path: where, agent: false, ...options }, (answer) => {
            const parts = [];
            answer.on('data', (part) => parts.push(part));
            answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(parts).toString() }));
        });
        request.on('error', reject);
    });
}

describe('HTTP', () => {
    test('/healthz, /readyz and /metrics answer as they do without TLS', async () => {
        assert.deepEqual(await get(gw, '/healthz', trust(pair)), { status: 200, body: 'ok\n' });
        assert.deepEqual(await get(gw, '/readyz', trust(pair)), { status: 200, body: 'ready\n' });
        const { status, body } = await get(gw, '/metrics', trust(pair));
        assert.equal(status, 200);
        assert.match(body, /^stompgate_connections\{reactor="0"\} \d+$/m);
        assert.equal((await get(gw, '/nothing', trust(pair))).status, 404);
    });

    test('a file of many records comes whole', async () => {
        const text = Array.from({ length: 20000 }, (_, i) => `line ${i}`).join('\n');
        await writeFile(path.join(h.folder, 'long.txt'), text);
        const server = await h.gateway(tlsConfig(pair, { gateway: { files: h.folder } }), { ready: false });
        const { status, body } = await get(server, '/long.txt', trust(pair));
        assert.equal(status, 200);
        assert.ok(body === text, `${body.length} bytes instead of ${text.length}`);
        await server.stop();
    });
});

describe('handshakes', () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
        test(`${version}, forward secret, no compression, HTTP/1.1`, async () => {
            const only = { minVersion: version, maxVersion: version, ALPNProtocols: ['h2', 'http/1.1'] };
            const socket = await connectTls(gw, pair, only);
            assert.equal(socket.getProtocol(), version);
            assert.equal(socket.alpnProtocol, 'http/1.1');
            assert.match(socket.getCipher().standardName, /GCM|POLY1305/);
            assert.equal(socket.getEphemeralKeyInfo().type, 'ECDH');
            socket.destroy();
        });
    }

    test('TLS 1.1 is refused', async () => {
        const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' };
        await assert.rejects(connectTls(gw, pair, old), { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    });

    test('who speaks HTTP/2 only gets no HTTP/2', async () => {
        const socket = await connectTls(gw, pair, { ALPNProtocols: ['h2'] });
        assert.equal(socket.alpnProtocol, false);
        socket.destroy();
    });

    test('without forward secrecy: refused', async () => {
        const plain = { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256:AES128-SHA' };
        await assert.rejects(connectTls(gw, pair, plain), { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE' });
    });

    test('renegotiation is refused', async () => {
        const socket = await connectTls(gw, pair, { maxVersion: 'TLSv1.2' });
        socket.on('error', () => {});
        const error = await new Promise((resolve) => {
            socket.once('close', () => resolve(new Error('closed')));
            socket.renegotiate({}, resolve);
        });
        assert.ok(error, 'it went through');
        socket.destroy();
    });

    test('a name that libwebsockets knows changes nothing', async () => {
        for (const servername of ['localhost', 'default', 'tls', 'system']) {
            const socket = await connectTls(gw, pair, { servername, checkServerIdentity: () => undefined });
            assert.equal(socket.getPeerCertificate().subject.CN, 'one');
            socket.destroy();
        }
    });

    test('a ticket spares the second handshake, at any thread', async () => {
        const server = await h.gateway(tlsConfig(pair, { gateway: { threads: 2 } }));
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
            const first = await connectTls(server, pair, { maxVersion });
            const later = new Promise((resolve) => first.once('session', resolve)); // TLS 1.3 gives it behind the handshake
            first.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
            const session = maxVersion === 'TLSv1.2' ? first.getSession() : await later;
            first.destroy();
            for (let i = 0; i < 12; i++) {
                const again = await connectTls(server, pair, { maxVersion, session });
                assert.equal(again.isSessionReused(), true, `${maxVersion}, connection ${i}`);
                again.destroy();
            }
        }
        await server.stop();
    });
});

// The first bytes of a client.
function clientHello() {
    return new Promise((resolve) => {
        const catcher = net.createServer((socket) => {
            socket.once('data', (data) => {
                resolve(data);
                socket.destroy();
                catcher.close();
            });
        });
        catcher.listen(0, '127.0.0.1', () => tls.connect({ port: catcher.address().port, host: '127.0.0.1' }).on('error', () => {}));
    });
}

describe('what is no handshake', () => {
    test('plain HTTP is closed at once', async () => {
        const raw = await Raw.open(gw.tlsPort);
        raw.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
        await raw.waitClosed({ timeout: HANDSHAKE_MS - 500 });
        assert.doesNotMatch(raw.bytes.toString('latin1'), /200/);
    });

    test('TLS at the port without it fails at once', async () => {
        await assert.rejects(connectTls({ tlsPort: gw.port }, pair));
    });

    test('silence and half a ClientHello end in time, and nobody else notices', async () => {
        const canary = await Canary.start(gw);
        const [before, connections] = [await gw.metric('stompgate_handshake_refused_total'), await gw.metric('stompgate_connections')];
        const hello = await clientHello();
        const half = await Promise.all(Array.from({ length: 100 }, () => Raw.open(gw.tlsPort)));
        half.forEach((raw, i) => raw.write(hello.subarray(0, (i * hello.length) / 100))); // the first ones say nothing
        await waitFor(async () => (await gw.metric('stompgate_connections')) >= connections + 100, { what: 'a hundred to be inside' });
        await Promise.all(half.map((raw) => raw.waitClosed({ timeout: HANDSHAKE_MS + 3000 })));
        await waitFor(async () => (await gw.metric('stompgate_connections')) <= connections, { what: 'all of them to be counted off' });
        assert.equal(await gw.metric('stompgate_handshake_refused_total'), before + 100);
        assert.ok(gw.log(/handshake\.timeout.*ip=127\.0\.0\.1/).length > 0);
        await canary.stop();
    });

    test('a finished handshake and no request end in time, too', async () => {
        const raw = await openRaw(gw, pair);
        await raw.waitClosed({ timeout: HANDSHAKE_MS + 3000 });
        assert.equal(raw.received, 0);
    });

    test('garbage in the middle of a handshake', async () => {
        for (const bytes of ['160301', '1603010200010001fc0303' + 'ab'.repeat(505), '15030100020228', '80'.repeat(300), '17030300ff' + '00'.repeat(255)]) {
            const raw = await Raw.open(gw.tlsPort);
            raw.write(Buffer.from(bytes, 'hex'));
            await raw.waitClosed({ timeout: HANDSHAKE_MS + 3000 });
        }
        assert.equal((await get(gw, '/healthz', trust(pair))).status, 200);
    });
});

describe('who may come in', () => {
    test('the same origin is https', async () => {
        const own = `127.0.0.1:${gw.tlsPort}`;
        const wire = await Wire.open(gw.tlsUrl, trust(pair, { origin: `https://${own}` }));
        await wire.connect();
        await wire.disconnect();
        for (const origin of [`http://${own}`, 'https://127.0.0.1', 'https://evil.example']) {
            await assert.rejects(Wire.open(gw.tlsUrl, trust(pair, { origin })), /403/, origin);
        }
    });

    test('the limit on connections is one for both ports', async () => {
        const server = await h.gateway(tlsConfig(pair, { limits: { connections: 3 } }));
        const inside = [await Wire.open(server.url), await Wire.open(server.url), await Wire.open(server.tlsUrl, trust(pair))];
        await assert.rejects(Wire.open(server.tlsUrl, trust(pair)));
        await assert.rejects(Wire.open(server.url));
        inside.forEach((wire) => wire.terminate());
        await server.stop();
    });

    test('a page in Chromium', async () => {
        const chromium = await browser(h);
        const page = await (await chromium.newContext({ ignoreHTTPSErrors: true })).newPage();
        await page.goto(`https://127.0.0.1:${gw.tlsPort}/healthz`);
        const heard = await page.evaluate(
            ([url, room]) =>
                new Promise((resolve, reject) => {
                    const socket = new WebSocket(url, ['v12.stomp']);
                    socket.onopen = () => socket.send('CONNECT\naccept-version:1.2\nhost:/\n\n\0');
                    socket.onclose = (event) => reject(new Error(`closed with ${event.code}`));
                    socket.onmessage = ({ data }) => {
                        if (data.startsWith('CONNECTED\n')) {
                            socket.send(`SUBSCRIBE\nid:s\ndestination:${room}\nreceipt:r\n\n\0`);
                        } else if (data.startsWith('RECEIPT\n')) {
                            socket.send(`SEND\ndestination:${room}\n\nfrom a page\0`);
                        } else if (data.startsWith('MESSAGE\n')) {
                            resolve(data);
                        }
                    };
                }),
            [gw.tlsUrl, `/topic/${unique()}`],
        );
        assert.match(heard, /\n\nfrom a page\0$/);
    });
});

describe('files that cannot be used', () => {
    const cases = {
        'no such certificate': async (p) => [{ ...p, certificate: '/nowhere/c.pem' }, /file=\/nowhere\/c\.pem error=No such file or directory/],
        'no such key': async (p) => [{ ...p, key: '/nowhere/k.pem' }, /file=\/nowhere\/k\.pem error=No such file or directory/],
        'a folder': async (p) => [{ ...p, certificate: h.folder }, /file=\S+ error=(Is a directory|no start line)/],
        'a certificate that is none': async (p) => {
            await writeFile(path.join(h.folder, 'none.pem'), 'hello\n');
            return [{ ...p, certificate: path.join(h.folder, 'none.pem') }, /file=\S+none\.pem error=no start line/];
        },
        'a key that is none': async (p) => [{ ...p, key: p.certificate }, /file=\S+one\.pem error=(no start line|unsupported)/],
        'the key of another': async (p) => [{ ...p, key: (await makePair(h.folder, unique('k'))).key }, /file=\S+\.key error=key values mismatch/],
        'the key of another kind': async (p) => {
            const { key } = await makePair(h.folder, unique('k'), { kind: 'rsa' });
            return [{ ...p, key }, /file=\S+\.key error=not the key of the certificate/];
        },
        'a key with a passphrase': async (p) => {
            const key = path.join(h.folder, 'locked.key');
            await openssl('pkey', '-in', p.key, '-aes256', '-passout', 'pass:secret', '-out', key);
            return [{ ...p, key }, /file=\S+locked\.key error=\S+/];
        },
        'a key that is too weak': async () => [await makePair(h.folder, unique('w'), { kind: 'weak' }), /file=\S+\.pem error=ee key too small/],
    };
    for (const [what, make] of Object.entries(cases)) {
        test(`${what}: it says so and does not start`, async () => {
            const [files, pattern] = await make(pair);
            const file = path.join(h.folder, `${unique('config')}.toml`);
            await writeFile(file, toToml(h.config(tlsConfig(files))));
            for (const args of [['--config', file], ['--config', file, '--check-config']]) {
                const { code, stderr } = await h.run('stompgate', args);
                assert.equal(code, 1);
                assert.match(stderr, new RegExp(`error tls\\.refused .*${pattern.source}`));
            }
        });
    }

    test('a good pair passes --check-config without a word', async () => {
        const file = path.join(h.folder, 'good.toml');
        await writeFile(file, toToml(h.config(tlsConfig(pair))));
        assert.deepEqual(await h.run('stompgate', ['--config', file, '--check-config']), { code: 0, stdout: '', stderr: '' });
    });
});

describe('SIGHUP', () => {
    // A gateway with files of its own, which `use` replaces by another pair and has read anew.
    async function rotatable() {
        const files = { certificate: path.join(h.folder, `${unique('live')}.pem`), key: path.join(h.folder, `${unique('live')}.key`) };
        const place = (p) => Promise.all([copyFile(p.certificate, files.certificate), copyFile(p.key, files.key)]);
        await place(pair);
        const server = await h.gateway(tlsConfig(files, { gateway: { threads: 2 } }));
        const reload = async (pattern) => {
            const n = server.log(pattern).length;
            server.child.kill('SIGHUP');
            await waitFor(() => server.log(pattern).length > n, { what: `${pattern} to be logged` });
        };
        return { server, files, place, reload };
    }

    // Who is served, at both threads.
    async function subjects(server) {
        const seen = new Set();
        for (let i = 0; i < 12; i++) {
            const socket = await connectTls(server, pair, { rejectUnauthorized: false });
            seen.add(socket.getPeerCertificate().subject.CN);
            socket.destroy();
        }
        return [...seen];
    }

    test('new connections get the new certificate, old ones live on', async () => {
        const { server, place, reload } = await rotatable();
        const old = await Wire.open(server.tlsUrl, trust(pair));
        await old.connect();
        for (const kind of ['ec', 'rsa', 'ec']) {
            const name = unique(kind);
            await place(await makePair(h.folder, name, { kind }));
            await reload(/tls\.certificate/);
            await waitFor(async () => (await subjects(server)).join() === name, { what: `${name} alone to be served` });
        }
        old.send('SEND', { destination: '/topic/a', receipt: 'r' }, 'still here');
        await old.receipt('r');
        await old.disconnect();
        await server.stop();
    });

    test('what cannot be used is refused, and the old pair stays', async () => {
        const { server, files, place, reload } = await rotatable();
        const other = await makePair(h.folder, unique('other'));
        await copyFile(other.certificate, files.certificate); // and not its key
        await reload(/tls\.kept/);
        assert.match(server.log(/tls\.refused/).at(-1), /error=key values mismatch/);
        assert.deepEqual(await subjects(server), ['one']);
        await writeFile(files.certificate, '');
        await reload(/tls\.kept/);
        assert.deepEqual(await subjects(server), ['one']);
        await place(other);
        await reload(/tls\.certificate/);
        await waitFor(async () => (await subjects(server)).join() !== 'one', { what: 'the other to be served' });
        await server.stop();
    });

    test('the chain is sent, and replaced as well', async () => {
        const { server, files, place, reload } = await rotatable();
        const other = await makePair(h.folder, unique('signer'));
        await place(pair);
        await writeFile(files.certificate, pair.ca + other.ca);
        await reload(/tls\.certificate/);
        const shown = async () => {
            const { stdout } = await promisify(execFile)('sh', ['-c', `openssl s_client -connect 127.0.0.1:${server.tlsPort} -showcerts </dev/null`]);
            return stdout.match(/BEGIN CERTIFICATE/g).length;
        };
        await waitFor(async () => (await shown()) === 2, { what: 'server and signer' });
        await writeFile(files.certificate, await readFile(pair.certificate));
        await reload(/tls\.certificate/);
        await waitFor(async () => (await shown()) === 1, { what: 'the server alone' });
        await server.stop();
    });

    test('an expired one is told and used', async () => {
        const { server, files, reload } = await rotatable();
        const expired = path.join(h.folder, 'expired.pem');
        await openssl('x509', '-in', pair.certificate, '-signkey', pair.key, '-days', '-1', '-out', expired);
        await copyFile(expired, files.certificate);
        await reload(/tls\.expired/);
        assert.deepEqual(await subjects(server), ['one']);
        await server.stop();
    });

    test('without TLS it is no end', async () => {
        const server = await h.gateway();
        server.child.kill('SIGHUP');
        await server.waitLog(/signal.*number=1$/);
        assert.equal((await server.get('/healthz')).status, 200);
        await server.stop();
    });
});
