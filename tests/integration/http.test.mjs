// GET: health, metrics, history.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { Canary, Raw } from '../lib/raw.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

const sha512 = execFileSync('openssl', ['passwd', '-6', '-salt', 'pepper', 'tr0ub4dor'], { encoding: 'utf8' }).trim();
const ANN = { login: 'ann', passcode: 'secret' };

const h = await harness({ database: true, vhost: true });
let gw;
let canary;

before(async () => {
    gw = await h.gateway({
        gateway: { anonymous: false },
        history: { max_rows: 30 },
        user: [
            { login: 'ann', password: 'secret' },
            { login: 'bob', password_hash: sha512 },
        ],
        route: [
            { prefix: '/topic/', store: true },
            { prefix: '/private/', exchange: 'test.private', type: 'topic', declare: true, store: true, subscribe: ['bob'] },
            { prefix: '/news/', exchange: 'test.news', type: 'topic', declare: true, store: true, subscribe: ['*'] },
        ],
    });
    await h.worker();
    canary = await Canary.start(gw, { connect: ANN });
});

after(async () => {
    await canary?.stop();
    await h.close();
});

function basic(login, password) {
    return { authorization: `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}` };
}

async function get(where, headers = {}, gateway = gw) {
    const answer = await fetch(gateway.origin + where, { headers: { connection: 'close', ...headers }, signal: AbortSignal.timeout(10000) });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.startsWith('application/json');
    return { status: answer.status, headers: answer.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

function history(destination, more = '', headers = basic('ann', 'secret')) {
    return get(`/history?destination=${encodeURIComponent(destination)}${more}`, headers);
}

// Sends them, waits for their receipts and for their rows.
async function store(destination, bodies, headers = {}) {
    const wire = await Wire.open(gw.url);
    await wire.connect(ANN);
    for (const [i, body] of bodies.entries()) {
        wire.raw(encodeFrame('SEND', { destination, receipt: i, 'content-length': Buffer.byteLength(body), ...headers }, body));
        await wire.receipt(String(i));
    }
    await wire.disconnect();
    const key = destination.slice(destination.indexOf('/', 1) + 1).replaceAll('/', '.');
    await waitFor(async () => (await h.sql('SELECT count(*)::int AS n FROM message WHERE routing_key = $1', [key]))[0].n === bodies.length, {
        what: `${bodies.length} rows of ${key}`,
    });
}

describe('health', () => {
    test('/healthz and /readyz answer 200', async () => {
        for (const [where, text] of [
            ['/healthz', 'ok\n'],
            ['/readyz', 'ready\n'],
        ]) {
            const answer = await get(where);
            assert.deepEqual([answer.status, answer.text], [200, text]);
            assert.equal(answer.headers.get('cache-control'), 'no-store');
            assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
        }
    });

    test('/readyz answers 503 without a broker, /healthz 200', async () => {
        const alone = await h.gateway({ broker: { hosts: ['127.0.0.1:1'] }, route: [{ prefix: '/topic/' }], history: { enabled: false } }, { ready: false });
        assert.deepEqual([(await get('/readyz', {}, alone)).status, (await get('/healthz', {}, alone)).status], [503, 200]);
        assert.equal((await get('/readyz', {}, alone)).text, 'broker not available\n');
        await alone.stop();
    });

    test('several requests share a connection, also in one packet', async () => {
        const raw = await Raw.open(gw.port);
        for (let i = 0; i < 3; i++) {
            raw.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
            assert.equal((await raw.response()).body, 'ok\n');
        }
        raw.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n');
        assert.equal((await raw.response()).body, 'ok\n');
        assert.equal((await raw.response()).body, 'ready\n');
        assert.equal((await raw.response()).status, 404);
        raw.end();
    });

    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
        test(`${method} is not answered like GET`, async () => {
            const answer = await fetch(`${gw.origin}/metrics`, { method, headers: { connection: 'close' } }).catch(() => null);
            assert.notEqual(answer?.status, 200);
            assert.equal((await get('/healthz')).status, 200);
        });
    }
});

describe('/metrics', () => {
    test('is the Prometheus text format, every name once', async () => {
        const { status, text, headers } = await get('/metrics');
        assert.equal(status, 200);
        assert.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
        assert.ok(text.endsWith('\n'));
        const families = new Map(); // name → { help, type, samples }
        const samples = new Set();
        let current;
        for (const line of text.slice(0, -1).split('\n')) {
            const meta = /^# (HELP|TYPE) ([a-z_:][a-z0-9_:]*) (.+)$/.exec(line);
            if (meta?.[1] === 'HELP') {
                assert.ok(!families.has(meta[2]), `${meta[2]} is there twice`);
                current = { name: meta[2], samples: 0 };
                families.set(meta[2], current);
            } else if (meta) {
                assert.equal(meta[2], current.name, 'TYPE follows its HELP');
                assert.equal(current.type, undefined);
                assert.match(meta[3], /^(counter|gauge)$/);
                current.type = meta[3];
            } else {
                const sample = /^([a-z_:][a-z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line);
                assert.ok(sample, `not a sample: ${line}`);
                assert.equal(sample[1], current.name);
                assert.ok(!samples.has(sample[1] + sample[2]), `twice: ${line}`);
                samples.add(sample[1] + sample[2]);
                current.samples++;
            }
        }
        assert.ok(families.size > 25);
        for (const { name, type, samples: n } of families.values()) {
            assert.match(name, /^stompgate_/);
            assert.ok(n > 0, `${name} has no sample`);
            assert.equal(name.endsWith('_total'), type === 'counter', name);
        }
    });

    test('counts what happens', async () => {
        const before = await gw.metrics();
        await store(`/topic/${unique()}`, ['one', 'two']);
        const after = await gw.metrics();
        const more = (name) => after[`stompgate_${name}{reactor="0"}`] - before[`stompgate_${name}{reactor="0"}`];
        assert.ok(more('sends_total') >= 2);
        assert.ok(more('accepted_total') >= 1);
        assert.ok(more('received_bytes_total') > 50);
        assert.equal(after['stompgate_broker_up{reactor="0"}'], 1);
    });
});

describe('/history: who may', () => {
    const room = '/topic/who.may';
    for (const [what, headers, status] of [
        ['nobody', {}, 401],
        ['a wrong password', basic('ann', 'wrong'), 401],
        ['an empty password', basic('ann', ''), 401],
        ['an unknown user', basic('nobody', 'secret'), 401],
        ['a wrong password for a hash', basic('bob', 'secret'), 401],
        ['the user anonymous', basic('anonymous', ''), 401],
        ['an empty user', basic('', ''), 401],
        ['the right password', basic('ann', 'secret'), 200],
        ['the right password for a hash', basic('bob', 'tr0ub4dor'), 200],
        ['no Basic', { authorization: 'Bearer abc' }, 400],
        ['no base64', { authorization: 'Basic !!!' }, 400],
        ['no colon', { authorization: `Basic ${Buffer.from('annsecret').toString('base64')}` }, 400],
        ['more than fits', basic('ann', 'x'.repeat(3000)), 400],
    ]) {
        test(`${what}: ${status}`, async () => {
            const answer = await history(room, '', headers);
            assert.equal(answer.status, status, answer.text);
            assert.equal(answer.headers.get('www-authenticate'), status === 401 ? 'Basic realm="stompgate"' : null);
            if (status !== 200) {
                assert.equal(typeof answer.json.error, 'string');
                assert.deepEqual(Object.keys(answer.json), ['error']);
            }
        });
    }

    test('only those who may subscribe: 403 for others', async () => {
        assert.equal((await history('/private/a')).status, 403);
        assert.equal((await history('/private/a', '', basic('bob', 'tr0ub4dor'))).status, 200);
        assert.equal((await history('/exchange/test.private/a')).status, 403, 'by any spelling');
        assert.equal((await history('/exchange/amq.direct/a')).status, 403);
        assert.equal((await history('/fanout/a')).status, 404, 'a destination that is not stored');
    });

    test('who may is asked before anything else is told', async () => {
        assert.equal((await history('/fanout/a', '', {})).status, 401);
        assert.equal((await history('/private/a', '', {})).status, 401);
    });
});

describe('/history: what is asked', () => {
    for (const [what, query] of [
        ['no destination', ''],
        ['an empty destination', '?destination='],
        ['an unknown one', '?destination=/nowhere/a'],
        ['no slash in front', '?destination=topic/a'],
        ['a wildcard', '?destination=/topic/*'],
        ['a wildcard of many words', '?destination=/topic/a.%23'],
        ['a control character', '?destination=/topic/a%09b'],
        ['a key that is too long', `?destination=/topic/${'k'.repeat(256)}`],
        ['a destination that is far too long', `?destination=/topic/${'k'.repeat(5000)}`],
        ['limit 0', '?destination=/topic/a&limit=0'],
        ['limit -1', '?destination=/topic/a&limit=-1'],
        ['limit +1', '?destination=/topic/a&limit=+1'],
        ['limit abc', '?destination=/topic/a&limit=abc'],
        ['limit 1e3', '?destination=/topic/a&limit=1e3'],
        ['limit 0x10', '?destination=/topic/a&limit=0x10'],
        ['an empty limit', '?destination=/topic/a&limit='],
        ['before abc', '?destination=/topic/a&before=abc'],
        ['before half an id', '?destination=/topic/a&before=01a1fc97-39c6-714c-b766'],
        ['before with quotes', "?destination=/topic/a&before=' OR 1=1 --"],
        ['an empty before', '?destination=/topic/a&before='],
    ]) {
        test(`${what}: 400`, async () => {
            const answer = await get(`/history${query}`, basic('ann', 'secret'));
            assert.equal(answer.status, 400, answer.text);
            assert.ok(answer.json.error.length > 0);
        });
    }

    test('a room without messages is empty', async () => {
        const answer = await history(`/topic/${unique()}`);
        assert.deepEqual([answer.status, answer.json], [200, { messages: [] }]);
    });

    test('a message has all that was sent', async () => {
        const room = `/topic/${unique()}`;
        const body = '{"text":"ünï 😀 \\" \u0001 \\u0000 </script>"}';
        await store(room, [body], { 'content-type': 'application/json', 'x-colour': 'gr\nün' });
        const { json } = await history(room);
        assert.equal(json.messages.length, 1);
        const [message] = json.messages;
        assert.equal(message.body, body);
        assert.equal(message.destination, room);
        assert.equal(message.sender, 'ann');
        assert.equal(message.content_type, 'application/json');
        assert.equal(message.headers['x-colour'], 'gr\nün');
        assert.match(message.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        assert.ok(Math.abs(Date.parse(message.sent_at) - Date.now()) < 60000, message.sent_at);
    });

    test('a body that is no UTF-8 comes as base64, one with NULs as text', async () => {
        const room = `/topic/${unique()}`;
        const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        await store(room, [binary, Buffer.from('a\0b'), Buffer.alloc(0), Buffer.from([0xff])]);
        const byId = (await history(room)).json.messages.sort((a, b) => (a.id < b.id ? -1 : 1));
        assert.deepEqual(
            byId.map((message) => [message.body, message.body_base64]),
            [
                [undefined, binary.toString('base64')],
                ['a\0b', undefined],
                ['', undefined],
                [undefined, '/w=='],
            ],
        );
    });

    test('pages with before: every message once, in order', async () => {
        const room = `/topic/${unique()}`;
        const bodies = Array.from({ length: 25 }, (_, i) => `message ${i}`);
        await store(room, bodies);
        const seen = [];
        let before = '';
        for (const expected of [10, 10, 5, 0]) {
            const { status, json } = await history(room, `&limit=10${before}`);
            assert.equal(status, 200);
            assert.equal(json.messages.length, expected);
            const ids = json.messages.map((message) => message.id).sort();
            seen.unshift(...json.messages.sort((a, b) => (a.id < b.id ? -1 : 1)).map((message) => message.body));
            before = `&before=${ids[0]}`;
        }
        assert.deepEqual(seen, bodies);
        const whole = (await history(room, '&limit=30')).json.messages.map((message) => message.id);
        const sorted = [...whole].sort();
        assert.ok([sorted.join(), sorted.reverse().join()].includes(whole.join()), 'in order of time, one way or the other');
        assert.equal((await history(room, '&limit=4000000000')).json.messages.length, 25, 'a limit over max_rows is max_rows');
    });

    test('no answer is longer than max_rows', async () => {
        const room = `/topic/${unique()}`;
        await store(
            room,
            Array.from({ length: 31 }, (_, i) => String(i)),
        );
        assert.equal((await history(room, '&limit=31')).json.messages.length, 30);
        assert.equal((await history(room)).json.messages.length, 30);
    });

    test('one destination by all its spellings', async () => {
        const [a, b] = [unique(), unique()];
        await store(`/topic/${a}/${b}`, ['slashed']);
        for (const spelling of [`/topic/${a}.${b}`, `/topic/${a}/${b}`, `/exchange/amq.topic/${a}.${b}`]) {
            assert.equal((await history(spelling)).json.messages?.[0]?.body, 'slashed', spelling);
        }
    });

    test('a large answer, and clients that leave before it comes', async () => {
        const room = `/topic/${unique()}`;
        await store(
            room,
            Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(100000, 'x')),
        );
        const { json } = await history(room);
        assert.equal(json.messages.length, 20);
        assert.ok(json.messages.every((message) => message.body.length === 100000));
        const { authorization } = basic('bob', 'tr0ub4dor');
        for (const [i, how] of ['destroy', 'resetAndDestroy', 'end'].entries()) {
            const raws = await Promise.all(Array.from({ length: 10 }, () => Raw.open(gw.port)));
            raws.forEach((raw) => raw.write(`GET /history?destination=${room}&limit=20 HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`));
            if (i === 1) {
                await Promise.all(raws.map((raw) => waitFor(() => raw.received > 0)));
            }
            raws.forEach((raw) => raw.socket[how]());
        }
        assert.equal((await history(room)).json.messages.length, 20);
    });

    test('a hundred questions at once', async () => {
        const room = `/topic/${unique()}`;
        await store(room, ['here']);
        const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => history(room, '', i % 10 ? undefined : basic('bob', 'tr0ub4dor'))));
        for (const { status, json } of answers) {
            assert.ok(status === 200 ? json.messages[0].body === 'here' : status === 503, `${status}`);
        }
        assert.ok(answers.some(({ status }) => status === 200));
    });

    test('is 404 or 503 where it is not enabled', async () => {
        const without = await h.gateway({ history: { enabled: false } });
        const answer = await get('/history?destination=/topic/a', {}, without);
        assert.equal(answer.status, 503, 'this gateway lets everybody in, and has no history');
        await without.stop();
    });
});

// Last: it stops the database.
describe('the database away', () => {
    test('503 for history, and nothing else is touched; then it comes back', async () => {
        const room = `/topic/${unique()}`;
        await store(room, ['before']);
        await h.services('stop-postgres');
        try {
            const answer = await history(room);
            assert.equal(answer.status, 503);
            assert.match(answer.json.error, /history/);
            assert.equal((await get('/readyz')).status, 200);
            assert.equal((await history(room, '', {})).status, 401);
            const wire = await Wire.open(gw.url);
            await wire.connect(ANN);
            wire.send('SEND', { destination: room, receipt: 'r' }, 'meanwhile');
            await wire.receipt('r');
            await wire.disconnect();
        } finally {
            await h.services('start-postgres');
        }
        await waitFor(async () => (await history(room)).status === 200, { what: 'history to be back' });
        await waitFor(async () => (await history(room)).json.messages?.length === 2, { what: 'what was sent meanwhile to be stored' });
    });
});
