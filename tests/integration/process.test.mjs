// The gateway as a process: its configuration, a port in use, the want of file descriptors, and the end.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { harness, toToml, unique, waitFor } from '../lib/harness.mjs';
import { Canary, Raw } from '../lib/raw.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

let h;

before(async () => {
    h = await harness();
});

after(() => h.close());

async function write(text) {
    const file = path.join(h.folder, `${unique('config')}.toml`);
    await writeFile(file, text);
    return file;
}

describe('--check-config', () => {
    const check = async (text) => {
        const file = await write(text);
        const { code, stdout, stderr } = await h.run('stompgate', ['--config', file, '--check-config']);
        return { code, text: (stdout + stderr).replaceAll(file, 'FILE') };
    };

    test('says nothing about a good file, and 0', async () => {
        assert.deepEqual(await check(toToml(h.config())), { code: 0, text: '' });
        assert.deepEqual(await check(''), { code: 0, text: '' });
    });

    for (const [what, text, ...patterns] of [
        ['an unknown key', '[gateway]\nprot = 1\n', /FILE:2:1:? /, /prot/, /port/],
        ['an unknown section', '\n[gatway]\nport = 1\n', /FILE:2:/, /gatway/, /gateway/],
        ['a key of another section', '[gateway]\nvhost = "/"\n', /FILE:2:1/, /vhost/, /broker/],
        ['a wrong type', '[gateway]\nport = "8080"\n', /FILE:2:/, /port/, /integer|number/],
        ['a value below the range', '[limits]\nheaders = 1\n', /FILE:2:/, /headers/, /8/],
        ['a value above the range', '[gateway]\n\n\nport = 65536\n', /FILE:4:/, /port/, /65535/],
        ['a word that is none', '[gateway]\nws_frame = "txt"\n', /FILE:2:/, /ws_frame/, /text/],
        ['no TOML', '[gateway\nport = 1\n', /FILE:1:/],
        ['a key twice', '[gateway]\nport = 1\nport = 2\n', /FILE:3:/, /port/],
        ['a user without a password', '[[user]]\nlogin = "ann"\n', /FILE:1:|FILE:2:/, /password/],
        ['a user with two', '[[user]]\nlogin = "ann"\npassword = "a"\npassword_hash = "$6$a$b"\n', /FILE:\d:/, /password/],
        ['a user twice', '[[user]]\nlogin = "ann"\npassword = "a"\n[[user]]\nlogin = "ann"\npassword = "b"\n', /FILE:\d:/, /ann/],
        ['a prefix without slashes', '[[route]]\nprefix = "topic"\n', /FILE:2:/, /prefix/],
        ['a list of the wrong things', '[gateway]\norigins = [1, 2]\n', /FILE:2:/, /origins/],
    ]) {
        test(`${what}: 1, where it is and what is meant`, async () => {
            const answer = await check(text);
            assert.equal(answer.code, 1, answer.text);
            for (const pattern of patterns) {
                assert.match(answer.text, pattern);
            }
        });
    }

    test('tells all mistakes at once', async () => {
        const { code, text } = await check('[gateway]\nprot = 1\npath = 5\n[limits]\nbody_bytes = 1\n');
        assert.equal(code, 1);
        for (const line of [2, 3, 5]) {
            assert.match(text, new RegExp(`FILE:${line}:`));
        }
    });

    test('a secret is not told', async () => {
        const { code, text } = await check('[broker]\npassword = 5432112345\n[[user]]\nlogin = "ann"\npassword = "hunter2"\nx = 1\n');
        assert.equal(code, 1);
        assert.doesNotMatch(text, /hunter2|5432112345/);
    });

    test('a file that is not there', async () => {
        const { code, stderr } = await h.run('stompgate', ['--config', '/nowhere/x.toml', '--check-config']);
        assert.equal(code, 1);
        assert.match(stderr, /\/nowhere\/x\.toml/);
    });

    test('the same words and exit code when it is started', async () => {
        const { code, stderr } = await h.run('stompgate', ['--config', await write('[gateway]\nprot = 1\n')]);
        assert.equal(code, 1);
        assert.match(stderr, /:2:1.*prot/s);
    });

    test('--version, --help and what is no option', async () => {
        assert.match((await h.run('stompgate', ['--version'])).stdout, /^stompgate \d+\.\d+\.\d+\n$/);
        assert.match((await h.run('stompgate', ['--help'])).stdout, /--check-config/);
        assert.match((await h.run('stompgate', ['--help-config'])).stdout, /gateway\.port/);
        assert.equal((await h.run('stompgate', ['--nonsense'])).code, 2);
        assert.equal((await h.run('stompgate', ['nonsense'])).code, 2);
    });
});

