// No header of any client closes a channel that another session uses, and none routes a message anywhere but to its destination. Every
// name that STOMP, AMQP or we know, with every value that could hurt, and then whatever a random number says, on every frame; meanwhile
// two sessions of the same gateway talk to each other, and queues of all kinds watch that nothing comes to them.
//
// The seed is printed; STOMPGATE_SEED repeats a run.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { harness, unique, waitFor } from '../lib/harness.mjs';
import { Canary } from '../lib/raw.mjs';
import { encodeFrame, Wire } from '../lib/wire.mjs';

const SEED = Number(process.env.STOMPGATE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const RANDOM_FRAMES = 900;
const BATCH = 40;

const PROPERTIES = 'content-type content-encoding correlation-id expiration type app-id priority timestamp persistent reply-to user-id message-id';
const AMQP = 'amqp-message-id delivery-mode cluster-id CC BCC cc Bcc routing-key exchange mandatory immediate delivery-tag';
const OURS = 'idempotency-key x-stompgate-destination x-stompgate-user X-Stompgate-Key gap simpOrigDestination';
const DEAD = 'x-death X-Death x-first-death-queue x-first-death-reason x-first-death-exchange x-delivery-count x-stream-offset';
const FRAMES = 'receipt receipt-id transaction login passcode destination content-length subscription ack redelivered message version session';
const QUEUE = 'x-queue-name durable auto-delete exclusive x-message-ttl x-dead-letter-exchange x-dead-letter-routing-key x-queue-type x-max-priority';
const RARE =
    'x-queue-master-locator x-queue-leader-locator x-queue-mode x-queue-version x-overflow x-expires x-max-length x-max-length-bytes x-max-age ' +
    'x-max-in-memory-length x-delivery-limit x-single-active-consumer x-consumer-timeout x-quorum-initial-group-size x-quorum-target-group-size ' +
    'x-initial-cluster-size x-dead-letter-strategy x-stream-max-segment-size-bytes x-stream-filter-size-bytes x-bind-foo x-bind-integer-n x-other';
const CONSUMER = 'id prefetch-count x-priority x-stream-filter x-cancel-on-ha-failover selector no-local requeue x-match';

const CHANNEL_ERRORS = 'stompgate_broker_channel_errors_total'; // of all channels but sessions' own
const ASKED_FOR_EVENTS = 2; // each connection looks once for the exchange of events, which only "/" has
const ALL = [PROPERTIES, AMQP, OURS, DEAD, FRAMES, QUEUE, RARE, CONSUMER];
const NAMES = ALL.join(' ').split(' ');

// What a client may do here: mallory sends and subscribes, ann may shape queues too.
const CONFIG = {
    stomp: { error_close: false },
    broker: { sweep_ms: 3600000 }, // it would look for it again
    user: ['mallory', 'ann', 'canary'].map((login) => ({ login, password: login })),
    route: ['/topic/', '/exchange/', '/queue/', '/amq/queue/'].map((prefix) => ({ prefix, send: ['*'], subscribe: ['*'], queues: ['ann'] })),
};

const h = await harness({ config: CONFIG, vhost: true });
const tag = unique('w');
const witness = { queue: `${tag}.secret`, exchanges: ['topic', 'fanout', 'direct', 'headers'].map((type) => ({ name: `${tag}.${type}`, type })) };
const HOSTILE = [
    '',
    '0',
    '7',
    '-1',
    '99999999999999999999',
    '1.5e3',
    'true',
    witness.queue,
    `${tag}.fanout`,
    `/queue/${witness.queue}`,
    `/temp-queue/${tag}`,
    '/foo/bar',
    'amq.rabbitmq.reply-to',
    'amq.topic',
    'x'.repeat(255),
    'é'.repeat(128),
    'y'.repeat(3000),
    'a\nb\r\\c:d',
    ' 5 ',
    '\u0001\u007f',
    'quorum',
    'stream',
    'mallory',
    '@@T_s@@1',
];

// mulberry32
function randomOf(seed) {
    let state = seed >>> 0;
    return (below) => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), state | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
    };
}

const random = randomOf(SEED);
const pick = (list) => list[random(list.length)];

let gw;
let channel;
let canaries;
const strayed = []; // what witnesses saw
const arrived = new Map(); // destination → bodies

async function watch(queue) {
    await channel.consume(queue, ({ fields, content }) => strayed.push(`${queue}: ${fields.exchange} ${fields.routingKey} ${content}`), { noAck: true });
}

