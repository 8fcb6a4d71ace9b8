// The same conversations with RabbitMQ's own STOMP plugin (3.10.8) and with us, over TCP and on one broker. Everything that came back is
// compared, to the byte: frames, headers and their order, what is closed, what is left in the broker. Each difference is written down in
// tests/integration/differential/, with what the plugin does, what we do, and why; one that has gone fails like one that is new.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { converse } from '../lib/dialogue.mjs';
import { harness } from '../lib/harness.mjs';
import { Peer } from '../lib/peer.mjs';
import { World } from '../lib/world.mjs';
import acks from './differential/acks.mjs';
import adoption from './differential/adoption.mjs';
import connect from './differential/connect.mjs';
import destinations from './differential/destinations.mjs';
import { DIFFERENCES } from './differential/differences.mjs';
import { HABITS } from './differential/habits.mjs';
import headers from './differential/headers.mjs';
import queues from './differential/queues.mjs';
import subscriptions from './differential/subscriptions.mjs';
import transactions from './differential/transactions.mjs';

const AT_ONCE = 8;
const [host, port] = (process.env.STOMPGATE_PEER_STOMP ?? '').split(':');
assert.ok(port, "STOMPGATE_PEER_STOMP is not set: this needs RabbitMQ's own plugin (scripts/test starts it)");

const everybody = { send: ['*'], subscribe: ['*'], queues: ['*'] };
const CONFIG = {
    gateway: { anonymous: true },
    limits: { close_linger_ms: 100 },
    tcp: { enabled: true, bind: host, port: 0, error_close: false },
    user: [
        { login: 'guest', password: 'guest' },
        { login: 'slash', password: 'a\\nb' },
    ],
    route: ['/topic/', '/exchange/', '/queue/', '/amq/queue/'].map((prefix) => ({ prefix, ...everybody })),
};

const TOPICS = { destinations, headers, acks, transactions, queues, subscriptions, connect };
const differences = new Map(DIFFERENCES.flatMap(({ cases }) => Object.entries(cases)));

const h = await harness({ vhost: true, config: CONFIG });
const seen = new Map(HABITS.map((habit) => [habit, 0]));
let world;
let sides;

before(async () => {
    await h.management.put('/users/slash', { password: 'a\\nb', tags: '' });
    h.defer(() => h.management.delete('/users/slash'));
    await h.management.put(`/permissions/${h.vhostPath}/slash`, { configure: '.*', write: '.*', read: '.*' });
    world = await World.open(h);
    const gateway = await h.gateway();
    sides = {
        plugin: () => Peer.open({ tcpPort: Number(port) }, 'tcp'),
        ours: () => Peer.open(gateway, 'tcp'),
    };
});

after(() => h.close());

// A numbered message: T_<subscription>@@<session>@@<n>. Those that need no ack have another kind of id with us.
function withoutNumber(line) {
    return / MESSAGE(?!.*\|ack:)/.test(line) ? line.replace(/\|message-id:[TQ]_[^|]*@@\d+/, '|message-id:*') : line;
}

// What we note in a message for history is a header like others to the plugin's subscribers.
function withoutNotes(line) {
    return line.replace(/\|x-stompgate-(destination|user):[^|]*|\|amqp-message-id:UUID/g, '').replaceAll('stomp.gen-*', 'amq.gen-*');
}

function withoutHabits(lines, side) {
    return lines.map((line) => {
        let out = line;
        for (const habit of HABITS.filter((one) => one.side === side)) {
            const changed = out.replace(habit.find, habit.put);
            seen.set(habit, seen.get(habit) + (changed === out ? 0 : 1));
            out = changed;
        }
        return withoutNumber(out);
    });
}

// What only one of two lists has, in its order (longest common subsequence).
function difference(a, b) {
    const length = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
    for (let i = a.length - 1; i >= 0; i--) {
        for (let j = b.length - 1; j >= 0; j--) {
            length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
        }
    }
    const only = [[], []];
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
        if (i < a.length && j < b.length && a[i] === b[j]) {
            [i, j] = [i + 1, j + 1];
        } else if (j >= b.length || (i < a.length && length[i + 1][j] >= length[i][j + 1])) {
            only[0].push(a[i++]);
        } else {
            only[1].push(b[j++]);
        }
    }
    return only;
}

async function compare({ name, script, ...options }) {
    const [theirs, mine] = await Promise.all(
        ['plugin', 'ours'].map(async (side) => withoutHabits(await converse(world, sides[side], script, options), side)),
    );
    const [plugin, ours] = difference(theirs, mine).map((lines) => lines.sort());
    const { plugin: said = [], ours: right = [] } = differences.get(name) ?? {};
    const listed = { plugin: [...said].sort(), ours: [...right].sort() };
    assert.deepEqual({ plugin, ours }, listed, `\n--- the plugin:\n${theirs.join('\n')}\n--- ours:\n${mine.join('\n')}`);
}

for (const [topic, cases] of Object.entries(TOPICS)) {
    describe(topic, { concurrency: AT_ONCE }, () => {
        for (const one of cases) {
            test(one.name, () => compare(one));
        }
    });
}

// Clients a and b with one of the two each: whichever is whose, all comes to the same.
describe('adoption', { concurrency: AT_ONCE }, () => {
    for (const { name, script } of adoption) {
        test(name, async () => {
            const mixes = [{ a: 'plugin', b: 'plugin' }, { a: 'plugin', b: 'ours' }, { a: 'ours', b: 'plugin' }];
            const traces = await Promise.all(
                mixes.map(async (mix) => {
                    const lines = await converse(world, (client) => sides[mix[client]](), script);
                    return lines.map((line) => withoutHabits([withoutNotes(line)], mix[line[0]] ?? 'ours')[0]);
                }),
            );
            assert.deepEqual(traces[1], traces[0], 'from the plugin to us');
            assert.deepEqual(traces[2], traces[0], 'from us to the plugin');
        });
    }
});

test('every difference has a reason and a case, and every case one name', () => {
    const names = Object.values(TOPICS).flatMap((cases) => cases.map(({ name }) => name));
    assert.equal(new Set(names).size, names.length, 'two cases have one name');
    for (const { why, cases } of DIFFERENCES) {
        assert.ok(why.length > 20, 'a difference without a reason');
        assert.deepEqual(
            Object.keys(cases).filter((name) => !names.includes(name)),
            [],
            'a difference without a case',
        );
    }
    assert.equal(differences.size, DIFFERENCES.reduce((sum, { cases }) => sum + Object.keys(cases).length, 0), 'a case stands in the list twice');
});

test('every habit was seen, on its side', () => {
    for (const [{ what, side }, times] of seen) {
        assert.ok(times > 0, `${side}: ${what}: it is listed and does not happen`);
    }
});
