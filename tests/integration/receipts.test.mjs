// What a RECEIPT is worth: 50,000 SENDs with receipts through a gateway, while the only storage worker is killed again and again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { harness, sleep, unique, waitFor } from '../lib/harness.mjs';
import { Wire } from '../lib/wire.mjs';

const TOTAL = 50000;
const SENDERS = 5;
const KILLS = 10;
const WINDOW = 400;

let h;
before(async () => {
    h = await harness({ database: true });
});
after(() => h.close());

// Sends its share with at most WINDOW unanswered; gives the ids whose RECEIPT came.
async function send(gw, destination, share, received) {
    const wire = await Wire.open(gw.url);
    await wire.connect();
    let sent = 0;
    const collect = () => {
        for (const frame of wire.frames.splice(0)) {
            assert.equal(frame.command, 'RECEIPT', frame.body);
            assert.ok(!received.has(frame.headers['receipt-id']), 'no receipt comes twice');
            received.add(frame.headers['receipt-id']);
        }
    };
    let mine = 0;
    while (mine < share.length) {
        while (sent < share.length && sent - mine < WINDOW) {
            wire.send('SEND', { destination, receipt: share[sent] }, share[sent]);
            sent++;
        }
        await sleep(1);
        assert.equal(wire.closed, null);
        mine += wire.frames.length;
        collect();
    }
    await wire.disconnect();
}

test(`${TOTAL} SENDs with receipts, the worker killed with SIGKILL ${KILLS} times: rows = receipts, none twice`, async () => {
    const gw = await h.gateway();
    let worker = await h.worker();
    const destination = unique('/topic/receipts.');
    const received = new Set();
    const shares = Array.from({ length: SENDERS }, (_, s) => Array.from({ length: TOTAL / SENDERS }, (_, i) => `${s}-${i}`));
    const sending = Promise.all(shares.map((share) => send(gw, destination, share, received)));
    let failed;
    sending.catch((error) => (failed = error));
    for (let kill = 1; kill <= KILLS; kill++) {
        const due = (TOTAL * (kill - Math.random())) / KILLS; // once in each tenth, at a random moment of it
        await waitFor(() => failed || received.size >= due, { timeout: 120000, every: 2, what: `${Math.round(due)} receipts` });
        if (failed) {
            throw failed;
        }
        await worker.kill();
        worker = await h.worker();
    }
    await sending;
    assert.equal(received.size, TOTAL);
    const key = destination.slice('/topic/'.length);
    const count = async () => (await h.sql('SELECT count(*)::int AS n FROM message WHERE routing_key = $1', [key]))[0].n;
    await waitFor(async () => (await count()) >= TOTAL, { timeout: 60000, what: `${TOTAL} rows` });
    await waitFor(
        async () => {
            const queue = await h.management.get(`/queues/${h.vhostPath}/${gw.config.store.queue}`);
            return queue.messages === 0;
        },
        { timeout: 30000, what: 'the storage queue to be empty' },
    );
    const rows = await h.sql('SELECT convert_from(body, \'UTF8\') AS body, count(*)::int AS n FROM message WHERE routing_key = $1 GROUP BY 1', [key]);
    assert.equal(rows.length, TOTAL);
    assert.deepEqual(rows.filter((row) => row.n !== 1 || !received.has(row.body)), []);
    assert.equal(await count(), TOTAL);
});
