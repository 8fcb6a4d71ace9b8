// The storage worker against real servers: what a message becomes, what makes it the same message again, what the database will
// never take, and what is left when worker, database or broker die in the middle.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { harness, sleep, unique, waitFor } from '../lib/harness.mjs';

const EXCHANGE = 'amq.topic';

// Version 7, as the gateway makes them.
function uuidv7(ms = Date.now()) {
    const bytes = randomBytes(16);
    bytes.writeUIntBE(ms, 0, 6);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// A suite of its own: a database, a topic whose messages go to the storage queue, a publisher with confirms.
async function open(options = {}) {
    const h = await harness({ database: true, ...options });
    h.worker = ((start) => (extra, more) => start.call(h, extra, more))(h.worker);
    h.topic = unique('store');
    h.queue = h.config().store.queue;
    h.deadQueue = h.config().store.dead_queue;
    h.where = `exchange = '${EXCHANGE}' AND routing_key LIKE '${h.topic}.%'`;
    h.count = async (where = 'true') => Number((await h.sql(`SELECT count(*) FROM message WHERE ${h.where} AND ${where}`))[0].count);
    h.bind = async () => {
        await h.connectPublisher();
        await h.channel.bindQueue(h.queue, EXCHANGE, `${h.topic}.#`);
    };
    h.connectPublisher = async () => {
        h.connection = await h.amqp();
        h.channel = await h.connection.createConfirmChannel();
        h.channel.on('error', () => {});
    };
    // Resolves when the broker has confirmed.
    h.publish = (key, body, properties = {}) =>
        new Promise((resolve, reject) => {
            const done = (error) => (error ? reject(error) : resolve());
            h.channel.publish(EXCHANGE, `${h.topic}.${key}`, Buffer.from(body), { persistent: true, ...properties }, done);
        });
    h.publishMany = async (n, make) => {
        for (let from = 0; from < n; from += 2000) {
            const size = Math.min(2000, n - from);
            await Promise.all(Array.from({ length: size }, (_, i) => h.publish(...make(from + i))));
        }
    };
    h.letters = async () => {
        const letters = [];
        for (let letter; (letter = await h.channel.get(h.deadQueue, { noAck: true })); ) {
            letters.push({ ...letter.properties, body: letter.content.toString() });
        }
        return letters;
    };
    // Everything published was settled: nothing waits in the queue, ready or unacknowledged.
    h.settled = (options) =>
        waitFor(
            async () => {
                const { messageCount } = await h.channel.checkQueue(h.queue);
                const running = h.programs.filter((p) => p.isRunning);
                const held = await Promise.all(running.map((p) => p.metric('stompgate_store_held_rows')));
                return messageCount === 0 && held.every((n) => n === 0);
            },
            { what: 'the storage queue to be empty', every: 50, ...options },
        );
    return h;
}

function keyed(user, key, more = {}) {
    return { messageId: uuidv7(), headers: { 'x-stompgate-user': user, 'x-stompgate-key': key, ...more } };
}

describe('what a message becomes', () => {
    let h;
    let worker;
    before(async () => {
        h = await open();
        worker = await h.worker();
        await h.bind();
    });
    after(() => h.close());

    test('a message of the gateway is a row with all that is known of it', async () => {
        const ms = Date.now() - 1234;
        const messageId = uuidv7(ms);
        await h.publish('full', 'héllo', {
            messageId,
            contentType: 'text/plain;charset=utf-8',
            correlationId: 'c-1',
            headers: { 'x-stompgate-user': 'ann', 'x-stompgate-destination': '/topic/full', color: 'blue', quote: '"\\\u0001é' },
        });
        await h.settled();
        const [row] = await h.sql('SELECT * FROM message WHERE id = $1', [messageId]);
        assert.equal(row.exchange, EXCHANGE);
        assert.equal(row.routing_key, `${h.topic}.full`);
        assert.equal(row.destination, '/topic/full');
        assert.equal(row.sender, 'ann');
        assert.equal(row.content_type, 'text/plain;charset=utf-8');
        assert.deepEqual(row.headers, { color: 'blue', quote: '"\\\u0001é', 'correlation-id': 'c-1' });
        assert.equal(row.body.toString(), 'héllo');
        assert.equal(row.sent_at.getTime(), ms);
        assert.ok(row.stored_at.getTime() >= ms);
    });

    test('a message of a plain application is a row too, its id made in the order of time', async () => {
        const began = Date.now();
        await h.publish('plain', Buffer.from([0, 255, 1, 254]));
        await h.publish('plain', '', { timestamp: 1700000000 });
        await h.settled();
        const rows = await h.sql(`SELECT * FROM message WHERE routing_key = $1 ORDER BY id`, [`${h.topic}.plain`]);
        assert.deepEqual([...rows[0].body], [0, 255, 1, 254]);
        assert.equal(rows[1].body.length, 0);
        assert.equal(rows[1].sent_at.getTime(), 1700000000000);
        assert.deepEqual([rows[0].destination, rows[0].sender, rows[0].content_type, rows[0].headers], [null, null, null, {}]);
        for (const { id } of rows) {
            const ms = parseInt(id.replace('-', '').slice(0, 12), 16);
            assert.equal(id[14], '7');
            assert.ok(ms >= began - 1000 && ms <= Date.now() + 1000);
        }
        assert.equal(await worker.metric('stompgate_store_unidentified_total'), 2);
    });

    test('the row lies in the partition of its time, and what has no period in the default one', async () => {
        const far = uuidv7(Date.UTC(2101, 0, 1));
        const near = uuidv7();
        await h.publish('far', 'far', { messageId: far });
        await h.publish('near', 'near', { messageId: near });
        await h.settled();
        const rows = await h.sql('SELECT id, tableoid::regclass::text AS at FROM message WHERE id = ANY($1)', [[far, near]]);
        const at = Object.fromEntries(rows.map((row) => [row.id, row.at]));
        assert.equal(at[far], 'message_default');
        assert.match(at[near], /^message_\d{8}$/);
        const parts = await h.sql(`SELECT count(*) FROM pg_inherits WHERE inhparent = 'message'::regclass`);
        assert.equal(Number(parts[0].count), 4);
    });

    test('the same id and content again is no second row', async () => {
        const messageId = uuidv7();
        await h.publish('twice', 'x', { messageId });
        await h.settled();
        await h.publish('twice', 'x', { messageId });
        await Promise.all(Array.from({ length: 50 }, () => h.publish('twice', 'x', { messageId })));
        await h.settled();
        assert.equal(await h.count(`id = '${messageId}'`), 1);
        assert.deepEqual(await h.letters(), []);
    });

    for (const [what, other] of [
        ['another body', ['conflict', 'stolen']],
        ['another destination', ['elsewhere', 'mine']],
    ]) {
        test(`the same id with ${what} is a dead letter`, async () => {
            const messageId = uuidv7();
            await h.publish('conflict', 'mine', { messageId });
            await h.settled();
            await h.publish(...other, { messageId, headers: { a: 'b' } });
            await h.settled();
            const [letter, ...rest] = await h.letters();
            assert.equal(rest.length, 0);
            assert.equal(letter.body, other[1]);
            assert.equal(letter.messageId, messageId);
            assert.equal(letter.deliveryMode, 2);
            assert.equal(letter.headers.a, 'b');
            assert.equal(letter.headers['x-stompgate-reason'], 'id-conflict');
            assert.equal(letter.headers['x-stompgate-exchange'], EXCHANGE);
            assert.equal(letter.headers['x-stompgate-routing-key'], `${h.topic}.${other[0]}`);
            assert.equal(await h.count(`id = '${messageId}' AND body = 'mine'`), 1);
        });
    }

    test('an idempotency key gives one row per user and destination', async () => {
        await h.publish('key', 'x', keyed('ann', 'k1'));
        await h.settled();
        await h.publish('key', 'x', keyed('ann', 'k1'));
        await h.publish('key', 'x', keyed('bob', 'k1'));
        await h.publish('key2', 'x', keyed('ann', 'k1'));
        await h.publish('key', 'x', keyed('ann', 'k2'));
        await h.settled();
        const rows = await h.sql(`SELECT sender, routing_key FROM message WHERE routing_key LIKE $1`, [`${h.topic}.key%`]);
        assert.deepEqual(
            rows.map((row) => `${row.sender} ${row.routing_key.split('.').pop()}`).sort(), // ids of one millisecond have no order
            ['ann key', 'ann key', 'ann key2', 'bob key'],
        );
        assert.deepEqual(await h.letters(), []);
    });

    test('an idempotency key with another body is a dead letter, and the first row stays', async () => {
        await h.publish('key3', 'first', keyed('ann', 'k3'));
        await h.settled();
        const second = keyed('ann', 'k3');
        await h.publish('key3', 'second', second);
        await h.settled();
        const [letter] = await h.letters();
        assert.equal(letter.messageId, second.messageId);
        assert.equal(letter.headers['x-stompgate-reason'], 'id-conflict');
        assert.match(letter.headers['x-stompgate-error'], /idempotency key/);
        assert.equal(await h.count(`routing_key = '${h.topic}.key3' AND body = 'first'`), 1);
        assert.equal(await h.count(`routing_key = '${h.topic}.key3'`), 1);
    });

    test('an application message id that is no UUIDv7 is good for one row per destination', async () => {
        const first = { messageId: 'order 17 ☃' };
        await h.publish('app', 'x', first);
        await h.settled();
        await h.publish('app', 'x', first);
        await h.publish('app2', 'x', first);
        await h.publish('app', 'x', { messageId: randomUUID() });
        await h.publish('app', 'y', first);
        await h.settled();
        assert.equal(await h.count(`routing_key = '${h.topic}.app'`), 2);
        assert.equal(await h.count(`routing_key = '${h.topic}.app2'`), 1);
        const letters = await h.letters();
        assert.deepEqual(letters.map((letter) => [letter.messageId, letter.body]), [['order 17 ☃', 'y']]);
    });

    test('a key whose id stands for another message is free again', async () => {
        const messageId = uuidv7();
        await h.publish('free', 'original', { messageId });
        await h.settled();
        await h.publish('free', 'new', { ...keyed('ann', 'k9'), messageId });
        await h.settled();
        assert.equal((await h.letters()).length, 1);
        await h.publish('free', 'new', keyed('ann', 'k9'));
        await h.settled();
        assert.equal(await h.count(`routing_key = '${h.topic}.free' AND body = 'new'`), 1);
    });

    test('ids and keys that meet in one batch are told apart', async () => {
        const locker = await h.pool.connect();
        await locker.query('BEGIN; LOCK TABLE message IN EXCLUSIVE MODE');
        const messageId = uuidv7();
        const all = [h.publish('wake', 'the one that waits for the lock')];
        await sleep(100);
        for (let i = 0; i < 30; i++) {
            all.push(h.publish('batch', i === 7 ? 'other' : 'same', { messageId }));
            all.push(h.publish('batchkey', i === 9 ? 'other' : 'same', keyed('ann', 'batch')));
            all.push(h.publish('batchfree', `${i}`, keyed('ann', `free ${i}`)));
        }
        await Promise.all(all);
        await sleep(200);
        await locker.query('ROLLBACK');
        locker.release();
        await h.settled();
        assert.equal(await h.count(`routing_key = '${h.topic}.batch'`), 1);
        assert.equal(await h.count(`routing_key = '${h.topic}.batchkey'`), 1);
        assert.equal(await h.count(`routing_key = '${h.topic}.batchfree'`), 30);
        const letters = await h.letters();
        assert.deepEqual(letters.map((letter) => letter.body), ['other', 'other']);
    });

    test('hostile text is stored as it is, and changes nothing', async () => {
        const texts = ["'); DROP TABLE message; --", '{1,2}', '\\x00', 'NULL', '"', '$1', '%s%n', '\u202e\ufeff', '{"a":{"b":[1]}}', ''];
        for (const text of texts) {
            const headers = { 'x-stompgate-user': text, 'x-stompgate-destination': text, [`h${text}`.slice(0, 100)]: text };
            await h.publish('hostile', text, { messageId: uuidv7(), contentType: text, headers });
        }
        await h.settled();
        const rows = await h.sql('SELECT * FROM message WHERE routing_key = $1 ORDER BY id', [`${h.topic}.hostile`]);
        const stored = rows.map((row) => [row.sender, row.destination, row.content_type, row.body.toString(), Object.values(row.headers)[0]]);
        assert.deepEqual(new Set(stored.map(String)), new Set(texts.map((text) => String([text, text, text, text, text]))));
    });
});

describe('what the database will never take', () => {
    let h;
    let worker;
    before(async () => {
        h = await open({ config: { store: { batch_rows: 500 } } });
        worker = await h.worker();
        await h.bind();
    });
    after(() => h.close());

    test('becomes a dead letter with SQLSTATE, message, properties and body', async () => {
        const messageId = uuidv7();
        await h.publish('bad', 'the body', {
            messageId,
            contentType: 'text/plain',
            expiration: '100',
            priority: 3,
            headers: { nul: 'a\u0000b', ok: 'yes', 'x-stompgate-user': 'ann' },
        });
        await h.publish('bad\u0000key', 'b');
        await h.settled();
        await sleep(200); // longer than the first one's expiration
        const letters = await h.letters();
        assert.equal(letters.length, 2);
        const [one, two] = letters;
        assert.equal(one.messageId, messageId);
        assert.equal(one.contentType, 'text/plain');
        assert.equal(one.priority, 3);
        assert.equal(one.body, 'the body');
        assert.equal(one.headers.nul, 'a\u0000b');
        assert.equal(one.headers.ok, 'yes');
        assert.equal(one.headers['x-stompgate-user'], 'ann');
        assert.equal(one.headers['x-stompgate-reason'], 'refused');
        assert.match(one.headers['x-stompgate-error'], /^22P05: /);
        assert.equal(one.headers['x-stompgate-expiration'], '100');
        assert.match(two.headers['x-stompgate-error'], /^22021: /);
        assert.equal(two.headers['x-stompgate-routing-key'], `${h.topic}.bad\u0000key`);
    });

    test('is found among thousands of good ones, which are all stored', async () => {
        const n = 10000;
        const isBad = (i) => i % 500 === 123 || (i > 5000 && i < 5010);
        const bad = Array.from({ length: n }, (_, i) => i).filter(isBad);
        await h.publishMany(n, (i) => ['many', `${i}`, { messageId: uuidv7(), headers: isBad(i) ? { x: '\u0000' } : { x: 'y' } }]);
        await h.settled({ timeout: 60000 });
        const letters = await h.letters();
        assert.deepEqual(letters.map((letter) => Number(letter.body)).sort((a, b) => a - b), bad);
        assert.equal(await h.count(`routing_key = '${h.topic}.many'`), n - bad.length);
        assert.equal(await worker.metric('stompgate_store_refused_total'), bad.length + 2);
    });

    test('waits in the storage queue while the dead queue is full', async () => {
        const limit = { pattern: `^${h.deadQueue}$`, definition: { 'max-length': 1, overflow: 'reject-publish' }, 'apply-to': 'queues' };
        await h.management.put(`/policies/${h.vhostPath}/${h.topic}`, { ...limit, priority: 1 });
        h.defer(() => h.management.delete(`/policies/${h.vhostPath}/${h.topic}`));
        await sleep(500);
        for (const body of ['1', '2']) {
            await h.publish('full', body, { headers: { x: '\u0000' } });
        }
        await worker.waitLog(/store\.dead\.failed/);
        await h.publish('full', 'good');
        await h.management.delete(`/policies/${h.vhostPath}/${h.topic}`);
        await h.settled({ timeout: 30000 });
        const letters = await h.letters();
        assert.deepEqual([...new Set(letters.map((letter) => letter.body))].sort(), ['1', '2']);
        assert.equal(await h.count(`routing_key = '${h.topic}.full'`), 1);
    });
});

describe('who dies in the middle', () => {
    let h;
    before(async () => {
        h = await open();
        const first = await h.worker(); // declares the queue
        await h.bind();
        await first.stop();
    });
    after(() => h.close());

    async function exactly(ids, options) {
        await h.settled({ timeout: 120000, ...options });
        const rows = await h.sql(`SELECT id, count(*) FROM message WHERE id = ANY($1) GROUP BY id`, [ids]);
        assert.equal(rows.length, ids.length, 'rows and confirms differ');
        assert.ok(rows.every((row) => Number(row.count) === 1));
        assert.deepEqual(await h.letters(), []);
    }

    function numbered(ids, key, from = 0) {
        return (i) => {
            const n = from + i;
            ids[n] = uuidv7();
            const headers = n % 3 === 0 ? { 'x-stompgate-user': 'ann', 'x-stompgate-key': `${key} ${n}` } : {};
            return [key, `${n}`, { messageId: ids[n], headers }];
        };
    }

    test('a worker, ten times with SIGKILL in 50,000 messages: rows = confirms, none twice', { timeout: 240000 }, async () => {
        let worker = await h.worker({}, { name: 'victim' });
        const ids = [];
        for (let round = 0; round < 10; round++) {
            const publishing = h.publishMany(5000, numbered(ids, 'killed', round * 5000));
            await sleep(20 + Math.random() * 400);
            await worker.kill();
            await publishing;
            worker = await h.worker({}, { name: 'victim' });
            await sleep(Math.random() * 200);
        }
        await exactly(ids);
        assert.equal(await h.count(`routing_key = '${h.topic}.killed'`), 50000);
        assert.equal((await worker.stop()).code, 0);
    });

    // A backend that has the whole statement commits it even when its client is dead, so a kill of the worker alone would not
    // show a worker that acknowledges too early. Here the transaction waits for a lock, and dies first.
    test('a worker and its transaction together, five times', { timeout: 120000 }, async () => {
        const ids = [];
        for (let round = 0; round < 5; round++) {
            const worker = await h.worker({ store: { batch_rows: 100 } }, { name: 'together' });
            const sessions = `FROM pg_stat_activity WHERE application_name = 'stompgate-store ${worker.name}'`;
            const locker = await h.pool.connect();
            await locker.query('BEGIN; LOCK TABLE message IN SHARE MODE');
            await h.publishMany(1000, numbered(ids, 'together', round * 1000));
            await waitFor(async () => (await h.sql(`SELECT 1 ${sessions} AND wait_event_type = 'Lock'`)).length === 1);
            await Promise.all([h.sql(`SELECT pg_terminate_backend(pid) ${sessions}`), sleep(round).then(() => worker.kill())]);
            await waitFor(async () => (await h.sql(`SELECT 1 ${sessions}`)).length === 0);
            await locker.query('ROLLBACK');
            locker.release();
        }
        const last = await h.worker();
        await exactly(ids);
        await last.stop();
    });

    test('a worker that is asked to end acknowledges what it wrote', { timeout: 120000 }, async () => {
        const ids = [];
        for (let round = 0; round < 3; round++) {
            const worker = await h.worker({}, { name: 'leaver' });
            const publishing = h.publishMany(4000, numbered(ids, 'left', round * 4000));
            await sleep(50 + Math.random() * 100);
            assert.equal((await worker.stop()).code, 0);
            assert.ok(worker.log(/store\.stop /).length > 0);
            await publishing;
        }
        const last = await h.worker();
        await exactly(ids);
        assert.equal(await last.metric('stompgate_store_duplicates_total'), 0, 'written and not acknowledged');
        await last.stop();
    });

    test('two workers that get the same messages store each once', { timeout: 120000 }, async () => {
        const workers = [await h.worker(), await h.worker()];
        const ids = [];
        const make = numbered(ids, 'both');
        await h.publishMany(10000, (i) => {
            if (i % 2 === 0) {
                return make(i / 2);
            }
            const n = (i - 1) / 2;
            const headers = n % 3 === 0 ? { 'x-stompgate-user': 'ann', 'x-stompgate-key': `both ${n}` } : {};
            return ['both', `${n}`, { messageId: ids[n], headers }];
        });
        await exactly(ids);
        const rows = await Promise.all(workers.map((worker) => worker.metric('stompgate_store_rows_total')));
        const twice = await Promise.all(workers.map((worker) => worker.metric('stompgate_store_duplicates_total')));
        assert.equal(rows[0] + rows[1], 5000);
        assert.equal(twice[0] + twice[1], 5000);
        assert.ok(rows[0] > 0 && rows[1] > 0, 'both took part');
        await Promise.all(workers.map((worker) => worker.stop()));
    });

    test('the database sessions, again and again', { timeout: 120000 }, async () => {
        const worker = await h.worker();
        const ids = [];
        const publishing = h.publishMany(20000, numbered(ids, 'cut'));
        let cuts = 0;
        for (let i = 0; i < 15; i++) {
            const rows = await h.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, [`stompgate-store ${worker.name}`]);
            cuts += rows.length;
            await sleep(100);
        }
        await publishing;
        await exactly(ids);
        assert.ok(cuts >= 5, `only ${cuts} sessions were cut`);
        await worker.stop();
    });

    test('somebody holds locks or makes the database read-only: tried again until it works', { timeout: 120000 }, async () => {
        const worker = await h.worker({ database: { statement_timeout_ms: 1000 } });
        const ids = [];
        const locker = await h.pool.connect();
        await locker.query('BEGIN; LOCK TABLE message IN EXCLUSIVE MODE');
        await h.publishMany(3000, numbered(ids, 'locked'));
        await waitFor(async () => (await worker.metric('stompgate_store_clashes_total')) > 1);
        await locker.query('ROLLBACK');
        locker.release();
        await h.settled();
        await h.sql(`ALTER DATABASE ${h.tag} SET default_transaction_read_only = on`);
        await h.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, [`stompgate-store ${worker.name}`]);
        await worker.waitLog(/pg\.lost/);
        await h.publishMany(1000, numbered(ids, 'locked', 3000));
        await worker.waitLog(/store\.failed.*sqlstate=25006/);
        const admin = await h.pool.connect();
        await admin.query('SET default_transaction_read_only = off');
        await admin.query(`ALTER DATABASE ${h.tag} RESET default_transaction_read_only`);
        admin.release();
        await exactly(ids);
        await worker.stop();
    });

    test('the database stops: nothing is acknowledged, little is held, nothing is lost', { timeout: 240000 }, async () => {
        const worker = await h.worker({ store: { batch_rows: 100 } });
        const ids = [];
        await h.publishMany(1000, numbered(ids, 'away'));
        await h.settled();
        await h.services('stop-postgres');
        try {
            await waitFor(async () => (await worker.get('/readyz')).status === 503);
            assert.equal((await worker.get('/healthz')).status, 200);
            await h.publishMany(3000, numbered(ids, 'away', 1000));
            await sleep(1000);
            assert.ok((await worker.metric('stompgate_store_held_rows')) <= 200);
            await waitFor(async () => (await h.channel.checkQueue(h.queue)).messageCount >= 2800);
        } finally {
            await h.services('start-postgres');
        }
        await exactly(ids);
        await worker.stop();
    });

    test('the broker restarts: what was under way is stored once', { timeout: 240000 }, async () => {
        const worker = await h.worker();
        const ids = [];
        await h.publishMany(8000, numbered(ids, 'restart'));
        await h.services('restart-rabbit');
        await h.connectPublisher();
        await waitFor(async () => (await worker.get('/readyz')).status === 200);
        await h.publishMany(100, numbered(ids, 'restart', 8000));
        await exactly(ids);
        await worker.stop();
    });

    test('the storage queue is deleted: it stands again and is consumed', { timeout: 60000 }, async () => {
        const worker = await h.worker();
        await h.channel.deleteQueue(h.queue);
        await waitFor(() => h.management.get(`/queues/${h.vhostPath}/${h.queue}`));
        await h.channel.bindQueue(h.queue, EXCHANGE, `${h.topic}.#`);
        const ids = [];
        await h.publishMany(100, numbered(ids, 'again'));
        await exactly(ids);
        await worker.stop();
    });
});

