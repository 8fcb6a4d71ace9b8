// The transcripts of tests/transcripts, which the unit tests play against a session without a network, played by a real client against a
// gateway and RabbitMQ: over WebSocket and over TCP, each whole and cut at random places. What needs a broker that fails or keeps silent
// at the right moment cannot be played so; the account at the end says how many, and why.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { harness, root } from '../lib/harness.mjs';
import { play } from '../lib/play.mjs';
import { readTranscript } from '../lib/transcript.mjs';

const SHARE = 0.7; // of the transcripts must be played live, at least
const BOOLEANS = new Set(['stomp.error_close', 'tcp.error_close', 'stomp.nack_requeue']);
const SEED = Number(process.env.STOMPGATE_SEED ?? Math.floor(Math.random() * 1e9));
const TRANSPORTS = (process.env.STOMPGATE_TRANSPORTS ?? 'ws,tcp').split(',');

// As run_init() of tests/unit/test_session.c has it.
const everybody = ['*'];
const open = { send: everybody, subscribe: everybody, queues: everybody };
const ROUTES = [
    { prefix: '/topic/', ...open },
    { prefix: '/fanout/', ...open },
    { prefix: '/exchange/', ...open },
    { prefix: '/closed/', exchange: 'closed', type: 'topic', declare: true, send: ['ann'], subscribe: ['ann', 'bob'] },
    { prefix: '/stored/', exchange: 'stored', type: 'topic', declare: true, store: true, ...open },
    { prefix: '/queue/', ...open },
    { prefix: '/amq/queue/', send: ['ann'], subscribe: ['ann', 'bob'] },
    { prefix: '/unshaped/', exchange: 'unshaped', type: 'topic', declare: true, send: everybody, subscribe: everybody },
    { prefix: '/alarm/', exchange: 'alarm', type: 'fanout', declare: true, ...open },
];

const folder = path.join(root, 'tests/transcripts');
const all = readdirSync(folder)
    .filter((name) => name.endsWith('.stomp'))
    .sort()
    .map((name) => readTranscript(name, readFileSync(path.join(folder, name), 'latin1')));

// ---- gateways: as few as their settings and passwords allow ---------------------------------------------------------------------

function settingsOf(transcript) {
    const config = { limits: { close_linger_ms: 2000 }, stomp: {}, tcp: {} };
    for (const [section, keys] of Object.entries(transcript.settings)) {
        config[section] ??= {};
        for (const [key, value] of Object.entries(keys)) {
            config[section][key] = BOOLEANS.has(`${section}.${key}`) ? Boolean(value) && value !== 'false' : value;
        }
    }
    const errorClose = config.stomp.error_close ?? true;
    return { ...config, tcp: { error_close: errorClose, ...config.tcp } };
}

class Group {
    constructor(key, config) {
        Object.assign(this, { key, config, users: new Map(), plays: [], left: 0 });
    }

    takes(transcript) {
        return transcript.users.every(({ login, password }) => (this.users.get(login) ?? password) === password);
    }

    add(entry) {
        entry.transcript.users.forEach(({ login, password }) => this.users.set(login, password));
        this.plays.push(entry);
        this.left++;
    }

    start(h) {
        const user = [...this.users].map(([login, password]) => ({ login, password }));
        this.gateway ??= h.gateway({ ...this.config, user, route: ROUTES });
        return this.gateway;
    }

    // The last one puts out the light.
    async done() {
        if (--this.left === 0) {
            await (await this.gateway).stop();
        }
    }
}

const groups = [];

function groupFor(entry) {
    const config = settingsOf(entry.transcript);
    const own = entry.transcript.needs.has('gateway') ? `${entry.transcript.name} ${entry.transport} ${entry.cut}` : '';
    const key = JSON.stringify([config, own]);
    let group = groups.find((g) => g.key === key && g.takes(entry.transcript));
    if (!group) {
        group = new Group(key, { ...config, tcp: { enabled: true, port: 0, ...config.tcp } });
        groups.push(group);
    }
    group.add(entry);
    return group;
}

// section.key → [least, most], of the program itself.
const help = execFileSync(path.join(process.env.STOMPGATE_BIN_DIR, 'stompgate'), ['--help-config'], { encoding: 'utf8' });
const ranges = new Map(
    [...help.matchAll(/^(\S+) .*?(-?\d+)\.\.(\d+)/gm)].map(([, key, least, most]) => [key, [Number(least), Number(most)]]),
);

function isInRange([key, value]) {
    const [least, most] = ranges.get(key) ?? [-Infinity, Infinity];
    return typeof value !== 'number' || (value >= least && value <= most);
}

function obstacleOver(transcript, transport) {
    const sections = Object.entries(transcript.settings);
    const set = sections.flatMap(([section, keys]) => Object.entries(keys).map(([key, value]) => [`${section}.${key}`, value]));
    if (!set.every(isInRange)) {
        return 'no configuration may have its settings';
    }
    return transcript.obstacle ?? (transport === 'tcp' && transcript.needs.has('pong') ? 'TCP has no PONG' : null);
}

const entries = TRANSPORTS.flatMap((transport) =>
    all
        .filter((transcript) => !obstacleOver(transcript, transport))
        .flatMap((transcript) => ['whole', 'cut'].map((cut) => ({ transcript, transport, cut }))),
);
entries.sort((a, b) => b.transcript.length - a.transcript.length); // those that take their time begin
entries.forEach((entry) => (entry.group = groupFor(entry)));

// ---- the plays --------------------------------------------------------------------------------------------------------------------

let h;
let amqp; // an application beside the gateways
const played = Object.fromEntries(TRANSPORTS.map((transport) => [transport, new Set()]));

before(async () => {
    h = await harness({ vhost: true });
    const connection = await h.amqp();
    amqp = { connection, confirm: await connection.createConfirmChannel() };
    for (const queue of ['work', 'a']) {
        await amqp.confirm.assertQueue(queue, { durable: true }); // what transcripts of /amq/queue/ find there
    }
    await amqp.confirm.assertExchange('x', 'topic'); // and those of /exchange/
});

after(() => h.close());

describe('played live', { concurrency: 150 }, () => {
    entries.forEach(({ transcript, transport, cut, group }, n) =>
        test(`${transcript.name} over ${transport}, ${cut}`, async () => {
            try {
                await play(transcript, await group.start(h), { transport, amqp, seed: cut === 'cut' ? SEED + n : undefined });
                played[transport].add(transcript.name);
            } catch (error) {
                throw new Error(`${error.message}\nseed: STOMPGATE_SEED=${SEED}`, { cause: error });
            } finally {
                await group.done();
            }
        }),
    );
});

test('the account: what was played, and why the others were not', (t) => {
    const reasons = new Map();
    for (const transport of TRANSPORTS) {
        const left = all.filter((transcript) => obstacleOver(transcript, transport));
        for (const transcript of left) {
            const reason = `${transport}: ${obstacleOver(transcript, transport)}`;
            reasons.set(reason, [...(reasons.get(reason) ?? []), transcript.name]);
        }
        t.diagnostic(`over ${transport}: ${played[transport].size} of ${all.length} transcripts played, ${left.length} not playable`);
        assert.ok(played[transport].size + left.length === all.length, 'every transcript was played or has a reason why not');
        assert.ok(played[transport].size >= SHARE * all.length, `at least ${SHARE * 100} % of the transcripts are played live`);
    }
    for (const [reason, names] of [...reasons].sort()) {
        t.diagnostic(`${reason}: ${names.length} (${names.join(', ')})`);
    }
    t.diagnostic(`${groups.length} gateways`);
});