// Queues bound to everything but the destinations of this suite.
async function openWitnesses() {
    await channel.assertQueue(witness.queue);
    await watch(witness.queue);
    for (const { name, type } of witness.exchanges) {
        await channel.assertExchange(name, type);
        const queue = `${name}.queue`;
        await channel.assertQueue(queue);
        await channel.bindQueue(queue, name, type === 'topic' ? '#' : witness.queue, type === 'headers' ? { 'x-match': 'any', foo: 'bar' } : {});
        await watch(queue);
    }
    const builtIn = `${tag}.built-in`;
    await channel.assertQueue(builtIn);
    for (const [exchange, key] of [
        ['amq.fanout', ''],
        ['amq.direct', witness.queue],
        ['amq.topic', `${tag}.#`],
        ['amq.topic', 'amq.#'],
        ['amq.topic', 'x.#'],
    ]) {
        await channel.bindQueue(builtIn, exchange, key);
    }
    await watch(builtIn);
}

// A destination of the suite, and everything that arrives there.
async function openHome(destination, exchange, key) {
    const queue = exchange ? `home${arrived.size}.${tag}` : key;
    await channel.assertQueue(queue);
    if (exchange) {
        await channel.bindQueue(queue, exchange, key);
    }
    const bodies = [];
    arrived.set(destination, bodies);
    await channel.consume(queue, ({ content }) => bodies.push(content.toString()), { noAck: true });
    return destination;
}

let homes;

before(async () => {
    console.log(`# STOMPGATE_SEED=${SEED}`);
    channel = await (await h.amqp()).createChannel();
    await openWitnesses();
    await channel.assertExchange(`home.${tag}`, 'direct');
    homes = [
        await openHome(`/topic/home-${tag}`, 'amq.topic', `home-${tag}`),
        await openHome(`/queue/home-${tag}`, '', `home-${tag}`),
        await openHome(`/amq/queue/there-${tag}`, '', `there-${tag}`),
        await openHome(`/exchange/home.${tag}/k`, `home.${tag}`, 'k'),
    ];
    gw = await h.gateway();
    await waitFor(async () => (await gw.metric(CHANNEL_ERRORS)) === ASKED_FOR_EVENTS, { what: 'the gateway to have looked around' });
    const connect = { login: 'canary', passcode: 'canary' };
    canaries = [await Canary.start(gw, { connect }), await Canary.start(gw, { connect, destination: `/queue/canary-${tag}` })];
});

after(async () => {
    try {
        await Promise.all(canaries.map((canary) => canary.stop()));
        assert.deepEqual(strayed, [], 'a message came to a queue that it was not sent to');
        assert.equal(await gw.metric(CHANNEL_ERRORS), ASKED_FOR_EVENTS, 'a client closed a channel that others use');
        assert.equal(await gw.metric('stompgate_broker_connects_total'), 2, 'a client cost a connection to the broker');
    } finally {
        await h.close();
    }
});

// A client that goes on after ERROR, and comes back after a close.
class Attacker {
    constructor(login) {
        this.login = login;
        this.n = 0;
        this.accepted = [];
        this.refused = 0;
        this.unknown = []; // what a close left unanswered
    }

    async wire() {
        if (!this.current || this.current.closed) {
            this.current = await Wire.open(gw.url);
            await this.current.connect({ login: this.login, passcode: this.login });
        }
        return this.current;
    }