describe('what the worker never sees', () => {
    let h;
    before(async () => {
        h = await open({ config: { store: { queue_max_bytes: 80 << 20 } } });
    });
    after(() => h.close());

    const arrived = () => waitFor(async () => (await h.channel.checkQueue(h.deadQueue)).messageCount > 0, { what: 'a dead letter', timeout: 30000 });

    test('a body over 64 MiB becomes a dead letter', { timeout: 120000 }, async () => {
        const worker = await h.worker();
        await h.bind();
        await h.publish('huge', Buffer.alloc((64 << 20) + 1, 'x'), { headers: { color: 'blue' } });
        await arrived();
        await worker.waitLog(/broker\.undecodable/);
        await h.publish('small', 'small');
        await h.settled({ timeout: 30000 });
        const letters = await h.letters();
        assert.deepEqual(letters.map((letter) => letter.body.length), [(64 << 20) + 1]);
        assert.equal(letters[0].headers.color, 'blue');
        assert.equal(letters[0].headers['x-first-death-queue'], h.queue);
        assert.equal(letters[0].headers['x-first-death-reason'], 'rejected');
        assert.equal(await h.count(), 1);
        await worker.stop();
    });

    test('so does what expires while no worker runs', { timeout: 60000 }, async () => {
        await h.publish('expires', 'late', { expiration: '50' });
        await arrived();
        const [letter] = await h.letters();
        assert.equal(letter.body, 'late');
        assert.equal(letter.headers['x-first-death-reason'], 'expired');
    });

    test('what a full storage queue refuses is refused, and no dead letter', { timeout: 60000 }, async () => {
        const body = Buffer.alloc(30 << 20, 'x');
        let confirmed = 0;
        await assert.rejects(async () => {
            for (; confirmed < 10; confirmed++) {
                await h.publish('full', body);
            }
        });
        assert.ok(confirmed >= 2 && confirmed < 10);
        await sleep(500);
        assert.equal((await h.channel.checkQueue(h.deadQueue)).messageCount, 0);
        assert.equal((await h.channel.checkQueue(h.queue)).messageCount, confirmed);
    });
});