describe('a port in use', () => {
    test('is said, and 1; also to a gateway of several threads', async () => {
        const gw = await h.gateway();
        for (const threads of [1, 3]) {
            const config = h.config({ gateway: { name: unique('second'), port: gw.port, threads } });
            const { code, stderr } = await h.run('stompgate', ['--config', await write(toToml(config))]);
            assert.equal(code, 1);
            assert.match(stderr, new RegExp(`listener\\.failed.*port=${gw.port}.*port in use`));
        }
        assert.equal((await gw.get('/readyz')).status, 200, 'the first did not notice');
        await gw.stop();
    });

    test('an address that is not ours is said', async () => {
        const config = h.config({ gateway: { bind: '192.0.2.1' } });
        const { code, stderr } = await h.run('stompgate', ['--config', await write(toToml(config))]);
        assert.equal(code, 1);
        assert.match(stderr, /listener\.failed.*192\.0\.2\.1/);
    });
});

describe('limits on connections', () => {
    test('of one address, and of all: closed at once, counted, and room again when one leaves', async () => {
        for (const limits of [{ connections_per_address: 5 }, { connections: 5 }]) {
            const gw = await h.gateway({ limits }, { ready: false });
            await waitFor(async () => (await gw.get('/readyz')).status === 200);
            await waitFor(async () => (await gw.metric('stompgate_connections')) === 1);
            const wires = await Promise.all(Array.from({ length: 5 }, () => Wire.open(gw.url)));
            for (let i = 0; i < 3; i++) {
                const raw = await Raw.open(gw.port);
                assert.equal(await raw.upgrade(), null, 'no answer');
                assert.ok(raw.closed);
            }
            assert.equal(gw.log(/accept\.refused/).length, 3);
            wires[0].terminate();
            await waitFor(async () => {
                const raw = await Raw.open(gw.port);
                const answer = await raw.upgrade();
                raw.end();
                return answer?.status === 101;
            });
            await gw.stop();
        }
    });
});

describe('out of file descriptors', () => {
    // In clock ticks of 10 ms.
    async function cpu(pid) {
        const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1].split(' ');
        return Number(fields[11]) + Number(fields[12]);
    }

    async function cpuOfOneSecond(pid) {
        const [began, before] = [Date.now(), await cpu(pid)];
        await waitFor(() => Date.now() - began >= 1000, { what: 'a second' });
        return ((await cpu(pid)) - before) / ((Date.now() - began) / 10);
    }

    test('accepting pauses with one line, without spinning, and goes on when there are some', async () => {
        const gw = await h.gateway({ limits: { handshake_ms: 60000, connect_ms: 60000 } });
        const canary = await Canary.start(gw);
        const calm = await cpuOfOneSecond(gw.pid);
        const open = (await readdir(`/proc/${gw.pid}/fd`)).length;
        execFileSync('prlimit', ['--pid', String(gw.pid), `--nofile=${open + 10}`]);
        const raws = await Promise.all(Array.from({ length: 60 }, () => Raw.open(gw.port)));
        await gw.waitLog(/accept\.paused/);
        const starved = await cpuOfOneSecond(gw.pid);
        assert.equal(gw.log(/accept\.paused/).length, 1);
        assert.ok(gw.log(/accept|websockets/).length <= 2, `${gw.log(/accept|websockets/)}`);
        assert.ok(starved < calm + 0.15, `${(starved * 100).toFixed(0)} % of a core when starved, ${(calm * 100).toFixed(0)} % before`);
        raws.forEach((raw) => raw.end());
        const late = await Wire.open(gw.url);
        await late.connect();
        await late.disconnect();
        await gw.waitLog(/accept\.resumed/);
        assert.equal(await gw.metric('stompgate_accept_paused_total'), gw.log(/accept\.paused/).length);
        assert.ok(gw.log(/accept/).length < 20);
        await waitFor(async () => (await gw.metric('stompgate_connections')) === 3, { what: 'the canary and this request' });
        await canary.stop();
        await gw.stop();
    });
});