    // Each frame is answered by RECEIPT, or by ERROR with its receipt-id, or by the close. What was not answered before a close may have
    // been done or not, and is sent again, as another.
    async send(frames) {
        for (let left = frames; left.length > 0; ) {
            const wire = await this.wire();
            const waiting = new Map(left.slice(0, BATCH).map((frame) => [frame.receipt, frame]));
            left = left.slice(BATCH);
            this.blamed = 0;
            wire.socket.send(Buffer.concat([...waiting.values()].map(({ command, pairs, body }) => encodeFrame(command, pairs, body))), { binary: true });
            await waitFor(() => this.#take(wire, waiting), { every: 3, what: `answers to frames of ${this.login}` });
            if (waiting.size > 0) {
                const unanswered = [...waiting.values()];
                this.unknown.push(...unanswered);
                left = [...unanswered.slice(this.blamed ? 0 : 1).map((frame) => this.#again(frame)), ...left];
            }
        }
    }

    #again({ command, pairs, body }) {
        return this.frame(command, pairs.slice(0, this.ownLength(pairs)), pairs.slice(this.ownLength(pairs) + 1), body);
    }

    ownLength(pairs) {
        return pairs.findIndex(([name, value]) => name === 'receipt' && value.startsWith(`${this.login}-`));
    }

    // Reads what has come; true when all is answered, or the connection has ended.
    #take(wire, waiting) {
        for (const { command, headers } of wire.frames.splice(0)) {
            const receipt = headers['receipt-id'];
            const frame = waiting.get(receipt);
            if (command === 'RECEIPT') {
                assert.ok(frame, `a receipt that nobody asked for: ${receipt}`);
                this.accepted.push(frame);
            } else if (command === 'ERROR') {
                this.refused++;
                this.blamed += frame ? 1 : 0;
                assert.ok(headers.message, 'an ERROR has words');
            }
            waiting.delete(receipt);
        }
        return waiting.size === 0 || wire.closed;
    }

    // The attack's header behind those that count: of repeated ones the first does.
    frame(command, own, attack, body = '') {
        const receipt = `${this.login}-${command}-${this.n++}`;
        return { command, receipt, pairs: [...own, ['receipt', receipt], ...attack], body: body && `${receipt}` };
    }
}

async function end(attacker) {
    attacker.current?.terminate();
}

const attacks = (names = ALL) => names.join(' ').split(' ').flatMap((name) => HOSTILE.map((value) => [[name, value]]));

// Rarely what ends the connection: each end costs those behind it another try.
function randomText() {
    const pools = ['abcxyz-.', '0123456789', 'éß€😀', random(20) ? ':\\ ' : ':\\\n\r ', '/@#*%'];
    return Array.from({ length: random(12) }, () => pick([...pick(pools)])).join('');
}

function randomHeaders() {
    return Array.from({ length: random(10) }, () => {
        const name = random(3) ? pick(NAMES) : randomText();
        return [name, random(3) ? pick(HOSTILE) : randomText()];
    });
}

// What was accepted is there, once; besides it at most what nobody answered.
async function settled(attacker, destination) {
    const bodiesOf = (frames) => frames.filter(({ command, pairs }) => command === 'SEND' && pairs[0][1] === destination).map(({ receipt }) => receipt);
    const [wanted, unknown] = [bodiesOf(attacker.accepted), new Set(bodiesOf(attacker.unknown))];
    const bodies = arrived.get(destination);
    const known = () => bodies.filter((body) => !unknown.has(body));
    await waitFor(() => known().length >= wanted.length, { what: `${wanted.length} messages at ${destination}` });
    assert.deepEqual(known().sort(), wanted.sort(), `what came to ${destination}`);
    assert.equal(new Set(bodies).size, bodies.length, 'nothing came twice');
    bodies.length = 0;
}

describe('SEND', () => {
    for (const at of [0, 1, 2, 3]) {
        test(`every name with every value, to ${['a topic', 'a queue', 'a queue that exists', 'an exchange'][at]}`, async () => {
            const attacker = new Attacker('mallory');
            await attacker.send(attacks().map((attack) => attacker.frame('SEND', [['destination', homes[at]]], attack, 'body')));
            await settled(attacker, homes[at]);
            assert.ok(attacker.accepted.length > attacks().length / 2, `most of it is only text: ${attacker.accepted.length} accepted`);
            assert.ok(attacker.refused > 0, 'some of it is refused');
            await end(attacker);
        });
    }

    test('many headers at random', async () => {
        const attacker = new Attacker('mallory');
        const frames = Array.from({ length: RANDOM_FRAMES }, () => attacker.frame('SEND', [['destination', pick(homes)]], randomHeaders(), 'body'));
        await attacker.send(frames);
        for (const destination of homes) {
            await settled(attacker, destination);
        }
        await end(attacker);
    });
});

describe('SUBSCRIBE', () => {
    const round = (attacker, destination, attack, i) => {
        const id = `s${i}`;
        return [attacker.frame('SUBSCRIBE', [['destination', destination], ['id', id]], attack), attacker.frame('UNSUBSCRIBE', [['id', id]], [])];
    };
    for (const login of ['mallory', 'ann']) {
        test(`every name of queues and consumers with every value, by ${login}`, async () => {
            const attacker = new Attacker(login);
            const some = attacks([QUEUE, RARE, CONSUMER, FRAMES]);
            const own = [`/topic/private-${tag}`, `/queue/private-${tag}`, `/exchange/home.${tag}/private`];
            await attacker.send(some.flatMap((attack, i) => round(attacker, pick(own), attack, i)));
            assert.ok(attacker.accepted.length > 0 && attacker.refused > 0, `${attacker.accepted.length} accepted, ${attacker.refused} refused`);
            await end(attacker);
        });
    }

    test('many headers at random', async () => {
        const attacker = new Attacker('mallory');
        const own = [`/topic/private-${tag}`, `/queue/private-${tag}`, `/exchange/home.${tag}/private`];
        await attacker.send(Array.from({ length: RANDOM_FRAMES / 5 }, (_, i) => round(attacker, pick(own), randomHeaders(), i)).flat());
        await end(attacker);
    });
});

test('every other frame, with many headers at random', async () => {
    const attacker = new Attacker('mallory');
    const commands = ['ACK', 'NACK', 'BEGIN', 'COMMIT', 'ABORT', 'UNSUBSCRIBE', 'CONNECT', 'STOMP', 'MESSAGE', 'x'];
    await attacker.send(Array.from({ length: RANDOM_FRAMES / 3 }, () => attacker.frame(pick(commands), [], randomHeaders())));
    await end(attacker);
});