describe('large bodies', () => {
    let h;
    before(async () => {
        h = await open();
    });
    after(() => h.close());

    test('are taken fewer at a time, and memory stays within its bound', { timeout: 180000 }, async () => {
        const first = await h.worker();
        await h.bind();
        await first.stop();
        const body = randomBytes(8 << 20);
        const ids = Array.from({ length: 40 }, () => uuidv7());
        await h.publishMany(40, (i) => ['large', Buffer.concat([body, Buffer.from(`${i}`)]), { messageId: ids[i] }]);
        const worker = await h.worker({}, { ready: false });
        let most = 0;
        await waitFor(
            async () => {
                most = Math.max(most, await worker.metric('stompgate_store_held_bytes'));
                return (await h.count(`routing_key = '${h.topic}.large'`)) === 40;
            },
            { timeout: 120000 },
        );
        assert.ok(most <= (64 << 20) + (9 << 20), `held ${most} bytes`);
        assert.ok(worker.log(/store\.parked.*fewer at a time/).length > 0);
        await h.settled();
        assert.deepEqual(await h.letters(), []);
        const [{ sum }] = await h.sql(`SELECT sum(octet_length(body)) FROM message WHERE routing_key = '${h.topic}.large'`);
        assert.equal(Number(sum), ids.reduce((total, _, i) => total + body.length + `${i}`.length, 0));
    });
});