describe('the end', () => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
        test(`${signal}: receipts that are due come, 1001, exit 0`, async () => {
            const gw = await h.gateway({ gateway: { drain_ms: 500 }, limits: { close_linger_ms: 2000 } });
            const other = await h.gateway();
            const room = `/topic/${unique()}`;
            const hearer = await Wire.open(other.url);
            await hearer.connect();
            hearer.send('SUBSCRIBE', { id: 's', destination: room, receipt: 'r' });
            await hearer.receipt('r');
            const idle = await Promise.all(Array.from({ length: 20 }, () => Wire.open(gw.url)));
            await Promise.all(idle.slice(1).map((wire) => wire.connect())); // and one that is not connected yet
            const speaker = await Wire.open(gw.url);
            await speaker.connect();
            const health = await Raw.open(gw.port);
            health.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
            assert.equal((await health.response()).status, 200);

            speaker.raw(Buffer.concat(Array.from({ length: 2000 }, (_, i) => encodeFrame('SEND', { destination: room, receipt: i, n: i }))));
            await speaker.receipt('0');
            gw.signal(signal);
            await gw.waitLog(/reactor\.stage.*draining/);
            health.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
            const answer = await health.response();
            assert.deepEqual([answer?.status, answer?.body], [503, 'going down\n']);
            health.end();
            await assert.rejects(Raw.open(gw.port), { code: 'ECONNREFUSED' });

            await waitFor(() => speaker.closed && idle.every((wire) => wire.closed), { what: 'everybody to be told' });
            for (const wire of [speaker, ...idle]) {
                assert.deepEqual(wire.closed, { code: 1001, reason: 'Server is going down' });
                assert.deepEqual(
                    wire.frames.filter((frame) => frame.command === 'ERROR'),
                    [],
                );
            }
            await gw.ended;
            assert.deepEqual(gw.exit, { code: 0, signal: null });

            const receipts = [0, ...speaker.frames.map((frame) => Number(frame.headers['receipt-id']))];
            assert.deepEqual(
                receipts,
                receipts.map((_, i) => i),
                'receipts without a hole',
            );
            hearer.send('SEND', { destination: room, n: 'end' });
            await waitFor(() => hearer.frames.at(-1)?.headers.n === 'end', { what: 'all that was published' });
            const heard = hearer.frames.slice(0, -1).map((frame) => Number(frame.headers.n));
            assert.deepEqual(heard, receipts, 'what was published has its receipt, and the other way round');
            await other.stop();
        });
    }

    test('with nobody there it is quick', async () => {
        const gw = await h.gateway({ gateway: { drain_ms: 60000 } });
        const began = Date.now();
        assert.deepEqual(await gw.stop(), { code: 0, signal: null });
        assert.ok(Date.now() - began < 5000);
    });

    test('who does not answer the close is cut', async () => {
        const gw = await h.gateway({ gateway: { drain_ms: 0 }, limits: { close_linger_ms: 500 } });
        const raw = await Raw.open(gw.port);
        await raw.upgrade();
        await raw.connect();
        const half = await Raw.open(gw.port);
        half.write('GET /ws HTTP/1.1\r\n');
        assert.deepEqual(await gw.stop({ timeout: 10000 }), { code: 0, signal: null });
        assert.equal((await raw.closeFrame()).code, 1001);
        await raw.waitClosed();
        await half.waitClosed();
    });
});