describe('the schema', () => {
    test('is made once by five that migrate at the same time, and the worker waits for it', { timeout: 60000 }, async () => {
        const h = await open({ migrate: false });
        try {
            const worker = await h.worker({}, { ready: false });
            await worker.waitLog(/pg\.prepare.*42P01/);
            await Promise.all(Array.from({ length: 5 }, () => h.migrate()));
            await waitFor(async () => (await worker.get('/readyz')).status === 200);
            assert.deepEqual(await h.sql('SELECT version FROM stompgate_version'), [{ version: 1 }]);
        } finally {
            await h.close();
        }
    });

    test('goes on with the default partition when it holds rows of a period that has none', { timeout: 60000 }, async () => {
        const h = await open();
        try {
            const id = uuidv7();
            await h.sql(
                `INSERT INTO message (id, exchange, routing_key, headers, body, sent_at) VALUES ($1, 'e', 'k', '{}', '', now())`,
                [id],
            );
            const worker = await h.worker();
            await worker.waitLog(/store\.partition sqlstate=23514|store\.partition.*sqlstate=23514/);
            await h.bind();
            await h.publish('default', 'x', { messageId: uuidv7() });
            await h.settled();
            assert.equal(await h.count(`tableoid = 'message_default'::regclass`), 1);
        } finally {
            await h.close();
        }
    });

    test('old keys are removed, young ones stay', { timeout: 60000 }, async () => {
        const h = await open();
        try {
            await h.sql(
                `INSERT INTO dedup (digest, id, body, created)
                 SELECT gen_random_uuid(), gen_random_uuid(), '', now() - make_interval(hours => 20 + n % 10, mins => 1) FROM generate_series(1, 12000) n`,
            );
            await h.worker();
            await waitFor(async () => Number((await h.sql('SELECT count(*) FROM dedup'))[0].count) === 4800);
            await sleep(1500);
            assert.equal(Number((await h.sql('SELECT count(*) FROM dedup'))[0].count), 4800);
        } finally {
            await h.close();
        }
    });

    test('no database within the time: --migrate says so and exits 1', { timeout: 60000 }, async () => {
        const h = await harness({ config: { database: { url: 'postgresql://nobody@127.0.0.1:1/none?connect_timeout=2' } } });
        try {
            await assert.rejects(h.migrate(), (error) => {
                assert.equal(error.code, 1);
                assert.match(error.stderr, /schema\.failed/);
                return true;
            });
        } finally {
            await h.close();
        }
    });
});
